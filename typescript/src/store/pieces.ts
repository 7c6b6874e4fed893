/** Documents as the pieces a store keeps: whole ones, and deltas (`docs/storage.md`). */
import { createHash } from 'node:crypto';
import { constants, deflateSync, inflateSync } from 'node:zlib';
import { DocumentError, StoreError } from '../errors.js';
import type { PortableRunState } from '../state/document.js';
import { isObj } from '../state/json.js';
import type { Piece, StoredRun } from './base.js';
import { apply, delta, dictionary } from './delta.js';
import { parseJson } from './json.js';
import { isSealed, type Keyring, openSealed } from './seal.js';

/** Bytes of deltas that are always worth keeping before the next whole document. */
export const LEAST = 262_144;

/** Bytes of JSON a piece may hold: more was never written, and would not fit into a string. */
export const MOST = 2 ** 29;

/** How a delta is compressed: it repeats mostly what the dictionary says. */
const PACKED = { level: constants.Z_BEST_COMPRESSION, dictionary };

/** How anything is decompressed; the dictionary is used where the data says so. */
const UNPACKED = { maxOutputLength: MOST, info: true, dictionary };

/** The newest revision a store has read or written. It shares nothing with anybody. */
export interface Known {
  readonly revision: number;
  readonly document: PortableRunState;
  /** Length of the JSON of the newest whole document up to here, in bytes. */
  readonly whole: number;
  /** What the deltas since then take where they are stored, in bytes. */
  readonly since: number;
}

/**
 * The piece that stores a document as the revision after the known one, and what is known then. A
 * delta where that is what to write, else the whole document, in clear as `text`.
 *
 * @throws StoreError `wrong-key`
 */
export async function encode(
  runId: string,
  document: PortableRunState,
  known: Known | undefined,
  keys: Keyring | undefined,
): Promise<{ piece: Piece; known: Known }> {
  const revision = (known?.revision ?? 0) + 1;
  if (known && known.since <= Math.max(LEAST, known.whole)) {
    const base = known.revision;
    const text = Buffer.from(JSON.stringify(delta(known.document, document)));
    if (text.length < known.whole) {
      const data = await seal(deflateSync(text, PACKED), runId, revision, keys);
      const newest = apply(known.document, JSON.parse(text.toString()));
      return {
        piece: { revision, base, checksum: checksum(revision, base, data), data },
        known: { ...known, revision, document: newest, since: known.since + data.length },
      };
    }
  }
  const text = JSON.stringify(document);
  const bytes = Buffer.from(text);
  const data = keys ? await seal(deflateSync(bytes), runId, revision, keys) : new Uint8Array();
  const piece: Piece = keys
    ? { revision, checksum: checksum(revision, undefined, data), data }
    : { revision, checksum: checksum(revision, undefined, bytes), data, text };
  return {
    piece,
    known: { revision, document: JSON.parse(text), whole: bytes.length, since: 0 },
  };
}

/**
 * The document that pieces hold.
 *
 * @throws StoreError `damaged-history` with the first damaged revision and the newest before it
 * that these pieces still give, if any (revisions before the first piece were not looked at);
 * `wrong-key`.
 * @throws DocumentError `unsafe-integer`
 */
export async function decode(
  runId: string,
  stored: StoredRun,
  keys: Keyring | undefined,
): Promise<Known> {
  let known: Known | undefined;
  for (const piece of stored.pieces) {
    const { revision, base } = piece;
    const expected: number | undefined = known ? known.revision + 1 : base;
    if (expected !== undefined && revision !== expected) {
      throw damaged(runId, expected, known, 'is missing');
    }
    if (base !== undefined && base !== revision - 1) {
      throw damaged(runId, revision, known, 'does not start from the one before');
    }
    try {
      known = after(piece, await open(runId, piece, keys), known);
    } catch (error) {
      if (isDamage(error)) {
        throw damaged(runId, revision, known, `is damaged (${error.message})`, error);
      }
      throw error;
    }
  }
  if (!known || known.revision < stored.revision) {
    throw damaged(runId, known ? known.revision + 1 : stored.revision, known, 'is missing');
  }
  return known;
}

/**
 * What tells a piece from a damaged one: of its stored bytes, or of its JSON text in UTF-8 where it
 * is a whole document in clear.
 */
export function checksum(
  revision: number,
  base: number | undefined,
  stored: Uint8Array,
): Uint8Array {
  const hash = createHash('sha256')
    .update(`${revision}:${base ?? 0}:`)
    .update(stored);
  return new Uint8Array(hash.digest().subarray(0, 8));
}

/** What is known after a piece. The document of `known` is used up. */
function after({ revision, base, data }: Piece, json: Uint8Array, known: Known | undefined): Known {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
  const value = parseJson(text, 'its JSON');
  if (base === undefined || !known) {
    if (!isObj(value)) {
      throw new Damage('no document');
    }
    return {
      revision,
      document: value as unknown as PortableRunState,
      whole: json.length,
      since: 0,
    };
  }
  const document = apply(known.document, value, { owned: true });
  return { ...known, revision, document, since: known.since + data.length };
}

/** The JSON of a piece. */
async function open(runId: string, piece: Piece, keys: Keyring | undefined): Promise<Uint8Array> {
  const { revision, base, data, text } = piece;
  if (base === undefined && !isSealed(data)) {
    const json = text === undefined ? decompress(data) : Buffer.from(text);
    check(piece, json);
    return json;
  }
  check(piece, data);
  return decompress(isSealed(data) ? await openSealed(data, place(runId, revision), keys) : data);
}

function check({ revision, base, checksum: wanted }: Piece, stored: Uint8Array): void {
  if (Buffer.compare(checksum(revision, base, stored), wanted) !== 0) {
    throw new Damage('its checksum is wrong');
  }
}

async function seal(
  data: Uint8Array,
  runId: string,
  revision: number,
  keys: Keyring | undefined,
): Promise<Uint8Array> {
  return keys ? await keys.seal(data, place(runId, revision)) : data;
}

function place(runId: string, revision: number): string {
  return `timestep:piece:${runId}:${revision}`;
}

function decompress(data: Uint8Array): Uint8Array {
  let read: { buffer: Uint8Array; engine: { bytesWritten: number } };
  try {
    read = inflateSync(data, UNPACKED) as unknown as typeof read;
  } catch (error) {
    throw new Damage(error instanceof Error ? error.message : String(error));
  }
  if (read.engine.bytesWritten !== data.length) {
    throw new Damage('it goes on after its end');
  }
  return read.buffer;
}

/** What is wrong with one piece. */
class Damage extends Error {}

/** Whether an error says that a piece is damaged, and not that it cannot be opened here. */
function isDamage(error: unknown): error is Error {
  return (
    error instanceof Damage ||
    error instanceof TypeError || // of TextDecoder: not UTF-8
    error instanceof RangeError ||
    (error instanceof DocumentError && error.code === 'malformed')
  );
}

function damaged(
  runId: string,
  revision: number,
  known: Known | undefined,
  what: string,
  cause?: Error,
): StoreError {
  return new StoreError(`revision ${revision} of ${runId} ${what}`, 'damaged-history', {
    revision,
    loadable: known?.revision,
    ...(cause && { cause }),
  });
}
