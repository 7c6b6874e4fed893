/** Sessions in a folder: a log of items for each (`docs/storage.md`, "Sessions"). */
import { join } from 'node:path';
import { AppendFile } from './appendFile.js';
import { create, folderName, newest, remove } from './generations.js';
import { EMPTY, type Entry, encode, mark } from './log.js';

/** An item as a backend takes and gives it: JSON text, or sealed bytes. */
type Item = string | Uint8Array;

/** The sessions of a folder. */
export class Sessions {
  constructor(private readonly path: string) {}

  /** Appends items, all or nothing. */
  async add(sessionId: string, items: readonly Item[]): Promise<void> {
    if (items.length === 0) {
      return;
    }
    const line = { ...mark(EMPTY, new Date()), items: items.map(toLine) };
    for (;;) {
      await using log = await this.#open(sessionId);
      if (log === undefined) {
        if (await create(this.#folder(sessionId), encode(line))) {
          return;
        }
      } else if (await log.append(line)) {
        return;
      }
    }
  }

  /** The newest `limit` items, or all, oldest first. */
  async read(sessionId: string, limit?: number): Promise<Item[]> {
    await using log = await this.#open(sessionId);
    const items = log?.items ?? [];
    const first = limit === undefined ? 0 : Math.max(0, items.length - limit);
    return items.slice(first).map(fromLine);
  }

  /** Takes the newest item out; undefined where there is none. */
  async pop(sessionId: string): Promise<Item | undefined> {
    await using log = await this.#open(sessionId);
    if (log === undefined || log.items.length === 0) {
      return undefined;
    }
    const line = { ...mark(EMPTY, new Date()), pop: true };
    const item = (await log.append(line)) ? log.popped.get(line.id) : undefined;
    return item === undefined ? undefined : fromLine(item);
  }

  /** Removes a session. */
  async clear(sessionId: string): Promise<void> {
    await using log = await this.#open(sessionId);
    if (log !== undefined) {
      const line = { ...mark(EMPTY, new Date()), cleared: true };
      await log.append(line);
      await remove(log.path);
    }
  }

  #folder(sessionId: string): string {
    return join(this.path, folderName(sessionId));
  }

  /** The log of a session; removes one that is over. */
  async #open(sessionId: string): Promise<SessionFile | undefined> {
    const folder = this.#folder(sessionId);
    for (;;) {
      const path = await newest(folder);
      if (path === undefined) {
        return undefined;
      }
      const log = await SessionFile.open(path);
      if (log !== undefined && !log.cleared) {
        return log;
      }
      if (log !== undefined) {
        await log[Symbol.asyncDispose]();
        await remove(path);
      }
    }
  }
}

/** The log of a session that is open for one piece of work. */
class SessionFile extends AppendFile {
  /** The items there are, oldest first. */
  readonly items: unknown[] = [];
  /** What was taken out, by the id of the line that did. */
  readonly popped = new Map<string, unknown>();
  /** Whether the session is over. */
  cleared = false;

  static override async open(path: string): Promise<SessionFile | undefined> {
    const handle = await AppendFile.handle(path);
    if (handle === undefined) {
      return undefined;
    }
    const log = new SessionFile(path, handle);
    try {
      await log.#readOn();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return log;
  }

  /** Appends a line; whether it came before the end of the session. */
  async append(line: object & { id: string }): Promise<boolean> {
    await this.write(line);
    const accepted = await this.#readOn();
    if (!accepted.some((entry) => entry.line.id === line.id)) {
      return false;
    }
    if (await this.current()) {
      return true;
    }
    await this.#readOn();
    return this.cleared; // after the line, which counted; or else the file is lost
  }

  async #readOn(): Promise<Entry[]> {
    const accepted: Entry[] = [];
    for (const entry of await this.appended()) {
      if (this.cleared) {
        break;
      }
      accepted.push(entry);
      const { id, items, pop, cleared } = entry.line;
      if (Array.isArray(items)) {
        this.items.push(...items);
      } else if (pop === true) {
        this.popped.set(id, this.items.pop());
      }
      this.cleared = cleared === true;
    }
    return accepted;
  }
}

function toLine(item: Item): unknown {
  return typeof item === 'string' ? item : { sealed: Buffer.from(item).toString('base64') };
}

function fromLine(item: unknown): Item {
  return typeof item === 'string'
    ? item
    : Buffer.from((item as { sealed: string }).sealed, 'base64');
}
