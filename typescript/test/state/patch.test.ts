import { describe, expect, test } from 'vitest';
import { apply, diff } from '../../src/state/patch.js';

const PAIRS: [string, unknown, unknown][] = [
  ['nothing', { a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
  ['a value', { a: 1 }, { a: 2 }],
  ['null and missing', { a: null, b: 1 }, { b: null }],
  ['a key with slash and tilde', { 'a/b~c': { x: 1 } }, { 'a/b~c': { x: 2, '/': 3 } }],
  ['an entry at the start', [1, 2, 3], [0, 1, 2, 3]],
  ['an entry in the middle', [{ a: 1 }, { b: 1 }], [{ a: 1 }, { n: 1 }, { b: 1 }]],
  ['entries at the end', [1], [1, 2, 3]],
  ['entries taken out', [1, 2, 3, 4, 5], [1, 5]],
  ['entries changed and taken out', [{ a: 1 }, 2, 3, 9], [{ a: 2 }, 9]],
  ['another type', { a: [] }, { a: {} }],
  ['the root', [1], { a: 1 }],
  ['an own __proto__', JSON.parse('{"a":1}'), JSON.parse('{"a":1,"__proto__":{"b":1}}')],
];

describe('residue', () => {
  test.each(PAIRS)('%s, there and back', (_name, from, to) => {
    expect(apply(from, diff(from, to))).toEqual(to);
    expect(apply(to, diff(to, from))).toEqual(from);
  });

  test('equal values need no operation', () => {
    expect(diff({ a: [{ b: 1 }] }, { a: [{ b: 1 }] })).toEqual([]);
  });

  test('a changed leaf costs one operation', () => {
    const from = { items: [1, 2, { deep: { x: 1, y: 2 } }] };
    const to = { items: [1, 2, { deep: { x: 1, y: 3 } }] };
    expect(diff(from, to)).toEqual([{ op: 'replace', path: '/items/2/deep/y', value: 3 }]);
  });

  test('a key without a value is no key', () => {
    expect(diff({ a: 1, b: 2 }, { a: 1, b: undefined, c: undefined })).toEqual([
      { op: 'remove', path: '/b' },
    ]);
  });

  test('neither the value nor the patch is changed', () => {
    const shared = { x: 1 };
    const value = { a: shared, b: shared };
    const patch = [{ op: 'replace' as const, path: '/a/x', value: 2 }];
    expect(apply(value, patch)).toEqual({ a: { x: 2 }, b: { x: 1 } });
    expect(value).toEqual({ a: { x: 1 }, b: { x: 1 } });
    const added = [{ op: 'add' as const, path: '/c', value: {} }];
    const more = [...added, { op: 'add' as const, path: '/c/d', value: 1 }];
    expect(apply({}, more)).toEqual({ c: { d: 1 } });
    expect(added[0]?.value).toEqual({});
  });

  test.each([
    { op: 'remove' as const, path: '/none' },
    { op: 'replace' as const, path: '/none', value: 1 },
    { op: 'add' as const, path: '/none/deeper', value: 1 },
    { op: 'add' as const, path: '/list/5', value: 1 },
    { op: 'remove' as const, path: '/list/1' },
    { op: 'replace' as const, path: '/list/x', value: 1 },
    { op: 'add' as const, path: '/toString/x', value: 1 },
  ])('$op $path points nowhere', (operation) => {
    expect(() => apply({ list: [1] }, [operation])).toThrowError(
      expect.objectContaining({ code: 'malformed' }),
    );
  });
});
