/**
 * Complaints about a native snapshot.
 */
import { DocumentError } from '../errors.js';
import { isObj, type Obj } from './json.js';

/** The error for a snapshot that lacks something or has it in the wrong form. */
export function malformed(pointer: string, wanted: string): DocumentError {
  return new DocumentError(`${pointer || 'the snapshot'} is not ${wanted}`, 'malformed', {
    pointer,
  });
}

/** The value, which must be an object. */
export function needObj(value: unknown, pointer: string): Obj {
  if (!isObj(value)) {
    throw malformed(pointer, 'an object');
  }
  return value;
}

/** The value, which must be a list. */
export function needList(value: unknown, pointer: string): unknown[] {
  if (!Array.isArray(value)) {
    throw malformed(pointer, 'a list');
  }
  return value;
}

/** The value, which must be a string. */
export function needStr(value: unknown, pointer: string): string {
  if (typeof value !== 'string') {
    throw malformed(pointer, 'a string');
  }
  return value;
}
