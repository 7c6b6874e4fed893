/**
 * Which entries of two lists are versions of the same thing.
 */
import { canonical } from './canonical.js';
import { deepEqual, isObj, type Obj } from './json.js';

/** Whether two entries that differ are versions of the same thing. */
export function alike(old: unknown, next: unknown): boolean {
  if (!isObj(old) || !isObj(next)) {
    return false;
  }
  const mark = markOf(old);
  if (mark !== undefined) {
    return mark === markOf(next);
  }
  return (
    old.rawItem !== undefined && old.type === next.type && deepEqual(old.rawItem, next.rawItem)
  );
}

/** Whether two objects are known to be different things. */
export function differs(old: Obj, next: Obj): boolean {
  if (old.type !== next.type) {
    return true;
  }
  const [mark, other] = [markOf(old), markOf(next)];
  return mark !== undefined && other !== undefined && mark !== other;
}

/**
 * What an entry of a list is known by, whatever else of it changes: an operation of a patch by its
 * path, an item by its type and id.
 */
function markOf(entry: Obj): string | undefined {
  const { op, path } = entry;
  if (typeof path === 'string' && op !== undefined) {
    return `${op}\n${path}`;
  }
  const item = entry.rawItem ?? entry.item ?? entry;
  if (isObj(item)) {
    const id = item.callId ?? item.call_id ?? item.id;
    if (typeof id === 'string' && id !== PLACEHOLDER) {
      return `${entry.type}\n${item.type}\n${id}`;
    }
  }
  return undefined;
}

/** What @openai/agents gives items without an id. */
const PLACEHOLDER = 'FAKE_ID';

/**
 * The most entries between `start` and the ends that have kept their order, as pairs of indexes.
 * The nth entry of an identity is the same thing as the nth one in the other list.
 */
export function anchors(
  old: readonly unknown[],
  next: readonly unknown[],
  start: number,
  before: number,
  after: number,
): (readonly [number, number])[] {
  if (start === before || start === after) {
    return [];
  }
  const places = new Map(numbered(old, start, before));
  const found: (readonly [number, number])[] = [];
  for (const [identity, index] of numbered(next, start, after)) {
    const place = places.get(identity);
    if (place !== undefined) {
      found.push([place, index]);
    }
  }
  return longestRise(found);
}

/** Identity and number of occurrence of entries, with their index. */
function numbered(entries: readonly unknown[], start: number, end: number): [string, number][] {
  const seen = new Map<string, number>();
  const found: [string, number][] = [];
  for (let index = start; index < end; index += 1) {
    const entry = entries[index];
    const identity = (isObj(entry) ? markOf(entry) : undefined) ?? canonical(entry);
    const count = seen.get(identity) ?? 0;
    seen.set(identity, count + 1);
    found.push([`${count}\n${identity}`, index]);
  }
  return found;
}

/** The longest sequence of pairs, given in the order of the second, in which the first rises. */
function longestRise(pairs: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  /** For each length, the index in `pairs` at which a sequence of it ends soonest. */
  const ends: number[] = [];
  const previous: number[] = [];
  pairs.forEach(([place], index) => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((pairs[ends[middle] as number]?.[0] ?? 0) < place) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    previous.push(low > 0 ? (ends[low - 1] as number) : -1);
    ends[low] = index;
  });
  const sequence: (readonly [number, number])[] = [];
  for (let at = ends.at(-1) ?? -1; at >= 0; at = previous[at] ?? -1) {
    sequence.push(pairs[at] as readonly [number, number]);
  }
  return sequence.reverse();
}
