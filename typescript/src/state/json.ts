/**
 * Small tools for JSON values of unknown shape.
 */

/** A JSON object whose values are not known yet. */
export type Obj = Record<string, unknown>;

/** Whether a value is a JSON object (and no list). */
export function isObj(value: unknown): value is Obj {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value as an object, or an empty one. */
export function obj(value: unknown): Obj {
  return isObj(value) ? value : {};
}

/** The value as a list, or an empty one. */
export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The objects of a list. */
export function objs(value: unknown): Obj[] {
  return list(value).filter(isObj);
}

/** The value where it is a string. */
export function str(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The value where it is a string that says something. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value.length > 0 ? value : undefined;
}

/** Whether an object has any key. */
export function hasKeys(value: object): boolean {
  for (const _key in value) {
    return true;
  }
  return false;
}

/** Sets a key only where there is a value: neither undefined nor null. */
export function put(target: Obj, key: string, value: unknown): void {
  if (value !== undefined && value !== null) {
    target[key] = value;
  }
}

/** One step of a JSON Pointer, escaped (RFC 6901). */
export function step(key: string | number): string {
  return typeof key === 'number'
    ? `/${key}`
    : `/${key.includes('~') || key.includes('/') ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key}`;
}

/** Whether two JSON values are equal, whatever the order of their keys; undefined is no value. */
export function deepEqual(left: unknown, right: unknown): boolean {
  if (left === right) {
    return true;
  }
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) {
    return false;
  }
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) {
      return false;
    }
    for (let index = 0; index < left.length; index += 1) {
      if (!deepEqual(left[index], right[index])) {
        return false;
      }
    }
    return true;
  }
  if (Array.isArray(right)) {
    return false;
  }
  let size = 0;
  for (const key in left) {
    const value = (left as Obj)[key];
    if (value !== undefined) {
      size += 1;
      if (!deepEqual(value, (right as Obj)[key])) {
        return false;
      }
    }
  }
  for (const key in right) {
    if ((right as Obj)[key] !== undefined) {
      size -= 1;
    }
  }
  return size === 0;
}
