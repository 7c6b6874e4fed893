/** Sealing: the same bytes in every port, keys that rotate, and nothing said about a key. */
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { isSealed, Keyring, type Keys, keyring, openSealed } from '../../src/store/seal.js';

interface Case {
  name: string;
  key: string;
  place: string;
  nonce: string;
  data: string;
  sealed: string;
}

interface Vectors {
  keys: Record<string, string>;
  by_python: Case[];
  by_typescript: Case[];
}

const VECTORS: Vectors = JSON.parse(
  readFileSync(new URL('../../../tests/vectors/seal.json', import.meta.url), 'utf8'),
);
const KEYS = new Map(
  Object.entries(VECTORS.keys).map(([id, key]) => [id, Buffer.from(key, 'base64')]),
);
const CASES = [...VECTORS.by_python, ...VECTORS.by_typescript];
const OLD = Uint8Array.from({ length: 32 }, (_, index) => index);
const NEW = OLD.map((byte) => byte + 32);
const PLACE = 'timestep:item:chat';
const X = Buffer.from('x');

const wrongKey = (message: RegExp | string = /./) =>
  expect.objectContaining({ code: 'wrong-key', message: expect.stringMatching(message) });

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('shared vectors', () => {
  test.each(CASES)('what either port sealed opens: $name', async ({ place, data, sealed }) => {
    const bytes = Buffer.from(sealed, 'base64');
    expect(isSealed(bytes)).toBe(true);
    const opened = await new Keyring(KEYS).open(bytes, place);
    expect(Buffer.from(opened).toString('base64')).toBe(data);
  });

  test.each(CASES)('both ports seal to the same bytes: $name', async (one) => {
    vi.spyOn(globalThis.crypto, 'getRandomValues').mockImplementation((array) => {
      (array as Uint8Array).set(Buffer.from(one.nonce, 'hex'));
      return array;
    });
    const sealed = await new Keyring(KEYS, one.key).seal(
      Buffer.from(one.data, 'base64'),
      one.place,
    );
    expect(Buffer.from(sealed).toString('base64')).toBe(one.sealed);
  });
});

describe('keys', () => {
  test('no nonce comes twice', async () => {
    const keys = new Keyring({ a: OLD });
    const all = await Promise.all(Array.from({ length: 50 }, () => keys.seal(X, PLACE)));
    expect(new Set(all.map((sealed) => Buffer.from(sealed).toString('hex'))).size).toBe(50);
  });

  test('new values take the current key and old ones open with theirs', async () => {
    const before = await new Keyring({ old: OLD }).seal(Buffer.from('before'), PLACE);
    const rotated = new Keyring({ new: NEW, old: OLD });
    const after = await rotated.seal(Buffer.from('after'), PLACE);
    expect(text(await rotated.open(before, PLACE))).toBe('before');
    expect(text(await new Keyring({ new: NEW }).open(after, PLACE))).toBe('after');
    const named = await new Keyring({ new: NEW, old: OLD }, 'old').seal(X, PLACE);
    expect(text(await new Keyring({ old: OLD }).open(named, PLACE))).toBe('x');
  });

  test('a function finds keys and may be async', async () => {
    const asked: (string | undefined)[] = [];
    const known: Record<string, Uint8Array> = { old: OLD, new: NEW };
    const later = async (id?: string) => {
      asked.push(id);
      const key = known[id ?? 'new'];
      return key && ([id ?? 'new', key] as const);
    };
    const keys = new Keyring(later);
    const sealed = await keys.seal(X, PLACE);
    expect(text(await keys.open(sealed, PLACE))).toBe('x');
    expect(asked).toEqual([undefined, 'new']);
    const named = await new Keyring(later, 'old').seal(X, PLACE);
    expect(text(await new Keyring({ old: OLD }).open(named, PLACE))).toBe('x');
    const other = await new Keyring({ gone: OLD }).seal(X, PLACE);
    await expect(keys.open(other, PLACE)).rejects.toEqual(wrongKey());
    await expect(new Keyring(() => undefined).seal(X, PLACE)).rejects.toEqual(wrongKey());
    await expect(new Keyring(() => ['old', OLD]).open(sealed, PLACE)).rejects.toThrow(
      new RangeError('asked for the key new, the function gave the key old'),
    );
    await expect(new Keyring(() => ['short', X]).seal(X, PLACE)).rejects.toThrow(
      new RangeError('the key short has 1 bytes, not 32'),
    );
  });

  test('one that is not there or another one is a wrong key', async () => {
    const sealed = await new Keyring({ a: OLD }).seal(X, PLACE);
    await expect(new Keyring({ b: OLD }).open(sealed, PLACE)).rejects.toEqual(
      wrongKey('sealed with the key a, which is not there'),
    );
    await expect(new Keyring({ a: NEW }).open(sealed, PLACE)).rejects.toEqual(
      wrongKey('another key'),
    );
    await expect(openSealed(sealed, PLACE, undefined)).rejects.toEqual(
      wrongKey('there are no keys'),
    );
    expect(text(await openSealed(sealed, PLACE, new Keyring({ a: OLD })))).toBe('x');
  });

  test('a value opens at its place alone', async () => {
    const keys = new Keyring({ a: OLD });
    const sealed = await keys.seal(X, 'timestep:piece:run:1');
    for (const place of ['timestep:piece:run:2', 'timestep:piece:nur:1', 'timestep:item:run']) {
      await expect(keys.open(sealed, place)).rejects.toEqual(wrongKey());
    }
  });

  test('every damaged byte is noticed', async () => {
    const keys = new Keyring({ a: OLD });
    const sealed = await keys.seal(Buffer.from('a few bytes'), PLACE);
    for (const index of sealed.keys()) {
      const damaged = sealed.map((byte, at) => (at === index ? byte ^ 1 : byte));
      await expect(keys.open(damaged, PLACE)).rejects.toEqual(wrongKey());
      await expect(keys.open(sealed.subarray(0, index), PLACE)).rejects.toEqual(wrongKey());
    }
  });

  test.each(['', 'a b', 'a:b', 'ä', 'x'.repeat(65), 'a\n'])('no id: %j', (id) => {
    expect(() => new Keyring({ [id]: OLD })).toThrow(RangeError);
  });

  test.each<[unknown, string | undefined, typeof TypeError, RegExp]>([
    [{ a: X }, undefined, RangeError, /the key a has 1 bytes, not 32/],
    [{ a: 'secret' }, undefined, TypeError, /the key a is string, not a Uint8Array/],
    [{}, undefined, RangeError, /needs a key/],
    [{ a: OLD }, 'b', RangeError, /'b' is not among the keys/],
    ['a', undefined, TypeError, /a function/],
    [new Map([[1, OLD]]), undefined, TypeError, /a key id is text/],
  ])('no keys: %j %s', (keys, current, kind, message) => {
    expect(() => new Keyring(keys as Keys, current)).toThrow(kind);
    expect(() => new Keyring(keys as Keys, current)).toThrow(message);
  });

  test('none is shown', async () => {
    const key = Buffer.from('secret-key-of-32-bytes-exactly!!');
    const keys = new Keyring({ a: key });
    const sealed = await keys.seal(X, PLACE);
    const error = await new Keyring({ a: OLD }).open(sealed, PLACE).catch((caught) => caught);
    for (const shown of [inspect(keys), String(keys), JSON.stringify(keys), inspect(error)]) {
      expect(shown).not.toContain('secret-key');
      expect(shown).not.toContain(key.toString('base64'));
      expect(shown).not.toContain(key.toString('hex').slice(0, 8));
    }
    expect(inspect(keys)).toBe('<Keyring a; current a>');
    expect(inspect(new Keyring(() => ['a', key]))).toBe(
      '<Keyring function; current as the function says>',
    );
  });
});

describe('the environment', () => {
  const base64 = (key: Uint8Array) => Buffer.from(key).toString('base64');

  test('holds keys', async () => {
    vi.stubEnv('TIMESTEP_ENCRYPTION_KEYS', undefined);
    expect(keyring()).toBeUndefined();
    vi.stubEnv('TIMESTEP_ENCRYPTION_KEYS', ' \n');
    expect(keyring()).toBeUndefined();
    vi.stubEnv('TIMESTEP_ENCRYPTION_KEYS', ` n:${base64(NEW)} , o:${base64(OLD)}\n`);
    const keys = keyring() as Keyring;
    expect(text(await new Keyring({ n: NEW }).open(await keys.seal(X, PLACE), PLACE))).toBe('x');
    expect(text(await keys.open(await new Keyring({ o: OLD }).seal(X, PLACE), PLACE))).toBe('x');
    expect(keyring(keys)).toBe(keys);
  });

  test.each([
    base64(OLD),
    `a:${base64(OLD)},`,
    `a:${base64(OLD).slice(0, -4)}`,
    `a b:${base64(OLD)}`,
    `a:${base64(Buffer.concat([OLD, OLD]))}`,
    `a:${base64(OLD)},a:${base64(NEW)}`,
  ])('that cannot be is refused without telling a key: %s', (value) => {
    vi.stubEnv('TIMESTEP_ENCRYPTION_KEYS', value);
    expect(() => keyring()).toThrow(RangeError);
    expect(() => keyring()).toThrow(/TIMESTEP_ENCRYPTION_KEYS/);
    expect(() => keyring()).not.toThrow(/AAECAwQ/);
  });
});
