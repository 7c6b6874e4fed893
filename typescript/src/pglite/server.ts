/** The owner of a folder: its engine, and the socket others reach it by. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PGlite } from '@electric-sql/pglite';
import { StoreError } from '../errors.js';
import { Connection, type Host } from './connection.js';
import { Engine } from './engine.js';
import { Gate } from './gate.js';
import { isOwned, type Lock, takeLock } from './lock.js';
import { type Place, place } from './place.js';
import { fatal, message, messages, typeOf } from './protocol.js';
import { quoted } from './statements.js';

const STARTUP = Buffer.from('\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0');
const PATIENCE = 60_000;
/** How long clients have for their side of the end, in milliseconds. */
const GOODBYE = 250;
const ENDS = fatal('57P01', 'the owner of the database ends');
const DIED = fatal('57P02', 'the engine of the database has died and is opened again');

/** How an owner behaves; what is left out is the usual. */
export interface OwnerOptions {
  /** How long a client may keep a transaction open without a word, in milliseconds. */
  patience?: number;
}

/** The one process, or part of it, that has a folder's database open. */
export class Owner {
  readonly place: Place;
  readonly #lock: Lock;
  readonly #gate = new Gate();
  /** Who is connected, and until when. */
  readonly #connections = new Map<Connection, Promise<void>>();
  readonly #patience: number;
  #engine: Promise<Engine>;
  #greeting: Buffer = Buffer.alloc(0);
  #count = 0;
  #ended: Promise<void> | undefined;
  #lost = false;

  private constructor(at: Place, lock: Lock, engine: Promise<Engine>, options: OwnerOptions) {
    this.place = at;
    this.#lock = lock;
    this.#engine = engine;
    this.#patience = options.patience ?? PATIENCE;
  }

  /**
   * Becomes the owner of a folder, and makes the folder and its database where there is none.
   * Undefined where it has an owner already.
   *
   * @throws StoreError `missing-dependency`, `newer-database`, `database-unavailable`.
   */
  static async open(folder: string, options: OwnerOptions = {}): Promise<Owner | undefined> {
    const at = place(folder);
    if (await isOwned(at)) {
      return undefined;
    }
    const empty = await Engine.empty(at); // before anybody waits for this owner
    const early: Socket[] = [];
    let accept = (socket: Socket) => {
      early.push(socket);
    };
    const lock = await takeLock(at, (socket) => {
      socket.on('error', () => undefined); // a client that goes is nobody's error
      accept(socket);
    });
    if (lock === undefined) {
      return undefined;
    }
    lock.server.unref();
    const owner = new Owner(at, lock, Engine.open(at, empty), options);
    accept = (socket) => owner.#accept(socket);
    early.forEach(accept);
    try {
      await owner.#greet();
    } catch (error) {
      lock.release();
      for (const connection of owner.#connections.keys()) {
        connection.cut();
      }
      throw error;
    }
    return owner;
  }

  /** Whether the folder is still this owner's. Once lost, it does not come back. */
  get owns(): boolean {
    if (!this.#lost && !this.#lock.held()) {
      this.#lose();
    }
    return !this.#lost;
  }

  /** Lets `work` use the database; no client comes in between. */
  async run<T>(work: (database: PGlite) => Promise<T>): Promise<T> {
    const turn = {};
    const alive = setInterval(() => undefined, 60_000); // the process lives until it has its turn
    await this.#gate.acquire(turn);
    clearInterval(alive);
    try {
      if (this.#ended !== undefined) {
        throw this.#gone();
      }
      this.#check();
      const engine = await this.#engine;
      try {
        return await work(engine.database);
      } catch (error) {
        if (isDeath(error)) {
          this.#revive(engine);
        }
        throw error;
      }
    } finally {
      this.#gate.release(turn);
    }
  }

  /** Ends: answers what is being run, says goodbye to clients, closes the database. */
  close(): Promise<void> {
    this.#ended ??= this.#close();
    return this.#ended;
  }

  async #close(): Promise<void> {
    for (const connection of this.#connections.keys()) {
      connection.end(ENDS);
    }
    await this.#gate.acquire(this);
    if (this.owns) {
      await (await this.#engine).close();
      this.#lost = true;
      this.#lock.release();
    }
    this.#gate.release(this);
    const all = Promise.all([...this.#connections.values()]);
    await Promise.race([all, sleep(GOODBYE)]);
    for (const connection of this.#connections.keys()) {
      connection.hangUp();
    }
  }

  async #greet(): Promise<void> {
    const engine = await this.#engine;
    const answer = await engine.send(STARTUP);
    const kept = [...messages(answer)].filter((each) => 'RS'.includes(typeOf(each)));
    this.#greeting = Buffer.concat(kept);
    this.#hear(engine);
  }

  /** Passes on what this process itself says to a channel. */
  #hear(engine: Engine): void {
    engine.database.onNotification((channel, payload) => {
      this.#notify(channel, message('A', Buffer.alloc(4), `${channel}\0${payload}\0`));
    });
  }

  #accept(socket: Socket): void {
    socket.unref();
    this.#count += 1;
    const host: Host = {
      greeting: async () => {
        await this.#engine;
        return this.#greeting;
      },
      enter: async (who) => {
        await this.#gate.acquire(who);
        this.#check();
      },
      send: async (bytes) => {
        const engine = await this.#engine;
        try {
          return await engine.send(bytes);
        } catch (error) {
          this.#revive(engine);
          throw error;
        }
      },
      leave: (who) => this.#gate.release(who),
      notify: (channel, notification) => this.#notify(channel, notification),
      listenAgain: () => this.#listenAgain(),
      patience: this.#patience,
    };
    const connection = new Connection(socket, this.#count, host);
    const served = connection.serve().then(() => {
      this.#connections.delete(connection);
    });
    this.#connections.set(connection, served);
    if (this.#ended !== undefined) {
      connection.end(ENDS);
    }
  }

  #notify(channel: string, notification: Buffer): void {
    for (const connection of this.#connections.keys()) {
      if (connection.channels.has(channel)) {
        connection.notify(notification);
      }
    }
  }

  #listenAgain(): string {
    const channels = new Set([...this.#connections.keys()].flatMap((each) => [...each.channels]));
    return ['UNLISTEN *', ...[...channels].map((each) => `LISTEN ${quoted(each)}`)].join(';');
  }

  #check(): void {
    if (!this.owns) {
      throw this.#gone();
    }
  }

  #gone(): StoreError {
    return new StoreError(
      `The database in ${this.place.folder} is not open here any more.`,
      'database-unavailable',
      { hint: 'Open the location again.' },
    );
  }

  /** Somebody else may have the database open: nothing more is written, not even a goodbye. */
  #lose(): void {
    this.#lost = true;
    this.#lock.release();
    for (const connection of this.#connections.keys()) {
      connection.cut();
    }
  }

  /** An engine that has died is opened again, as after a crash: what was acknowledged is there. */
  #revive(engine: Engine): void {
    for (const connection of this.#connections.keys()) {
      connection.end(DIED);
    }
    this.#engine = engine.reopen().then(() => {
      this.#hear(engine);
      return engine;
    });
    this.#engine.catch(() => this.#lose());
  }
}

/** Whether the engine itself has ended, not a statement. */
export function isDeath(error: unknown): boolean {
  return error instanceof Error && ['ExitStatus', 'RuntimeError'].includes(error.name);
}
