/** A conversation that both languages can continue (`docs/sessions.md`). */
import { randomUUID } from 'node:crypto';
import type { AgentInputItem, Session as AgentSession } from '@openai/agents';
import { DocumentError, StoreError } from './errors.js';
import { canonical } from './state/canonical.js';
import { isObj, type Obj, step, str, text } from './state/json.js';
import { toProtocol } from './state/protocol/items.js';
import { wireOf, withoutProviderData } from './state/runItems.js';
import type { Backend } from './store/base.js';
import { checkId } from './store/generations.js';
import { parseJson } from './store/json.js';
import { defaultLocation, openBackend, parse } from './store/location.js';
import { type Keyring, type Keys, keyring, openSealed } from './store/seal.js';

/** Where a {@link Session} is kept, and with which keys. */
export interface SessionOptions {
  /**
   * A folder, `postgresql://...` or `pglite:<folder>`; left out, `TIMESTEP_LOCATION` or the folder
   * `.timestep`.
   */
  location?: string;
  /** Keys that seal the items (`docs/encryption.md`); left out, those of the environment, if any. */
  keys?: Keyring | Keys;
}

/**
 * The history of a conversation, for `runAgent` and the SDK's `Runner`: its `Session`.
 *
 * The same id at the same location is the same conversation, in either language. Nothing is opened
 * before it is needed. `close`, or `await using`, ends what was opened; a closed session that is
 * used again opens it again.
 */
export class Session implements AgentSession {
  /** Any text of 1 to 200 characters. */
  readonly sessionId: string;
  readonly location: string;
  readonly #keys: Keyring | undefined;
  readonly #place: string;
  #opened: Promise<Backend> | undefined;

  /**
   * @param sessionId - Which conversation; a new one with a random id where it is left out.
   * @throws StoreError `unknown-location` for an id that cannot be, and for a single `.json` file,
   * which keeps no sessions.
   */
  constructor(sessionId: string = randomUUID(), { location, keys }: SessionOptions = {}) {
    checkId(sessionId);
    this.sessionId = sessionId;
    this.location = location ?? defaultLocation();
    if (parse(this.location).kind === 'file') {
      throw new StoreError(
        `${this.location} is a file for one run and keeps no sessions`,
        'unknown-location',
        { hint: 'Give a folder, postgresql://... or pglite:<folder>.' },
      );
    }
    this.#keys = keyring(keys);
    this.#place = `timestep:item:${sessionId}`;
  }

  /** The id of the conversation. */
  async getSessionId(): Promise<string> {
    return this.sessionId;
  }

  /**
   * The newest `limit` items, oldest first. Without one, or with more than there are, it is all;
   * 0 or a negative one is none, as in the SDK's `MemorySession`.
   *
   * What the SDK has no item for is its `unknown` item, which goes to the model as it is.
   *
   * @throws StoreError `wrong-key`, ...; DocumentError `unsafe-integer`, `malformed`.
   */
  async getItems(limit?: number): Promise<AgentInputItem[]> {
    if (limit !== undefined && limit <= 0) {
      return [];
    }
    const backend = await this.#backend();
    const stored = await backend.readItems(this.sessionId, limit);
    return itemsOf(await Promise.all(stored.map((each) => this.#wire(each))));
  }

  /**
   * Appends items, all or none, in the form that a run state gives them.
   *
   * @throws DocumentError `malformed` for an item that is no JSON or no item of the SDK, with its
   * place; nothing is stored then.
   */
  async addItems(items: AgentInputItem[]): Promise<void> {
    const texts = items.map(textOf);
    if (texts.length === 0) {
      return;
    }
    const keys = this.#keys;
    const stored: (string | Uint8Array)[] =
      keys === undefined
        ? texts
        : await Promise.all(texts.map((each) => keys.seal(Buffer.from(each), this.#place)));
    const backend = await this.#backend();
    await backend.addItems(this.sessionId, stored);
  }

  /**
   * Takes the newest item out; undefined if there is none. No two callers get the same one. An
   * item that cannot be read stays.
   *
   * @throws StoreError `wrong-key`, ...; DocumentError `unsafe-integer`, `malformed`.
   */
  async popItem(): Promise<AgentInputItem | undefined> {
    const backend = await this.#backend();
    for (const stored of await backend.readItems(this.sessionId, 1)) {
      await this.#wire(stored);
    }
    const popped = await backend.popItem(this.sessionId);
    return popped === undefined ? undefined : itemsOf([await this.#wire(popped)])[0];
  }

  /** Removes the conversation; the same id then starts a new one. */
  async clearSession(): Promise<void> {
    const backend = await this.#backend();
    await backend.clearItems(this.sessionId);
  }

  /**
   * The items as the session would give them back, one by one: the SDK compares what it has stored
   * with what it meant to store.
   */
  prepareHistoryItemsForPersistenceComparison(items: AgentInputItem[]): AgentInputItem[] {
    return items.flatMap((item, index) => itemsOf([parseItem(textOf(item, index))]));
  }

  /** Ends what was opened for this session. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await (await opened)?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #backend(): Promise<Backend> {
    if (this.#opened === undefined) {
      const opened = openBackend(this.location);
      this.#opened = opened;
      opened.catch(() => {
        this.#opened = this.#opened === opened ? undefined : this.#opened;
      });
    }
    return this.#opened;
  }

  async #wire(stored: string | Uint8Array): Promise<Obj> {
    const json =
      typeof stored === 'string'
        ? stored
        : Buffer.from(await openSealed(stored, this.#place, this.#keys)).toString();
    return parseItem(json);
  }
}

/** The item as it is stored. */
function textOf(item: AgentInputItem, index: number): string {
  const pointer = step(index);
  try {
    requireJson(item, pointer);
    return canonical(wireOf(item, pointer));
  } catch (error) {
    if (error instanceof RangeError) {
      throw malformed('the item contains itself, or is too deep', pointer);
    }
    throw error instanceof DocumentError
      ? malformed(error.message, error.pointer ?? pointer)
      : error;
  }
}

/** @throws DocumentError `malformed` for what `JSON.stringify` would write as something else. */
function requireJson(value: unknown, pointer: string): void {
  if (typeof value !== 'object' || value === null) {
    return; // `canonical` refuses what is no JSON among these
  }
  if (Array.isArray(value)) {
    for (const [index, entry] of value.entries()) {
      requireJson(entry, pointer + step(index));
    }
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw malformed(`a ${value.constructor.name} is no JSON value`, pointer);
  }
  for (const [key, entry] of Object.entries(value)) {
    requireJson(entry, pointer + step(key));
  }
}

function parseItem(json: string): Obj {
  const item = parseJson(json, 'an item of the session');
  if (!isObj(item)) {
    throw malformed('an item of the session is no JSON object');
  }
  return item;
}

/** The SDK's items. A result takes its tool's name from its call, where that is among the items. */
function itemsOf(wires: readonly Obj[]): AgentInputItem[] {
  const calls = new Map<string, { name: string; namespace?: string }>();
  for (const { type, call_id: callId, name, namespace } of wires) {
    if (type === 'function_call' && typeof callId === 'string') {
      calls.set(callId, { name: str(name) ?? callId, namespace: text(namespace) });
    }
  }
  return wires.map(
    (wire) => toProtocol(withoutProviderData(wire), { calls }) as unknown as AgentInputItem,
  );
}

function malformed(message: string, pointer?: string): DocumentError {
  return new DocumentError(message, 'malformed', {
    pointer,
    hint: 'Give input items of the SDK, as JSON.',
  });
}
