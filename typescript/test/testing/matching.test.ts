/** When a request is the recorded one: tests/vectors/matching.json, which Python reads too. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import {
  type Asked,
  difference,
  keptHeaders,
  pieces,
  REQUEST_HEADERS,
  RESPONSE_HEADERS,
  type Recorded,
} from '../../src/testing/index.js';
import { isStreamed } from '../../src/testing/matching.js';

interface Vectors {
  requests: { why: string; asked: Asked; recorded: Recorded; same: boolean }[];
  headers: { side: string; given: Record<string, string[]>; kept: Record<string, string[]> }[];
  pieces: { data: string; chunks?: number[]; split?: number; pieces: string[] }[];
  forms: { content_type: string; chunks?: number[]; streamed: boolean }[];
}

const file = new URL('../../../tests/vectors/matching.json', import.meta.url);
const vectors = JSON.parse(await readFile(file, 'utf8')) as Vectors;

test.each(vectors.requests)('$why', ({ asked, recorded, same }) => {
  const found = difference(asked, recorded);
  expect(found === undefined, found).toBe(same);
});

test.each(vectors.headers)('headers of a $side', ({ side, given, kept }) => {
  const allowed = side === 'request' ? REQUEST_HEADERS : RESPONSE_HEADERS;
  expect(keptHeaders(Object.entries(given), allowed)).toEqual(kept);
});

test.each(vectors.pieces)('pieces of $data', ({ data, chunks, split, pieces: expected }) => {
  const cut = pieces(new TextEncoder().encode(data), chunks, split);
  expect(cut.map((piece) => new TextDecoder().decode(piece))).toEqual(expected);
});

test.each(vectors.forms)('the form of $content_type', ({ content_type, chunks, streamed }) => {
  expect(isStreamed(content_type, chunks)).toBe(streamed);
});
