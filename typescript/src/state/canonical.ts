/**
 * Canonical JSON (RFC 8785) and the digest over it.
 */
import { createHash } from 'node:crypto';
import { DocumentError } from '../errors.js';

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
  [key: string]: Json;
}

/**
 * The RFC 8785 text of a value: no whitespace, keys sorted by UTF-16 code units, numbers as
 * ECMAScript writes them. A lone surrogate is a lower-case `\udxxx` escape. Keys whose value is
 * `undefined` are left out, as `JSON.stringify` does.
 *
 * @throws {DocumentError} `malformed` for NaN, Infinity and anything that is no JSON.
 */
export function canonical(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'number':
      if (!Number.isFinite(value)) {
        throw new DocumentError(`${value} is no JSON number`, 'malformed');
      }
      return Object.is(value, -0) ? '0' : String(value);
    case 'object':
      break;
    default:
      throw new DocumentError(`a ${typeof value} is no JSON value`, 'malformed');
  }
  if (value === null) {
    return 'null';
  }
  if (Array.isArray(value)) {
    let text = '[';
    for (let index = 0; index < value.length; index += 1) {
      text += index === 0 ? canonical(value[index]) : `,${canonical(value[index])}`;
    }
    return `${text}]`;
  }
  const record = value as Record<string, unknown>;
  let text = '{';
  for (const key of Object.keys(record).sort()) {
    const entry = record[key];
    if (entry !== undefined) {
      text += `${text.length === 1 ? '' : ','}${JSON.stringify(key)}:${canonical(entry)}`;
    }
  }
  return `${text}}`;
}

/**
 * The lower-case hex SHA-256 of a document's canonical core: everything but `writer` and
 * `residue`. Equal in all ports for the same facts.
 */
export function digest(document: object): string {
  const { writer: _writer, residue: _residue, ...core } = document as Record<string, unknown>;
  return createHash('sha256').update(canonical(core), 'utf8').digest('hex');
}

/** Orders entries by their canonical JSON, as the sets of a document are kept. */
export function sortedSet<T>(entries: readonly T[]): T[] {
  const keyed = new Map<string, T>();
  for (const entry of entries) {
    keyed.set(canonical(entry), entry);
  }
  return [...keyed.keys()].sort().map((key) => keyed.get(key) as T);
}
