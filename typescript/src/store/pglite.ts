/**
 * Runs and sessions in a PGLite folder.
 *
 * The database has one owner. The first process that opens the folder becomes it: the engine runs
 * in that process, which also listens on a socket in the folder. Everybody else, in any language,
 * is a client on the socket, and when the owner ends one of them becomes the next.
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { PGlite } from '@electric-sql/pglite';
import { StoreError } from '../errors.js';
import { isOwned } from '../pglite/lock.js';
import { type Place, place } from '../pglite/place.js';
import { isDeath, Owner } from '../pglite/server.js';
import type { Backend } from './base.js';
import {
  type Connection,
  ConnectionLost,
  DatabaseRefused,
  type Statements,
  type Value,
} from './connection.js';
import { PostgresConnection } from './postgres.js';
import { openSql } from './sql.js';

/** How long an owner may take to answer, in milliseconds. */
const PATIENCE = 30_000;
/** An owner that ends says so to every client it has not begun to do anything for. */
const NOT_DONE = '57P01';
/** What pg says when there is no answer in time. */
const QUERY_TIMEOUT = 'Query read timeout';

/**
 * The database of a folder; both are made where there are none.
 *
 * An owner that does not answer for `patience` milliseconds is `database-in-use`.
 *
 * @throws StoreError `missing-dependency`, `database-unavailable`, `database-in-use`,
 * `newer-database`.
 */
export async function openPglite(folder: string, patience: number = PATIENCE): Promise<Backend> {
  return await openSql(new PgliteConnection(folder, patience));
}

/** One connection to whoever owns the folder, at any time: this process too. */
export class PgliteConnection implements Connection {
  readonly #folder: string;
  readonly #patience: number;
  #way: Promise<Way> | undefined;

  constructor(folder: string, patience: number = PATIENCE) {
    this.#folder = folder;
    this.#patience = patience;
  }

  fetch(sql: string, parameters: readonly Value[] = []): Promise<Value[][]> {
    return this.#use((way) => way.fetch(sql, parameters));
  }

  script(sql: string): Promise<void> {
    return this.#use((way) => way.script(sql));
  }

  transaction<T>(work: (inside: Statements) => Promise<T>): Promise<T> {
    return this.#use((way) => way.transaction(work));
  }

  async close(): Promise<void> {
    const way = this.#way;
    this.#way = undefined;
    await (await way?.catch(() => undefined))?.close();
  }

  /** Does `work` by way of the owner, and again by way of the next one where none of it was done. */
  async #use<T>(work: (way: Way) => Promise<T>): Promise<T> {
    const end = performance.now() + this.#patience;
    for (;;) {
      this.#way ??= decide(this.#folder, this.#patience);
      const decided = this.#way;
      let way: Way | undefined;
      try {
        way = await decided;
        return await work(way);
      } catch (error) {
        if (way?.usable !== true && this.#way === decided) {
          this.#way = undefined;
          await way?.close();
        }
        if (way === undefined || !(error instanceof NotDone)) {
          throw error;
        }
        if (performance.now() > end) {
          throw error.cause;
        }
      }
      await sleep(20);
    }
  }
}

/** Nothing of a statement was done: the owner ended before. */
class NotDone extends Error {}

/** How statements reach the engine. They may reject with {@link NotDone} too. */
interface Way extends Connection {
  /** Whether the next statement may go the same way. */
  readonly usable: boolean;
}

/** This process owns the folder, or becomes its owner, or is a client of the owner. */
async function decide(folder: string, patience: number): Promise<Way> {
  const at = place(folder);
  for (;;) {
    const shared = owners.get(at.folder) ?? share(at.folder);
    shared.users += 1;
    let owner: Owner | undefined;
    try {
      owner = await shared.owner;
    } catch (error) {
      await leave(at.folder, shared);
      throw error;
    }
    if (owner?.owns) {
      return new Inside(owner, () => leave(at.folder, shared));
    }
    owners.delete(at.folder);
    await leave(at.folder, shared);
    if (owner === undefined) {
      return await Client.open(at, patience);
    }
  }
}

/** The owner of a folder in this process, shared by all its connections. */
interface Shared {
  readonly owner: Promise<Owner | undefined>;
  users: number;
}

const owners = new Map<string, Shared>();

function share(folder: string): Shared {
  if (owners.size === 0) {
    process.off('beforeExit', endAll).once('beforeExit', endAll);
  }
  const shared = { owner: Owner.open(folder), users: 0 };
  owners.set(folder, shared);
  return shared;
}

/** The last user of an owner ends it. */
async function leave(folder: string, shared: Shared): Promise<void> {
  shared.users -= 1;
  if (shared.users === 0) {
    if (owners.get(folder) === shared) {
      owners.delete(folder);
    }
    await (await shared.owner.catch(() => undefined))?.close();
  }
}

/** A process that ends without closing its stores hands its folders on all the same. */
async function endAll(): Promise<void> {
  const all = [...owners.values()];
  owners.clear();
  await Promise.all(all.map(async ({ owner }) => (await owner.catch(() => undefined))?.close()));
}

/** The engine in this process. */
class Inside implements Way {
  readonly #owner: Owner;
  readonly #leave: () => Promise<void>;
  #left: Promise<void> | undefined;

  constructor(owner: Owner, leave: () => Promise<void>) {
    this.#owner = owner;
    this.#leave = leave;
  }

  get usable(): boolean {
    return this.#owner.owns;
  }

  fetch(sql: string, parameters: readonly Value[] = []): Promise<Value[][]> {
    return this.#run((session) => session.fetch(sql, parameters));
  }

  script(sql: string): Promise<void> {
    return this.#run((session) => session.script(sql));
  }

  transaction<T>(work: (inside: Statements) => Promise<T>): Promise<T> {
    return this.#run(async (session) => {
      await session.script('BEGIN');
      try {
        const result = await work(session);
        await session.script('COMMIT');
        return result;
      } catch (error) {
        await session.script('ROLLBACK').catch(() => undefined);
        throw error;
      }
    });
  }

  close(): Promise<void> {
    this.#left ??= this.#leave();
    return this.#left;
  }

  async #run<T>(work: (session: Statements) => Promise<T>): Promise<T> {
    let begun = false;
    try {
      return await this.#owner.run((database) => {
        begun = true;
        return work(new Session(database));
      });
    } catch (error) {
      throw begun ? error : new NotDone('the owner has ended', { cause: error });
    }
  }
}

/** The one session of an engine, while nobody else has it. */
class Session implements Statements {
  readonly #database: PGlite;

  constructor(database: PGlite) {
    this.#database = database;
  }

  async fetch(sql: string, parameters: readonly Value[] = []): Promise<Value[][]> {
    const { rows } = await this.#try(
      this.#database.query<Value[]>(sql, [...parameters], { rowMode: 'array' }),
    );
    return rows;
  }

  async script(sql: string): Promise<void> {
    await this.#try(this.#database.exec(sql));
  }

  async #try<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      const { message, code } = error as Error & { code?: unknown };
      if (typeof code === 'string') {
        throw new DatabaseRefused(message, code);
      }
      throw isDeath(error) ? new ConnectionLost(message) : error;
    }
  }
}

/** A connection to the owner's socket. */
class Client implements Way {
  readonly #place: Place;
  readonly #connection: PostgresConnection;
  #usable = true;

  private constructor(at: Place, connection: PostgresConnection) {
    this.#place = at;
    this.#connection = connection;
  }

  static async open(at: Place, patience: number): Promise<Client> {
    const query = new URLSearchParams({
      host: at.host,
      connect_timeout: String(Math.max(1, Math.round(patience / 1000))),
      query_timeout: String(patience),
    });
    const url = `postgresql://postgres@localhost/postgres?${query}`;
    return new Client(at, await PostgresConnection.open(url));
  }

  get usable(): boolean {
    return this.#usable;
  }

  fetch(sql: string, parameters: readonly Value[] = []): Promise<Value[][]> {
    return this.#run((connection) => connection.fetch(sql, parameters));
  }

  script(sql: string): Promise<void> {
    return this.#run((connection) => connection.script(sql));
  }

  transaction<T>(work: (inside: Statements) => Promise<T>): Promise<T> {
    return this.#run((connection) => connection.transaction(work));
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #run<T>(work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    await setImmediate(); // if the owner has ended already, that is known by now
    try {
      return await work(this.#connection);
    } catch (error) {
      if (isGoodbye(error)) {
        this.#usable = false;
        throw new NotDone('the owner has ended', { cause: error });
      }
      if (error instanceof StoreError && error.code === 'database-unavailable') {
        this.#usable = false; // it could not be connected to
        const cause = (await isOwned(this.#place)) ? silent(this.#place) : error;
        throw new NotDone('there is no owner', { cause });
      }
      if (error instanceof ConnectionLost && error.message === QUERY_TIMEOUT) {
        throw silent(this.#place);
      }
      throw error;
    }
  }
}

function isGoodbye(error: unknown): boolean {
  return (
    (error instanceof ConnectionLost || error instanceof DatabaseRefused) &&
    error.sqlstate === NOT_DONE
  );
}

function silent(at: Place): StoreError {
  return new StoreError(
    `The process that has the database in ${at.folder} open does not answer.`,
    'database-in-use',
  );
}
