import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sortedSet } from '../../src/state/canonical.js';
import { unsafeInteger } from '../../src/state/crossing.js';
import { canonical, digest } from '../../src/state/index.js';

function vectors<T>(name: string): T[] {
  const file = new URL(`../../../tests/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')).vectors;
}

interface Vector {
  value: string;
  canonical: string;
  unsafe?: boolean;
}

const all = vectors<Vector>('canonical');

describe('canonical', () => {
  test.each(all.filter(({ unsafe }) => !unsafe))('$value', ({ value, canonical: wanted }) => {
    expect(canonical(JSON.parse(value))).toBe(wanted);
  });

  test.each(all.filter(({ unsafe }) => unsafe))('$value is refused', ({ value }) => {
    expect(unsafeInteger({ value: JSON.parse(value) })).toMatch(/^\/value/);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, () => 1])('%s is no JSON', (value) => {
    expect(() => canonical({ value })).toThrowError(expect.objectContaining({ code: 'malformed' }));
  });

  test('keys without a value are left out', () => {
    expect(canonical({ b: undefined, a: [1] })).toBe('{"a":[1]}');
  });

  test('a set is sorted by canonical JSON and has no doubles', () => {
    expect(sortedSet([{ b: 1 }, { a: 2 }, { b: 1 }])).toEqual([{ a: 2 }, { b: 1 }]);
  });
});

describe('digest', () => {
  test.each(vectors<{ name: string; document: object; digest: string }>('digest'))('$name', ({
    document,
    digest: wanted,
  }) => {
    expect(digest(document)).toBe(wanted);
  });

  test('writer and residue are no part of it', () => {
    const core = { status: 'completed' };
    expect(digest({ ...core, writer: { port: 'x' }, residue: {} })).toBe(digest(core));
    expect(digest({ status: 'interrupted' })).not.toBe(digest(core));
  });
});
