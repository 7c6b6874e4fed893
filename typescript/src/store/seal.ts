/** Values that are sealed with a key, bound to their place (`docs/encryption.md`). */
import type { webcrypto } from 'node:crypto';
import { StoreError } from '../errors.js';

const ENVIRONMENT = 'TIMESTEP_ENCRYPTION_KEYS';

/** Length of a key in bytes. */
export const KEY_SIZE = 32;

/** A key of 32 bytes and its id. */
export type KeyPair = readonly [id: string, key: Uint8Array];

/**
 * Finds the key with an id, or the current key where none is given; undefined if there is no such
 * key. May be async.
 */
export type KeySource = (id?: string) => KeyPair | undefined | Promise<KeyPair | undefined>;

/** Keys of 32 bytes by their ids, the current one first; or a function that finds them. */
export type Keys =
  | Readonly<Record<string, Uint8Array>>
  | ReadonlyMap<string, Uint8Array>
  | KeySource;

const MARK = 0x01;
const NONCE = 12;
const TAG = 16;
const KEY_ID = /^[A-Za-z0-9._-]{1,64}$/;
const BASE64_KEY = /^[A-Za-z0-9+/]{43}=$/;
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/**
 * The keys of a store: new values are sealed with the current one, old ones open with theirs.
 *
 * Key ids are 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
 */
export class Keyring {
  readonly #keys = new Map<string, Promise<webcrypto.CryptoKey>>();
  readonly #find: KeySource | undefined;
  readonly #current: string | undefined;

  /**
   * @param keys - Keys by id, or a function that finds them when asked.
   * @param current - The id of the key for new values; left out, it is the first one, or what the
   * function gives where it is asked for none. (JavaScript puts numbers first in an object: give a
   * `Map` or `current` where ids are numbers.)
   * @throws RangeError for an id, a key or a `current` that cannot be, TypeError for a key that is
   * no `Uint8Array`. Neither says anything of a key but its length.
   */
  constructor(keys: Keys, current?: string) {
    if (current !== undefined) {
      checkId(current);
    }
    if (typeof keys === 'function') {
      this.#find = keys;
      this.#current = current;
      return;
    }
    if (typeof keys !== 'object' || keys === null) {
      throw new TypeError('keys are an object or a Map of key ids to Uint8Array, or a function');
    }
    const entries = keys instanceof Map ? [...keys] : Object.entries(keys);
    for (const [id, key] of entries as [string, Uint8Array][]) {
      checkId(id);
      this.#keys.set(id, imported(id, key));
    }
    const [first] = this.#keys.keys();
    if (first === undefined) {
      throw new RangeError('a keyring needs a key');
    }
    if (current !== undefined && !this.#keys.has(current)) {
      throw new RangeError(`the current key '${current}' is not among the keys`);
    }
    this.#current = current ?? first;
  }

  /**
   * The keys in `TIMESTEP_ENCRYPTION_KEYS`, or undefined where it is not set or empty. It holds
   * `id:base64,id:base64`; the first key is the current one.
   *
   * @throws RangeError
   */
  static fromEnvironment(): Keyring | undefined {
    const text = (process.env[ENVIRONMENT] ?? '').trim();
    if (text === '') {
      return undefined;
    }
    const keys = new Map<string, Uint8Array>();
    for (const [index, entry] of text.split(',').entries()) {
      const colon = entry.indexOf(':');
      const id = (colon === -1 ? entry : entry.slice(0, colon)).trim();
      const key = colon === -1 ? '' : entry.slice(colon + 1).trim();
      if (!KEY_ID.test(id) || !BASE64_KEY.test(key)) {
        throw new RangeError(
          `entry ${index + 1} of ${ENVIRONMENT} is no key id with the base64 of ` +
            `${KEY_SIZE} bytes, as in main:${'A'.repeat(43)}=`,
        );
      }
      if (keys.has(id)) {
        throw new RangeError(`${ENVIRONMENT} has the key id ${id} twice`);
      }
      keys.set(id, Buffer.from(key, 'base64'));
    }
    return new Keyring(keys);
  }

  /**
   * The data, sealed with the current key for this place and no other.
   *
   * @throws StoreError `wrong-key` if a function has no current key.
   */
  async seal(data: Uint8Array, place: string): Promise<Uint8Array> {
    const pair = await this.#key(this.#current);
    if (pair === undefined) {
      throw wrongKey(`there is no current key to seal ${place} with`);
    }
    const [id, key] = pair;
    const name = encode(id);
    const nonce = globalThis.crypto.getRandomValues(new Uint8Array(NONCE));
    const sealed = await globalThis.crypto.subtle.encrypt(
      { name: 'AES-GCM', iv: nonce, additionalData: encode(place) },
      key,
      plain(data),
    );
    const head = 2 + name.length;
    const out = new Uint8Array(head + NONCE + sealed.byteLength);
    out.set([MARK, name.length]);
    out.set(name, 2);
    out.set(nonce, head);
    out.set(new Uint8Array(sealed), head + NONCE);
    return out;
  }

  /**
   * What was sealed for this place.
   *
   * @throws StoreError `wrong-key` for a value sealed with a key that is not there or is another
   * one, or for another place, and for one that was damaged.
   */
  async open(data: Uint8Array, place: string): Promise<Uint8Array> {
    const { id, nonce, sealed } = parse(data, place);
    const pair = await this.#key(id);
    if (pair === undefined) {
      throw wrongKey(`${place} is sealed with the key ${id}, which is not there`);
    }
    try {
      return new Uint8Array(
        await globalThis.crypto.subtle.decrypt(
          { name: 'AES-GCM', iv: nonce, additionalData: encode(place) },
          pair[1],
          sealed,
        ),
      );
    } catch {
      throw wrongKey(
        `the key ${id} does not open ${place}: it is another key, or the value was damaged or ` +
          'belongs elsewhere',
      );
    }
  }

  async #key(id: string | undefined): Promise<readonly [string, webcrypto.CryptoKey] | undefined> {
    if (this.#find === undefined) {
      const key = id === undefined ? undefined : this.#keys.get(id);
      return id === undefined || key === undefined ? undefined : [id, await key];
    }
    const pair = await (id === undefined ? this.#find() : this.#find(id));
    if (pair === undefined || pair === null) {
      return undefined;
    }
    const [name, key] = pair;
    checkId(name);
    if (id !== undefined && name !== id) {
      throw new RangeError(`asked for the key ${id}, the function gave the key ${name}`);
    }
    return [name, await imported(name, key)];
  }

  /** What it shows of itself: ids, never a key. */
  toString(): string {
    const keys = this.#find === undefined ? [...this.#keys.keys()].join(', ') : 'function';
    return `<Keyring ${keys}; current ${this.#current ?? 'as the function says'}>`;
  }

  [INSPECT](): string {
    return this.toString();
  }
}

/** The keyring of what a user gave; undefined takes the environment's, or none at all. */
export function keyring(keys?: Keyring | Keys): Keyring | undefined {
  if (keys === undefined) {
    return Keyring.fromEnvironment();
  }
  return keys instanceof Keyring ? keys : new Keyring(keys);
}

/** Whether stored bytes are a sealed value; in clear they start with another byte. */
export function isSealed(data: Uint8Array): boolean {
  return data[0] === MARK;
}

/**
 * What was sealed for this place, where there may be no keys at all.
 *
 * @throws StoreError `wrong-key`.
 */
export async function openSealed(
  data: Uint8Array,
  place: string,
  keys: Keyring | undefined,
): Promise<Uint8Array> {
  if (keys === undefined) {
    const { id } = parse(data, place);
    throw wrongKey(`${place} is sealed with the key ${id}, and there are no keys`);
  }
  return keys.open(data, place);
}

interface Sealed {
  id: string;
  nonce: Uint8Array<ArrayBuffer>;
  /** Ciphertext and tag. */
  sealed: Uint8Array<ArrayBuffer>;
}

function parse(data: Uint8Array, place: string): Sealed {
  const start = 2 + (data[1] ?? 0);
  const id = Buffer.from(data.subarray(2, start)).toString('latin1');
  if (!isSealed(data) || data.length < start + NONCE + TAG || !KEY_ID.test(id)) {
    throw wrongKey(`${place} is no sealed value, or was damaged`);
  }
  const body = plain(data);
  return { id, nonce: body.slice(start, start + NONCE), sealed: body.slice(start + NONCE) };
}

function checkId(id: unknown): void {
  if (typeof id !== 'string') {
    throw new TypeError(`a key id is text, not ${typeof id}`);
  }
  if (!KEY_ID.test(id)) {
    throw new RangeError('a key id is 1 to 64 characters of A-Z a-z 0-9 . _ -');
  }
}

function imported(id: string, key: unknown): Promise<webcrypto.CryptoKey> {
  if (!(key instanceof Uint8Array)) {
    throw new TypeError(`the key ${id} is ${typeof key}, not a Uint8Array`);
  }
  if (key.length !== KEY_SIZE) {
    throw new RangeError(`the key ${id} has ${key.length} bytes, not ${KEY_SIZE}`);
  }
  return globalThis.crypto.subtle.importKey('raw', plain(key), 'AES-GCM', false, [
    'encrypt',
    'decrypt',
  ]);
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** The bytes as WebCrypto's types want them: in no shared memory. */
function plain(data: Uint8Array): Uint8Array<ArrayBuffer> {
  return data.buffer instanceof ArrayBuffer
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

function wrongKey(message: string): StoreError {
  return new StoreError(message, 'wrong-key');
}
