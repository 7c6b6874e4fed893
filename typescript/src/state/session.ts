/**
 * How far a session has stored the history. TypeScript counts from the start of the history and
 * with placeholders, the document from the start of the current response and without.
 */
import { isPlaceholder, type Placed } from './interruptions.js';

/** Items of the current response that the session holds. */
export function persistedToPortable(
  nativeItems: readonly unknown[],
  persisted: unknown,
  responseStart: number,
): number {
  if (typeof persisted !== 'number') {
    return 0;
  }
  let count = 0;
  for (let index = responseStart; index < Math.min(persisted, nativeItems.length); index += 1) {
    if (!isPlaceholder(nativeItems[index])) {
      count += 1;
    }
  }
  return count;
}

/** The index behind the last stored item, and behind the placeholders that follow it. */
export function persistedToNative(
  placed: readonly Placed[],
  persisted: number,
  responseStart: number,
): number {
  if (persisted === 0) {
    return 0;
  }
  let left = persisted;
  let index = 0;
  while (index < placed.length && left > 0) {
    const entry = placed[index];
    if (entry && 'item' in entry && entry.item >= responseStart) {
      left -= 1;
    }
    index += 1;
  }
  for (let entry = placed[index]; entry && 'interruption' in entry; entry = placed[index]) {
    index += 1;
  }
  return index;
}
