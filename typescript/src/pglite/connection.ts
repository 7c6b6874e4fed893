/**
 * One client on the socket.
 *
 * What it sends is run in units: up to a `Sync`, or one simple query. From its first message on,
 * the engine is this client's until the answer says that no transaction is open, so nothing of
 * another client comes in between.
 */
import type { Socket } from 'node:net';
import { fatal, MessageReader, message, messages, query, typeOf } from './protocol.js';
import { Statements } from './statements.js';

const SYNC = message('S');
/** Ends a `COPY FROM STDIN`, which the engine would die of; elsewhere it is ignored. */
const NO_DATA = message('f', 'not possible with PGLite\0');
const SSL = 80877103;
const GSS = 80877104;
const CANCEL = 80877102;

/** What a connection needs of the server it belongs to. */
export interface Host {
  /** What the engine says to a client that starts, without the number of the backend. */
  greeting(): Promise<Buffer>;
  /** Waits until the engine is this connection's. Rejects where there is no engine any more. */
  enter(connection: Connection): Promise<void>;
  /** Sends messages to the engine, which must be this connection's. */
  send(messages: Uint8Array): Promise<Buffer>;
  leave(connection: Connection): void;
  /** Passes a notification on to those who listen. */
  notify(channel: string, notification: Buffer): void;
  /** SQL that makes the session listen to what any connection still wants, and no more. */
  listenAgain(): string;
  /** How long a client may keep a transaction open without a word, in milliseconds. */
  readonly patience: number;
}

/** A client that is connected. */
export class Connection {
  readonly #socket: Socket;
  readonly #host: Host;
  readonly #number: number;
  readonly #reader = new MessageReader();
  readonly #statements: Statements;
  #unit: Buffer[] = [];
  #sql: string[] = [];
  #started = false;
  #status = 'I';
  #busy = false;
  #ending: Buffer | undefined;
  #listenAgain = false;
  #patience: NodeJS.Timeout | undefined;

  constructor(socket: Socket, number: number, host: Host) {
    this.#socket = socket;
    this.#number = number;
    this.#host = host;
    this.#statements = new Statements(number);
  }

  get channels(): ReadonlySet<string> {
    return this.#statements.channels;
  }

  /** Serves the client until it goes, and cleans up after it. Never rejects. */
  async serve(): Promise<void> {
    try {
      const chunks = this.#socket.iterator({ destroyOnReturn: false });
      for await (const chunk of chunks) {
        this.#reader.push(chunk as Buffer);
        for (let next = this.#reader.next(); next !== undefined; next = this.#reader.next()) {
          if (this.#ending !== undefined) {
            this.#say(this.#ending);
            return;
          }
          if (!(await this.#take(next))) {
            return;
          }
        }
      }
    } catch (error) {
      if (!this.#socket.destroyed) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#socket.write(fatal('08P01', reason));
      }
    } finally {
      clearTimeout(this.#patience);
      this.#socket.destroySoon();
      await this.#cleanUp().catch(() => undefined);
      this.#host.leave(this);
    }
  }

  /**
   * Ends with an error, after the answer where one is due. What comes later is not run: it gets the
   * error once more, which the client may have missed when it came between two statements.
   */
  end(error: Buffer): void {
    this.#ending = error;
    if (!this.#busy) {
      this.#say(error);
    }
  }

  /** Hangs up, once what was said has been sent. */
  hangUp(): void {
    this.#socket.destroySoon();
  }

  /** Cuts the client off: nothing it is told could be relied on. */
  cut(): void {
    this.#ending = fatal('57P02', 'the owner of the database is gone');
    this.#socket.destroy();
  }

  /** Passes on a notification. */
  notify(notification: Buffer): void {
    this.#say(notification);
  }

  #say(bytes: Buffer): void {
    if (!this.#socket.destroyed && this.#socket.writable) {
      this.#socket.write(bytes);
    }
  }

  /** Whether more may follow. */
  async #take(bytes: Buffer): Promise<boolean> {
    if (!this.#started) {
      return await this.#start(bytes);
    }
    const type = typeOf(bytes);
    switch (type) {
      case 'X':
        return false;
      case 'Q':
      case 'F':
        this.#add(bytes);
        this.#unit.push(NO_DATA);
        return await this.#run(true);
      case 'S':
        this.#unit.push(NO_DATA, bytes);
        return await this.#run(true);
      case 'H':
        this.#unit.push(NO_DATA, bytes);
        return await this.#run(false);
      case 'P':
      case 'B':
      case 'D':
      case 'E':
      case 'C':
        this.#add(bytes);
        return true;
      case 'd':
      case 'c':
      case 'f':
        return true; // the copy it belongs to was refused
      default:
        throw new RangeError(`There is no message of type ${JSON.stringify(type)}.`);
    }
  }

  async #start(bytes: Buffer): Promise<boolean> {
    const code = bytes.length >= 8 ? bytes.readInt32BE(4) : 0;
    if (code === SSL || code === GSS) {
      this.#socket.write('N');
      return true;
    }
    if (code === CANCEL) {
      return false;
    }
    if (code >> 16 !== 3) {
      throw new RangeError('This server speaks version 3 of the protocol.');
    }
    if ((code & 0xffff) > 0) {
      const offer = Buffer.alloc(8);
      offer.writeInt32BE(3 << 16, 0);
      this.#socket.write(message('v', offer));
    }
    const key = Buffer.alloc(8);
    key.writeInt32BE(this.#number, 0);
    const greeting = await this.#host.greeting();
    this.#started = true;
    this.#reader.started();
    this.#socket.write(Buffer.concat([greeting, message('K', key), message('Z', 'I')]));
    return true;
  }

  #add(bytes: Buffer): void {
    const { bytes: rewritten, sql } = this.#statements.rewrite(bytes);
    this.#unit.push(rewritten);
    if (sql !== undefined) {
      this.#sql.push(sql);
    }
  }

  /** Runs the unit that has come together. A whole one ends with ReadyForQuery. */
  async #run(whole: boolean): Promise<boolean> {
    clearTimeout(this.#patience);
    const unit = Buffer.concat(this.#unit);
    const sql = this.#sql;
    this.#unit = [];
    this.#sql = [];
    await this.#host.enter(this);
    if (this.#ending !== undefined) {
      this.#say(this.#ending);
      return false;
    }
    this.#busy = true;
    try {
      const answer = await this.#host.send(unit);
      const { bytes, status, failed } = this.#read(answer);
      if (whole && status === undefined) {
        throw new Error('the engine did not answer');
      }
      this.#status = status ?? 'open';
      if (!failed && sql.map((each) => this.#statements.heard(each)).some(Boolean)) {
        this.#listenAgain = true;
      }
      if (this.#listenAgain && this.#status === 'I') {
        this.#listenAgain = false;
        await this.#host.send(query(this.#host.listenAgain()));
      }
      this.#say(bytes);
    } finally {
      this.#busy = false;
    }
    if (this.#ending !== undefined) {
      this.#say(this.#ending);
      return false;
    }
    if (this.#status === 'I') {
      this.#host.leave(this);
    } else {
      this.#patience = setTimeout(() => {
        this.end(fatal('25P03', 'the transaction was left open for too long'));
        this.hangUp();
      }, this.#host.patience).unref();
    }
    await this.#drained();
    return true;
  }

  /** The answer without notifications, which go to those who listen. */
  #read(answer: Buffer): { bytes: Buffer; status?: string; failed: boolean } {
    const own: Buffer[] = [];
    let status: string | undefined;
    let failed = false;
    for (const each of messages(answer)) {
      const type = typeOf(each);
      if (type === 'A') {
        const copy = Buffer.from(each);
        copy.writeInt32BE(this.#number, 5); // who has sent it, as this client knows itself
        this.#host.notify(copy.toString('utf8', 9, copy.indexOf(0, 9)), copy);
        continue;
      }
      if (type === 'Z') {
        status = String.fromCharCode(each[5] ?? 0);
      } else if (type === 'E') {
        failed = true;
      }
      own.push(each);
    }
    return { bytes: Buffer.concat(own), status, failed };
  }

  /** Waits until the client has taken what it was sent. */
  async #drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain) {
      return;
    }
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#socket.off('drain', done).off('close', done);
        resolve();
      };
      this.#socket.on('drain', done).on('close', done);
    });
  }

  /** Takes out of the session what the client has left there. */
  async #cleanUp(): Promise<void> {
    const open = this.#status !== 'I';
    if (!open && !this.#statements.used) {
      return;
    }
    await this.#host.enter(this);
    if (open) {
      await this.#host.send(Buffer.concat([SYNC, query('ROLLBACK')]));
    }
    if (this.#statements.used) {
      this.#statements.channels.clear();
      await this.#host.send(query(this.#statements.deallocateAll()));
      await this.#host.send(query(this.#host.listenAgain()));
    }
  }
}
