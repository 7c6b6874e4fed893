/**
 * The difference between two JSON values as a JSON Patch (RFC 6902) of add, remove and replace.
 */
import { DocumentError } from '../errors.js';
import { deepEqual, isObj, type Obj, step } from './json.js';

/** One operation of a patch. */
export interface Operation {
  op: 'add' | 'remove' | 'replace';
  /** JSON Pointer. */
  path: string;
  value?: unknown;
}

/**
 * The patch that turns `from` into `to`. Equal subtrees cost one comparison and no operation; a
 * list is compared after its common start and end, place by place. The result is verified by
 * applying it, and is one replacement of everything where that fails.
 */
export function diff(from: unknown, to: unknown): Operation[] {
  const patch: Operation[] = [];
  compare(from, to, '', patch);
  return verified(apply(from, patch), from, to) ? patch : [{ op: 'replace', path: '', value: to }];
}

/** Whether a patched value is the wanted one. What the patch left alone was compared before. */
function verified(patched: unknown, from: unknown, to: unknown): boolean {
  if (patched === from || patched === to) {
    return true;
  }
  if (isObj(patched) && isObj(from) && isObj(to)) {
    const keys = Object.keys(patched);
    const wanted = Object.keys(to).filter((key) => to[key] !== undefined);
    return (
      keys.length === wanted.length &&
      keys.every((key) => Object.hasOwn(to, key) && verified(patched[key], from[key], to[key]))
    );
  }
  if (Array.isArray(patched) && Array.isArray(from) && Array.isArray(to)) {
    const moved = patched.length !== from.length;
    return (
      patched.length === to.length &&
      patched.every((entry, index) =>
        moved ? deepEqual(entry, to[index]) : verified(entry, from[index], to[index]),
      )
    );
  }
  return deepEqual(patched, to);
}

function compare(from: unknown, to: unknown, path: string, patch: Operation[]): void {
  if (from === to) {
    return;
  }
  if (Array.isArray(from) && Array.isArray(to)) {
    compareLists(from, to, path, patch);
  } else if (isObj(from) && isObj(to)) {
    compareObjects(from, to, path, patch);
  } else {
    patch.push({ op: 'replace', path, value: to });
  }
}

/** Whether an object really has a key whose value was read from it. */
function has(target: Obj, key: string, value: unknown): boolean {
  // No JSON value is undefined or a function: those were not the object's own.
  return key === '__proto__' || value === undefined || typeof value === 'function'
    ? Object.hasOwn(target, key)
    : true;
}

function compareObjects(from: Obj, to: Obj, path: string, patch: Operation[]): void {
  let kept = 0;
  for (const key in to) {
    const value = to[key];
    const before = from[key];
    if (value === undefined) {
      continue;
    }
    if (!has(from, key, before)) {
      patch.push({ op: 'add', path: path + step(key), value });
      continue;
    }
    kept += 1;
    if (before !== value) {
      compare(before, value, path + step(key), patch);
    }
  }
  for (const _key in from) {
    kept -= 1;
  }
  if (kept !== 0) {
    for (const key in from) {
      if (!Object.hasOwn(to, key) || to[key] === undefined) {
        patch.push({ op: 'remove', path: path + step(key) });
      }
    }
  }
}

function compareLists(from: unknown[], to: unknown[], path: string, patch: Operation[]): void {
  if (from.length === to.length) {
    for (let index = 0; index < to.length; index += 1) {
      if (from[index] !== to[index]) {
        compare(from[index], to[index], path + step(index), patch);
      }
    }
    return;
  }
  let start = 0;
  while (start < from.length && start < to.length && deepEqual(from[start], to[start])) {
    start += 1;
  }
  let end = 0;
  const most = Math.min(from.length, to.length) - start;
  while (end < most && deepEqual(from[from.length - 1 - end], to[to.length - 1 - end])) {
    end += 1;
  }
  const fromMiddle = from.length - start - end;
  const toMiddle = to.length - start - end;
  const both = Math.min(fromMiddle, toMiddle);
  for (let index = start; index < start + both; index += 1) {
    compare(from[index], to[index], path + step(index), patch);
  }
  for (let index = start + fromMiddle - 1; index >= start + both; index -= 1) {
    patch.push({ op: 'remove', path: path + step(index) });
  }
  for (let index = start + both; index < start + toMiddle; index += 1) {
    patch.push({ op: 'add', path: path + step(index), value: to[index] });
  }
}

/**
 * A value with a patch applied. Neither the value nor the patch is changed: containers on the way
 * are copied once, everything else is shared.
 *
 * @throws {DocumentError} `malformed` where an operation points nowhere.
 */
export function apply(value: unknown, patch: readonly Operation[]): unknown {
  const root: Obj = { value };
  const copied = new Set<object>([root]);
  for (const operation of patch) {
    applyOne(root, operation, copied);
  }
  return root.value;
}

function nowhere({ op, path }: Operation): DocumentError {
  return new DocumentError(`residue: ${op} ${path} points nowhere`, 'malformed', {
    pointer: '/residue/typescript/patch',
  });
}

function applyOne(root: Obj, operation: Operation, copied: Set<object>): void {
  const steps = operation.path === '' ? [] : operation.path.split('/').slice(1).map(unescapeStep);
  let parent: Obj | unknown[] = root;
  let key = 'value';
  for (const next of steps) {
    parent = own(parent, key, copied, operation);
    key = next;
  }
  if (Array.isArray(parent)) {
    const index = key === '-' ? parent.length : Number(key);
    const last = operation.op === 'add' ? parent.length : parent.length - 1;
    if (!Number.isInteger(index) || index < 0 || index > last) {
      throw nowhere(operation);
    }
    if (operation.op === 'replace') {
      parent[index] = operation.value;
    } else if (operation.op === 'remove') {
      parent.splice(index, 1);
    } else {
      parent.splice(index, 0, operation.value);
    }
    return;
  }
  if (operation.op !== 'add' && !Object.hasOwn(parent, key)) {
    throw nowhere(operation);
  }
  if (operation.op === 'remove') {
    delete parent[key];
  } else {
    set(parent, key, operation.value);
  }
}

/** The container at a key, copied on first touch so that shared values stay as they are. */
function own(
  parent: Obj | unknown[],
  key: string,
  copied: Set<object>,
  operation: Operation,
): Obj | unknown[] {
  const container = (parent as Obj)[key];
  if (typeof container !== 'object' || container === null || !Object.hasOwn(parent, key)) {
    throw nowhere(operation);
  }
  if (copied.has(container)) {
    return container as Obj;
  }
  const copy: Obj | unknown[] = Array.isArray(container) ? [...container] : { ...container };
  copied.add(copy);
  set(parent as Obj, key, copy);
  return copy;
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

function unescapeStep(text: string): string {
  return text.includes('~') ? text.replaceAll('~1', '/').replaceAll('~0', '~') : text;
}
