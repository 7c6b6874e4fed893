/**
 * Integers that JavaScript would round, carried through `JSON.parse` and `JSON.stringify`.
 *
 * Ids of 64 bits are common in the arguments of calls. They stand as marked strings in parsed
 * values and are written as the digits they were.
 */
const MARK = '\uE000integer:';
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, 'g');
const TOKENS = /"(?:[^"\\]+|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** `JSON.parse`, with unsafe integers as marked strings. */
export function parseExact(text: string): unknown {
  return JSON.parse(/\d{16}/.test(text) ? text.replace(TOKENS, mark) : text);
}

/** Compact JSON, with the integers that {@link parseExact} marked as they were. */
export function stringifyExact(value: unknown): string {
  return unmark(JSON.stringify(value));
}

/** JSON text with marked integers as they were. */
export function unmark(text: string): string {
  return text.includes(MARK) ? text.replace(MARKED, '$1') : text;
}

function mark(token: string): string {
  const integer = /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
  return integer ? `"${MARK}${token}"` : token;
}
