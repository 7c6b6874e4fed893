/** Runs and sessions in a database that speaks PostgreSQL. */
import { ApprovalError, StoreError } from '../errors.js';
import type {
  Backend,
  Claimed,
  Decision,
  Facts,
  Piece,
  Revision,
  RunSummary,
  StoredApproval,
  StoredRun,
} from './base.js';
import { type Connection, ConnectionLost, DatabaseRefused, type Value } from './connection.js';
import { migrate } from './migrations.js';
import * as rows from './rows.js';

// What the server takes back because of others who write at the same time, and how often it may.
const CONFLICTS = ['40001', '40P01'];
const TRIES = 5;

/**
 * The backend over a connection, its tables made or brought up to date. Closes the connection
 * where that fails.
 *
 * @throws StoreError `newer-database`, `database-unavailable`.
 */
export async function openSql(connection: Connection): Promise<Backend> {
  try {
    await migrate(connection);
  } catch (error) {
    await connection.close();
    throw unavailable(error);
  }
  return new SqlBackend(connection);
}

/**
 * A {@link Backend} over the functions of `schemas/sql`, one statement for each method.
 *
 * A statement whose connection was lost is sent once more where that is safe: where it only
 * reads, where doing it twice comes to the same, and for a save, which tells by what is stored
 * whether the first try went through. Elsewhere it is `database-unavailable`.
 */
export class SqlBackend implements Backend {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async save(runId: string, piece: Piece, facts: Facts, owner?: string): Promise<void> {
    const values = [
      runId,
      piece.revision,
      owner ?? null,
      piece.base ?? null,
      piece.checksum,
      ...content(piece),
      rows.factsJson(facts),
    ];
    let answer: rows.Row;
    try {
      answer = object((await this.#send(json('save_revision', values), values))[0]?.[0]);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) {
        throw error;
      }
      answer = object(await this.#answer('save_revision', values));
      if (answer.outcome === 'stale' && (await this.#holds(runId, piece))) {
        return; // the first try went through
      }
    }
    if (answer.outcome === 'missing') {
      throw new StoreError(`run ${quoted(runId)} was cleared`, 'stale-state');
    }
    refuse(runId, answer);
  }

  async #holds(runId: string, piece: Piece): Promise<boolean> {
    const stored = await this.#answer('checksum', [runId, piece.revision]);
    return stored === Buffer.from(piece.checksum).toString('hex');
  }

  async read(runId: string, revision?: number): Promise<StoredRun> {
    const [head, ...found] = await this.#fetch(table('read_run', 2), [runId, revision ?? null]);
    if (head === undefined) {
      throw notFound(runId);
    }
    const [newest, oldest, decisions] = [Number(head[0]), Number(head[1] ?? 1), head[2] ?? '[]'];
    if (revision !== undefined && !(oldest <= revision && revision <= newest)) {
      throw noRevision(runId, revision);
    }
    return {
      revision: revision ?? newest,
      newest,
      pieces: found.map((row) => pieceOf(row.slice(3))),
      decisions: (JSON.parse(String(decisions)) as rows.Row[]).map(rows.approval),
    };
  }

  async clear(runId: string): Promise<void> {
    await this.#answer('clear_run', [runId], false);
  }

  async runs(): Promise<RunSummary[]> {
    return (await this.#list('list_runs', [])).map((row) => rows.summary(object(row)));
  }

  async history(runId: string): Promise<Revision[]> {
    const found = await this.#list('list_revisions', [runId]);
    if (found.length === 0) {
      throw notFound(runId);
    }
    return found.map((row) => rows.revision(object(row)));
  }

  async prune(runId: string, oldest: Piece): Promise<number> {
    const values = [runId, oldest.revision, oldest.checksum, ...content(oldest)];
    const answer = object(await this.#answer('prune_run', values));
    refuse(runId, answer);
    return Number(answer.removed);
  }

  async claim(runId: string, owner: string, milliseconds: number, seen?: number): Promise<Claimed> {
    const values = [runId, owner, milliseconds / 1000, seen ?? null];
    const answer = object(await this.#answer('claim_run', values));
    refuse(runId, answer);
    return { owner, until: rows.time(answer.until) };
  }

  async release(runId: string, owner: string): Promise<void> {
    if ((await this.#answer('release_run', [runId, owner])) === 'false') {
      throw notFound(runId);
    }
  }

  async approvals(
    runId?: string,
    { resolved = false }: { resolved?: boolean } = {},
  ): Promise<StoredApproval[]> {
    const found = await this.#list('list_approvals', [runId ?? null, resolved]);
    if (found.includes(null)) {
      throw notFound(String(runId));
    }
    return found.map((row) => rows.approval(object(row)));
  }

  async decide(
    runId: string,
    callId: string,
    decision: Decision,
    details: { digest?: string; always: boolean; message?: Uint8Array; by: string; expires?: Date },
  ): Promise<void> {
    const { digest = null, always, message = null, by, expires } = details;
    const until = expires?.toISOString() ?? null;
    const values = [runId, callId, digest, decision, always, message, by, until];
    const answer = object(await this.#answer('decide', values, false));
    const call = `call ${quoted(callId)} of run ${quoted(runId)}`;
    switch (answer.outcome) {
      case 'no call':
        throw new ApprovalError(`${call} does not wait`, 'approval-not-found');
      case 'mismatch':
        throw new ApprovalError(
          `the arguments of ${call} have the digest ${answer.digest}, not ${digest}`,
          'approval-mismatch',
        );
      case 'already':
        throw new ApprovalError(
          `${call} was decided by ${answer.by}: ${answer.decision}`,
          'already-decided',
          { decidedBy: String(answer.by), decidedAt: rows.time(answer.at) },
        );
    }
    refuse(runId, answer);
  }

  async addItems(sessionId: string, items: readonly (string | Uint8Array)[]): Promise<void> {
    if (items.length > 0) {
      await this.#answer('append_items', [sessionId, rows.itemsJson(items)], false);
    }
  }

  async readItems(sessionId: string, limit?: number): Promise<(string | Uint8Array)[]> {
    const found = await this.#fetch(table('read_items', 2), [sessionId, limit ?? null]);
    return found.reverse().map(itemOf);
  }

  async popItem(sessionId: string): Promise<string | Uint8Array | undefined> {
    const [found] = await this.#fetch(table('pop_item', 1), [sessionId], false);
    return found && itemOf(found);
  }

  async clearItems(sessionId: string): Promise<void> {
    await this.#answer('clear_items', [sessionId], false);
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  /** What each row of a function says. */
  async #list(name: string, values: readonly Value[]): Promise<unknown[]> {
    const found = await this.#fetch(json(name, values), values);
    return found.map(([row]) => (typeof row === 'string' ? JSON.parse(row) : null));
  }

  /** What a function with one row answers, as text. */
  async #answer(name: string, values: readonly Value[], repeat = true): Promise<Value> {
    return (await this.#fetch(json(name, values), values, repeat))[0]?.[0] ?? null;
  }

  async #fetch(sql: string, values: readonly Value[], repeat = true): Promise<Value[][]> {
    try {
      return await this.#send(sql, values);
    } catch (error) {
      if (!(repeat && error instanceof ConnectionLost)) {
        throw unavailable(error);
      }
    }
    try {
      return await this.#send(sql, values);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** The rows of a statement, sent again where others were in its way. */
  async #send(sql: string, values: readonly Value[]): Promise<Value[][]> {
    const texts = values.map((each) => (typeof each === 'string' ? rows.plain(each) : each));
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        return await this.#connection.fetch(sql, texts);
      } catch (error) {
        if (!(error instanceof DatabaseRefused)) {
          throw error;
        }
        if (left === 0 || !CONFLICTS.includes(error.sqlstate ?? '')) {
          throw unavailable(error);
        }
      }
    }
  }
}

function json(name: string, values: readonly Value[]): string {
  return `SELECT timestep.${name}(${numbers(values.length)})::text`;
}

function table(name: string, count: number): string {
  return `SELECT * FROM timestep.${name}(${numbers(count)})`;
}

function numbers(count: number): string {
  return Array.from({ length: count }, (_, index) => `$${index + 1}`).join(', ');
}

/** The piece as text or as data. */
function content(piece: Piece): [string | null, Uint8Array | null] {
  return piece.text === undefined ? [null, piece.data] : [piece.text, null];
}

function pieceOf([revision, base, checksum, document, data]: Value[]): Piece {
  const piece: Piece = {
    revision: Number(revision),
    checksum: bytes(checksum),
    data: bytes(data),
  };
  if (typeof base === 'number') {
    piece.base = base;
  }
  if (typeof document === 'string') {
    piece.text = document;
  }
  return piece;
}

function itemOf([text, data]: Value[]): string | Uint8Array {
  return typeof text === 'string' ? text : bytes(data);
}

/** The bytes as they are, whatever class a driver gives them. */
function bytes(value: Value | undefined): Uint8Array {
  return value instanceof Uint8Array
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : new Uint8Array();
}

function object(value: unknown): rows.Row {
  return typeof value === 'string' ? JSON.parse(value) : (value as rows.Row);
}

/** Throws what the outcome of a function means, if it did not do its work. */
function refuse(runId: string, answer: rows.Row): void {
  switch (answer.outcome) {
    case 'missing':
      throw notFound(runId);
    case 'stale':
      throw new StoreError(
        `run ${quoted(runId)} is at revision ${answer.revision} by now`,
        'stale-state',
        { revision: Number(answer.revision) },
      );
    case 'held': {
      const [owner, until] = [String(answer.owner), rows.time(answer.until)];
      throw new StoreError(
        `run ${quoted(runId)} is held by ${owner} until ${until.toISOString()}`,
        'already-claimed',
        { owner, until },
      );
    }
  }
}

function notFound(runId: string): StoreError {
  return new StoreError(`there is no run ${quoted(runId)}`, 'state-not-found');
}

function noRevision(runId: string, revision: number): StoreError {
  return new StoreError(`run ${quoted(runId)} has no revision ${revision}`, 'revision-not-found');
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

function unavailable(error: unknown): unknown {
  if (error instanceof DatabaseRefused) {
    return new StoreError(`the database refused: ${error.message}`, 'database-unavailable');
  }
  if (error instanceof ConnectionLost) {
    return new StoreError(
      `the connection to the database was lost: ${error.message}`,
      'database-unavailable',
      { hint: 'Look at what is stored, then try again: the change may have been made.' },
    );
  }
  return error;
}
