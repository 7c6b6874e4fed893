/** Call ids that are the same in every run. */

/** Digits of call ids: those given, then counted up. */
export function numbered(given: readonly string[] = []): () => string {
  const left = [...given];
  let count = 0;
  return () => left.shift() ?? (++count).toString(16).padStart(24, '0');
}
