/**
 * JSON Patch (RFC 6902): the difference between two JSON values, and applying one.
 *
 * `apply` knows `add`, `remove`, `replace`, `copy` and `move`. In the patches of `diff` the path of
 * each `add` and `replace` is the place where its value is in the end.
 */
import { DocumentError } from '../errors.js';
import { alike, anchors, differs } from './alignment.js';
import { deepEqual, isObj, type Obj, step } from './json.js';

/** One operation of a patch. */
export interface Operation {
  op: 'add' | 'remove' | 'replace' | 'copy' | 'move';
  /** JSON Pointer. */
  path: string;
  /** JSON Pointer to what is copied or moved. */
  from?: string;
  value?: unknown;
}

type Pair = readonly [before: number, after: number];

/**
 * The patch that turns `old` into `next`; values are shared with `next`. A member that is undefined
 * is no member.
 *
 * With `ordered` the keys of objects come back in the order they have in `next`, those of `next`
 * itself excepted: a member whose turn comes later is moved onto itself, which takes it out and
 * adds it again, at the end.
 */
export function diff(
  old: unknown,
  next: unknown,
  { ordered = false }: { ordered?: boolean } = {},
): Operation[] {
  const difference = new Difference(ordered);
  if (old !== next) {
    difference.between(old, next, '');
  }
  return difference.operations;
}

/** Collects the operations between two values that are not equal. */
class Difference {
  readonly operations: Operation[] = [];
  readonly #ordered: boolean;
  readonly #equal: (old: unknown, next: unknown) => boolean;

  constructor(ordered: boolean) {
    this.#ordered = ordered;
    this.#equal = ordered ? identical : deepEqual;
  }

  between(old: unknown, next: unknown, path: string): void {
    if (Array.isArray(old) && Array.isArray(next)) {
      this.#lists(old, next, path);
    } else if (isObj(old) && isObj(next) && !(path && differs(old, next))) {
      this.#objects(old, next, path);
    } else {
      this.operations.push({ op: 'replace', path, value: next });
    }
  }

  #objects(old: Obj, next: Obj, path: string): void {
    for (const key of Object.keys(old)) {
      if (old[key] !== undefined && !has(next, key)) {
        this.operations.push({ op: 'remove', path: path + step(key) });
      }
    }
    let staying = path && this.#ordered ? inOrder(old, next) : Number.POSITIVE_INFINITY;
    for (const key of Object.keys(next)) {
      const value = next[key];
      if (value === undefined) {
        continue;
      }
      staying -= 1;
      const place = path + step(key);
      if (!has(old, key)) {
        this.operations.push({ op: 'add', path: place, value });
        continue;
      }
      if (staying < 0) {
        this.operations.push({ op: 'move', path: place, from: place });
      }
      const before = old[key];
      // Objects are not compared twice: what is equal in them gives no operation.
      if (before !== value && (isObj(before) || !this.#equal(before, value))) {
        this.between(before, value, place);
      }
    }
  }

  /**
   * Patches a list, its entries paired: which one became which, in order.
   *
   * The common start and end are versions of the same entries. Between them the entries that can
   * be told by their identity are anchors, as many as keep their order; what lies between two
   * anchors is paired from the front. The others were taken out or are new.
   */
  #lists(old: readonly unknown[], next: readonly unknown[], path: string): void {
    const changed: Pair[] = [];
    const shorter = Math.min(old.length, next.length);
    let start = 0;
    while (start < shorter && this.#versions(old, next, start, start, changed)) {
      start += 1;
    }
    const behind: Pair[] = [];
    let [before, after] = [old.length, next.length];
    while (
      before > start &&
      after > start &&
      this.#versions(old, next, before - 1, after - 1, behind)
    ) {
      before -= 1;
      after -= 1;
    }
    const pairs: Pair[] = [];
    let [left, right] = [start, start];
    for (const anchor of [...anchors(old, next, start, before, after), [before, after] as const]) {
      for (; left < anchor[0] && right < anchor[1]; left += 1, right += 1) {
        pairs.push([left, right]);
      }
      pairs.push(anchor);
      left = anchor[0] + 1;
      right = anchor[1] + 1;
    }
    pairs.pop();
    const kept = new Set(pairs.map(([index]) => index));
    for (let index = before - 1; index >= start; index -= 1) {
      if (!kept.has(index)) {
        this.operations.push({ op: 'remove', path: path + step(index) });
      }
    }
    const known = new Set(pairs.map(([, index]) => index));
    for (let index = start; index < after; index += 1) {
      if (!known.has(index)) {
        this.operations.push({ op: 'add', path: path + step(index), value: next[index] });
      }
    }
    const differing = pairs.filter(([one, other]) => !this.#equal(old[one], next[other]));
    for (const [one, other] of [...changed, ...differing, ...behind.reverse()]) {
      this.between(old[one], next[other], path + step(other));
    }
  }

  /** Whether two entries are versions of each other; notes them where they differ. */
  #versions(
    old: readonly unknown[],
    next: readonly unknown[],
    one: number,
    other: number,
    changed: Pair[],
  ): boolean {
    if (this.#equal(old[one], next[other])) {
      return true;
    }
    if (!alike(old[one], next[other])) {
      return false;
    }
    changed.push([one, other]);
    return true;
  }
}

/** How many of the first keys of `next` are in `old`, in that order. */
function inOrder(old: Obj, next: Obj): number {
  const left = keysOf(old);
  let at = 0;
  let count = 0;
  for (const key of keysOf(next)) {
    while (at < left.length && left[at] !== key) {
      at += 1;
    }
    if (at === left.length) {
      break;
    }
    at += 1;
    count += 1;
  }
  return count;
}

/** Equality that tells one order of keys from another. */
function identical(left: unknown, right: unknown): boolean {
  if (left === right) {
    return true;
  }
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((entry, index) => identical(entry, right[index]))
    );
  }
  if (!isObj(left) || !isObj(right)) {
    return false;
  }
  const keys = keysOf(left);
  const others = keysOf(right);
  return (
    keys.length === others.length &&
    keys.every((key, index) => key === others[index] && identical(left[key], right[key]))
  );
}

function keysOf(value: Obj): string[] {
  return Object.keys(value).filter((key) => value[key] !== undefined);
}

function has(target: Obj, key: string): boolean {
  return Object.hasOwn(target, key) && target[key] !== undefined;
}

/**
 * A value with a patch applied. Neither the value nor the patch is changed: containers on the way
 * are copied once, everything else is shared. With `owned` the value is changed in place, nothing
 * of it being needed elsewhere.
 *
 * @throws {DocumentError} `malformed` where an operation points nowhere.
 */
export function apply(
  value: unknown,
  patch: readonly Operation[],
  { owned = false }: { owned?: boolean } = {},
): unknown {
  const root: Obj = { value };
  const copied = new Set<object>([root]);
  const find = (pointer: string, operation: Operation) =>
    locate(root, pointer, operation, owned ? undefined : copied);
  for (const operation of patch) {
    let added = operation.value;
    if (operation.op === 'copy' || operation.op === 'move') {
      const { from = '', path } = operation;
      if (from === '' || (operation.op === 'move' && path.startsWith(`${from}/`))) {
        throw nowhere(operation);
      }
      const [parent, key] = find(from, operation);
      added = read(parent, key, operation);
      if (operation.op === 'copy') {
        added = structuredClone(added);
      } else {
        operate(parent, key, { op: 'remove', path: from });
      }
    }
    const [parent, key] = find(operation.path, operation);
    if (parent === root && operation.op !== 'add' && operation.op !== 'replace') {
      throw nowhere(operation);
    }
    operate(parent, key, { ...operation, value: added });
  }
  return root.value;
}

type Container = Obj | unknown[];

/** The container a pointer ends in, and its key there; copies shared containers on the way. */
function locate(
  root: Obj,
  pointer: string,
  operation: Operation,
  copied: Set<object> | undefined,
): [Container, string] {
  if (pointer !== '' && pointer[0] !== '/') {
    throw nowhere(operation);
  }
  let parent: Container = root;
  let key = 'value';
  for (const next of pointer.split('/').slice(1)) {
    const container: unknown = read(parent, key, operation);
    if (typeof container !== 'object' || container === null) {
      throw nowhere(operation);
    }
    let own = container as Container;
    if (copied && !copied.has(container)) {
      own = Array.isArray(container) ? [...container] : { ...container };
      copied.add(own);
      set(parent as Obj, key, own);
    }
    parent = own;
    key = next.includes('~') ? next.replaceAll('~1', '/').replaceAll('~0', '~') : next;
  }
  return [parent, key];
}

function read(parent: Container, key: string, operation: Operation): unknown {
  const there = Array.isArray(parent) ? isIndex(key, parent.length) : Object.hasOwn(parent, key);
  if (!there) {
    throw nowhere(operation);
  }
  return (parent as Obj)[key];
}

function operate(parent: Container, key: string, operation: Operation): void {
  const { op, value } = operation;
  const adding = op === 'add' || op === 'copy' || op === 'move';
  if (!adding && op !== 'replace' && op !== 'remove') {
    throw nowhere(operation);
  }
  if (!adding) {
    read(parent, key, operation);
  }
  if (Array.isArray(parent)) {
    const place = adding && key === '-' ? String(parent.length) : key;
    if (!isIndex(place, parent.length + 1)) {
      throw nowhere(operation);
    }
    const index = Number(place);
    if (op === 'remove') {
      parent.splice(index, 1);
    } else {
      parent.splice(index, adding ? 0 : 1, value);
    }
  } else if (op === 'remove') {
    delete parent[key];
  } else {
    set(parent, key, value);
  }
}

function isIndex(key: string, end: number): boolean {
  return /^\d+$/.test(key) && Number(key) < end;
}

function nowhere({ op, path }: Operation): DocumentError {
  return new DocumentError(`the patch does not fit: nothing to ${op} at '${path}'`, 'malformed', {
    pointer: path,
  });
}

/** Sets an own property even where the key is `__proto__`. */
function set(target: Obj, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  } else {
    target[key] = value;
  }
}
