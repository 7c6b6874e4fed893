import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { apply, delta } from '../../src/store/delta.js';
import { parseJson } from '../../src/store/json.js';

type Json = Record<string, unknown>;

interface Vector {
  name: string;
  old: Json;
  new: Json;
  delta: unknown[];
}

const TEXT = readFileSync(new URL('../../../tests/vectors/delta.json', import.meta.url), 'utf8');
const VECTORS: { deltas: Vector[]; damaged: { old: Json; delta: unknown }[] } = JSON.parse(TEXT);

/** Members by key: the order of a document's own keys does not matter, that of others does. */
function texts(document: Json): Record<string, string> {
  return Object.fromEntries(
    Object.entries(document).map(([key, value]) => [key, JSON.stringify(value)]),
  );
}

describe('deltas', () => {
  test.each(VECTORS.deltas)('$name', ({ old, new: next, delta: wanted }) => {
    const before = JSON.stringify(old);
    expect(delta(old, next)).toEqual(wanted);
    expect(texts(apply(old, wanted))).toEqual(texts(next));
    expect(JSON.stringify(old)).toBe(before);
    expect(texts(apply(structuredClone(old), wanted, { owned: true }))).toEqual(texts(next));
  });

  test.each(VECTORS.damaged)('$delta is none, or does not fit', ({ old, delta: damaged }) => {
    expect(() => apply(old, damaged)).toThrowError(expect.objectContaining({ code: 'malformed' }));
  });

  test('integers that would change are refused where the text is read', () => {
    expect(() => parseJson(TEXT, 'the vectors')).toThrowError(
      expect.objectContaining({ code: 'unsafe-integer' }),
    );
  });

  test('lead from any document to any other', () => {
    const random = generator(1);
    for (let round = 0; round < 500; round += 1) {
      const old: Json = { list: Array.from({ length: 6 }, () => value(random)), a: value(random) };
      let next: Json = structuredClone(old);
      for (let times = random(5); times > 0; times -= 1) {
        next = changed(random, next) as Json;
      }
      const written = JSON.parse(JSON.stringify(delta(old, next)));
      expect(texts(apply(old, written))).toEqual(texts(next));
    }
  });
});

type Random = (below: number) => number;

/** A small generator of numbers that are the same in every run. */
function generator(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
}

const SCALARS = [null, true, false, 0, 1, 1.5, '', 'a', 'a/b~c', '\u00e9', '\ud800'];
const KEYS = ['a', 'b', 'a/b', '~', '', 'type', 'id', 'call_id', '\ud83d\ude00', '__proto__'];

function value(random: Random, depth = 0): unknown {
  const kind = random(depth < 4 ? 8 : 5);
  if (kind < 5) {
    return SCALARS[random(SCALARS.length)];
  }
  if (kind === 5) {
    return Array.from({ length: random(5) }, () => value(random, depth + 1));
  }
  const members = Array.from({ length: random(5) }, () => [
    KEYS[random(KEYS.length)],
    value(random, depth + 1),
  ]);
  return Object.fromEntries(members);
}

function changed(random: Random, old: unknown, top = true): unknown {
  if (Array.isArray(old) && old.length > 0) {
    const list = [...old];
    const index = random(list.length);
    const action = random(3);
    list.splice(index, action === 1 ? 0 : 1, ...(action === 2 ? [] : [value(random)]));
    if (action === 0) {
      list[index] = changed(random, old[index], false);
    }
    return list;
  }
  if (typeof old === 'object' && old !== null && Object.keys(old).length > 0) {
    const entries = Object.entries(old);
    const index = random(entries.length);
    const entry = entries[index];
    if (entry) {
      entries[index] = [entry[0], changed(random, entry[1], false)];
      entries.push(...entries.splice(0, random(2)));
    }
    return Object.fromEntries(entries);
  }
  return top ? old : value(random);
}
