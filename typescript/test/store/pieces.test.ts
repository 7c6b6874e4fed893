import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { deflateSync, inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { PortableRunState } from '../../src/state/document.js';
import type { Piece, StoredRun } from '../../src/store/base.js';
import { dictionary } from '../../src/store/delta.js';
import { checksum, decode, encode, type Known, LEAST, MOST } from '../../src/store/pieces.js';
import { Keyring } from '../../src/store/seal.js';

const RUN = 'run/1';
const KEYS = new Keyring({ main: Uint8Array.from({ length: 32 }, (_, index) => index) });
const OTHER = new Keyring({ main: new Uint8Array(32) });
const NOTE = `\ud83d \u00e9 ${'n'.repeat(300)}`;

const PIECES = new URL('../../../tests/vectors/pieces.json', import.meta.url);
const VECTORS: {
  dictionary_sha256: string;
  runs: {
    run_id: string;
    keys?: Record<string, string>;
    pieces: {
      revision: number;
      base?: number;
      checksum: string;
      data?: string;
      text?: string;
    }[];
    known: unknown;
  }[];
} = JSON.parse(readFileSync(PIECES, 'utf8'));

/** A document that grows by one item a turn, of text that does not compress to nothing. */
function document(turns: number, note = NOTE): PortableRunState {
  const items = Array.from({ length: turns }, (_, turn) => ({
    type: 't',
    item: { id: String(turn), text: createHash('sha512').update(String(turn)).digest('hex') },
  }));
  return { format: 'timestep.run_state', items, note } as unknown as PortableRunState;
}

function stored(pieces: readonly Piece[], newest = pieces.at(-1)?.revision ?? 0): StoredRun {
  return { revision: newest, newest, pieces, decisions: [] };
}

async function history(turns: number, keys?: Keyring): Promise<Piece[]> {
  const pieces: Piece[] = [];
  let known: Known | undefined;
  for (let turn = 0; turn < turns; turn += 1) {
    const written = await encode(RUN, document(turn), known, keys);
    pieces.push(written.piece);
    known = written.known;
  }
  return pieces;
}

function at(pieces: readonly Piece[], index: number): Piece {
  const piece = pieces[index];
  if (!piece) {
    throw new Error(`no piece ${index}`);
  }
  return piece;
}

describe('pieces', () => {
  test('the first is whole, the others hold what is new', async () => {
    const pieces = await history(4);
    expect(pieces.map(({ revision, base }) => [revision, base])).toEqual([
      [1, undefined],
      [2, 1],
      [3, 2],
      [4, 3],
    ]);
    expect(JSON.parse(at(pieces, 0).text ?? '')).toEqual(document(0));
    expect(at(pieces, 0).data).toHaveLength(0);
    expect(JSON.parse(inflateSync(at(pieces, 2).data, { dictionary }).toString())).toEqual([
      { op: 'add', path: '/items/1', value: document(2).items[1] },
    ]);
    for (let end = 1; end <= 4; end += 1) {
      const known = await decode(RUN, stored(pieces.slice(0, end)), undefined);
      expect(known).toMatchObject({ revision: end, document: document(end - 1) });
    }
  });

  test('what is known is the same written or read', async () => {
    let known: Known | undefined;
    const pieces: Piece[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      const written = await encode(RUN, document(turn), known, undefined);
      known = written.known;
      pieces.push(written.piece);
      expect(await decode(RUN, stored(pieces), undefined)).toEqual(known);
    }
  });

  test('what is known is shared with nobody', async () => {
    const given = document(3);
    const first = await encode(RUN, given, undefined, undefined);
    const added = { new: ['x'] };
    Object.assign(given.items[0]?.item ?? {}, { id: 'changed' });
    given.items.push(added as never);
    const second = await encode(RUN, given, first.known, undefined);
    expect(first.known.document).toEqual(document(3));
    added.new.length = 0;
    expect(second.known.document.items.at(-1)).toEqual({ new: ['x'] });
    const read = await decode(RUN, stored([first.piece, second.piece]), undefined);
    expect(read.document).toEqual(second.known.document);
  });

  test.each([
    1000,
    2 * LEAST,
  ])('after a whole document of %i bytes, deltas may take as much, and some in any case', async (whole) => {
    const since = Math.max(LEAST, whole);
    const before: Known = { revision: 7, document: document(3), whole, since };
    const first = await encode(RUN, document(4), before, undefined);
    expect(first.piece).toMatchObject({ revision: 8, base: 7 });
    expect(first.known).toMatchObject({ whole, since: since + first.piece.data.length });
    const second = await encode(RUN, document(5), first.known, undefined);
    expect(second.piece.base).toBeUndefined();
    expect(second.known).toMatchObject({
      revision: 9,
      whole: Buffer.byteLength(second.piece.text ?? ''),
      since: 0,
    });
  });

  test('a delta that would be longer than the document is not written', async () => {
    const { known } = await encode(RUN, document(2), undefined, undefined);
    const { piece } = await encode(RUN, document(0, 'm'.repeat(5000)), known, undefined);
    expect(piece.base).toBeUndefined();
  });

  test('are sealed for their run and revision', async () => {
    const pieces = await history(3, KEYS);
    expect(pieces.every(({ text, data }) => text === undefined && data[0] === 1)).toBe(true);
    expect((await decode(RUN, stored(pieces), KEYS)).document).toEqual(document(2));
    const wrong = expect.objectContaining({ code: 'wrong-key' });
    await expect(decode(RUN, stored(pieces), undefined)).rejects.toThrowError(wrong);
    await expect(decode(RUN, stored(pieces), OTHER)).rejects.toThrowError(wrong);
    await expect(decode('run/2', stored(pieces), KEYS)).rejects.toThrowError(wrong);
  });

  test('may be in clear and sealed in one run', async () => {
    const first = await encode(RUN, document(1), undefined, undefined);
    const second = await encode(RUN, document(2), first.known, KEYS);
    const known = await decode(RUN, stored([first.piece, second.piece]), KEYS);
    expect(known.document).toEqual(document(2));
  });

  test('a place may give a whole document in clear compressed', async () => {
    const [first, second] = await history(2);
    const { text = '', ...packed } = { ...(first as Piece) };
    const pieces = [{ ...packed, data: deflateSync(text) }, second as Piece];
    expect((await decode(RUN, stored(pieces), undefined)).document).toEqual(document(1));
  });

  test('the dictionary of deltas never changes', () => {
    const digest = createHash('sha256').update(dictionary).digest('hex');
    expect(digest).toBe(VECTORS.dictionary_sha256);
  });

  test.each(VECTORS.runs)('of both ports are read: $run_id', async (run) => {
    const pieces = run.pieces.map(
      ({ revision, base, checksum: hex, data = '', text }): Piece => ({
        revision,
        checksum: Buffer.from(hex, 'hex'),
        data: Buffer.from(data, 'base64'),
        ...(base !== undefined && { base }),
        ...(text !== undefined && { text }),
      }),
    );
    const keys = Object.entries(run.keys ?? {}).map(([id, key]) => [
      id,
      Buffer.from(key, 'base64'),
    ]);
    const ring = keys.length > 0 ? new Keyring(Object.fromEntries(keys)) : undefined;
    expect(await decode(run.run_id, stored(pieces), ring)).toEqual(run.known);
  });
});

/** Other stored bytes, with a checksum that is right. */
function bad(piece: Piece, data: Uint8Array): Piece {
  return { ...piece, data, checksum: checksum(piece.revision, piece.base, data) };
}

function badDelta(piece: Piece, text: string): Piece {
  return bad(piece, deflateSync(Buffer.from(text, 'latin1')));
}

const DAMAGE: [string, (piece: Piece) => Piece][] = [
  ['cut off', (piece) => ({ ...piece, data: piece.data.subarray(0, -9) })],
  ['another checksum', (piece) => ({ ...piece, checksum: Buffer.from('01234567') })],
  ['of another revision', (piece) => ({ ...piece, checksum: checksum(9, 8, piece.data) })],
  [
    'of another dictionary',
    (piece) => bad(piece, deflateSync('[]', { dictionary: dictionary.subarray(1) })),
  ],
  ['not compressed', (piece) => bad(piece, Buffer.from('x'.repeat(20)))],
  ['empty', (piece) => bad(piece, Buffer.of())],
  ['compressed, cut off', (piece) => bad(piece, piece.data.subarray(0, -9))],
  ['goes on after its end', (piece) => bad(piece, Buffer.concat([piece.data, Buffer.of(1)]))],
  ['not JSON', (piece) => badDelta(piece, '[}')],
  ['not UTF-8', (piece) => badDelta(piece, '["\xff"]')],
  ['no patch', (piece) => badDelta(piece, '{"op": "add"}')],
  ['no operation', (piece) => badDelta(piece, '[1]')],
  ['does not fit', (piece) => badDelta(piece, '[{"op": "remove", "path": "/x"}]')],
  ['leaves no document', (piece) => badDelta(piece, '[{"op": "add", "path": "", "value": 1}]')],
  ['NaN', (piece) => badDelta(piece, '[{"op": "add", "path": "/x", "value": NaN}]')],
  ['too large', (piece) => bad(piece, deflateSync(Buffer.alloc(MOST + 1, 32), { level: 1 }))],
  ['other base', (piece) => ({ ...piece, base: 1, checksum: checksum(3, 1, piece.data) })],
];

describe('damage', () => {
  test.each(DAMAGE)('%s is named, with what can still be read', async (_kind, damage) => {
    const pieces = await history(4);
    pieces[2] = damage(at(pieces, 2));
    await expect(decode(RUN, stored(pieces), undefined)).rejects.toThrowError(
      expect.objectContaining({ code: 'damaged-history', revision: 3, loadable: 2 }),
    );
    const known = await decode(RUN, stored(pieces.slice(0, 2)), undefined);
    expect(known.document).toEqual(document(1));
  });

  test.each(['', '[]', '1', '{"a": NaN}', '{', '{}x'])('a document %s', async (text) => {
    const piece = { revision: 7, checksum: checksum(7, undefined, Buffer.from(text)), text };
    const run = stored([{ ...piece, data: new Uint8Array() }]);
    await expect(decode(RUN, run, undefined)).rejects.toSatisfy(
      ({ code, revision, loadable }) =>
        code === 'damaged-history' && revision === 7 && loadable === undefined,
    );
  });

  test('an integer that would change is not damage', async () => {
    const text = '{"n": 9007199254740993}';
    const piece = { revision: 1, checksum: checksum(1, undefined, Buffer.from(text)), text };
    const run = stored([{ ...piece, data: new Uint8Array() }]);
    await expect(decode(RUN, run, undefined)).rejects.toThrowError(
      expect.objectContaining({ code: 'unsafe-integer' }),
    );
  });

  test.each([
    [[], 4, undefined],
    [[1, 2, 3], 1, undefined],
    [[0, 2, 3], 2, 1],
    [[0, 1, 3], 3, 2],
    [[0, 1, 2], 4, 3],
  ])('with only the pieces %j', async (kept, revision, loadable) => {
    const pieces = await history(4);
    const run = stored(
      kept.map((index) => at(pieces, index)),
      4,
    );
    await expect(decode(RUN, run, undefined)).rejects.toSatisfy(
      (error) =>
        error.code === 'damaged-history' &&
        error.revision === revision &&
        error.loadable === loadable,
    );
  });
});
