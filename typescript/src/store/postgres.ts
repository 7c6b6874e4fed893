/** Runs and sessions on a PostgreSQL server. */
import type { Client, ClientBase, Pool, PoolClient } from 'pg';
import { StoreError } from '../errors.js';
import type { Backend } from './base.js';
import {
  type Connection,
  ConnectionLost,
  DatabaseRefused,
  type Statements,
  type Value,
} from './connection.js';
import { openSql } from './sql.js';

const SECONDS_TO_CONNECT = 10;
const CONNECTIONS = 4;

/**
 * The database of a `postgresql://` URL, its tables made or brought up to date.
 *
 * @throws StoreError `missing-dependency`, `unknown-location`, `database-unavailable`,
 * `newer-database`. A password never appears in an error.
 */
export async function openPostgres(url: string): Promise<Backend> {
  return await openSql(await PostgresConnection.open(url));
}

/**
 * A few connections to a server, by pg. They keep no process alive that has nothing else to do.
 *
 * It keeps to what PGLite can do as well: no prepared statements, no COPY, no LISTEN, and no second
 * connection while a first one is waited for.
 */
export class PostgresConnection implements Connection {
  readonly #pool: Pool;
  readonly #target: Client;

  private constructor(pool: Pool, target: Client) {
    this.#pool = pool;
    this.#target = target;
  }

  /** Connects when the first statement is sent. `url` may be any URL that pg knows. */
  static async open(url: string): Promise<PostgresConnection> {
    const pg = await load();
    let target: Client;
    try {
      target = new pg.Client({ connectionString: url });
    } catch {
      // The error may quote the URL, with the password.
      throw new StoreError(
        'the location is no URL that PostgreSQL understands',
        'unknown-location',
        {
          hint: 'Give postgresql://user:password@host:5432/database; write characters other than A-Z a-z 0-9 in the password as %XX.',
        },
      );
    }
    const seconds = /[?&]connect_timeout=(\d+)/.exec(url)?.[1] ?? SECONDS_TO_CONNECT;
    const pool = new pg.Pool({
      connectionString: url,
      connectionTimeoutMillis: Number(seconds) * 1000,
      max: CONNECTIONS,
      allowExitOnIdle: true,
    });
    // Whoever waits for a statement hears of a lost connection; an idle one is just replaced.
    pool.on('error', () => {});
    pool.on('connect', (client) => {
      client.on('error', () => {});
    });
    return new PostgresConnection(pool, target);
  }

  async fetch(sql: string, parameters: readonly Value[] = []): Promise<Value[][]> {
    return await this.#lend((client) => fetchWith(client, sql, parameters));
  }

  async script(sql: string): Promise<void> {
    await this.#lend((client) => scriptWith(client, sql));
  }

  async transaction<T>(work: (inside: Statements) => Promise<T>): Promise<T> {
    return await this.#lend(async (client) => {
      const inside: Statements = {
        fetch: (sql, parameters) => fetchWith(client, sql, parameters),
        script: (sql) => scriptWith(client, sql),
      };
      await scriptWith(client, 'BEGIN');
      try {
        const result = await work(inside);
        await scriptWith(client, 'COMMIT');
        return result;
      } catch (error) {
        await scriptWith(client, 'ROLLBACK').catch(() => {});
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    if (!this.#pool.ending) {
      await this.#pool.end();
    }
  }

  /** Does something with a connection of its own, which is given back, or ended if it was lost. */
  async #lend<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    let client: PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw this.#unavailable(error);
    }
    let lost = false;
    try {
      return await work(client);
    } catch (error) {
      lost = error instanceof ConnectionLost;
      throw error;
    } finally {
      client.release(lost);
    }
  }

  #unavailable(error: unknown): StoreError {
    const { password, database } = this.#target;
    const said = password ? messageOf(error).replaceAll(String(password), '***') : messageOf(error);
    return new StoreError(`cannot open the database ${database}: ${said}`, 'database-unavailable');
  }
}

async function fetchWith(
  client: ClientBase,
  sql: string,
  parameters: readonly Value[] = [],
): Promise<Value[][]> {
  try {
    const values = [...parameters];
    return (await client.query<Value[]>({ text: sql, values, rowMode: 'array' })).rows;
  } catch (error) {
    throw failed(error);
  }
}

async function scriptWith(client: ClientBase, sql: string): Promise<void> {
  try {
    await client.query(sql);
  } catch (error) {
    throw failed(error);
  }
}

/** What the server answers has a severity; `FATAL` is its last word. */
function failed(error: unknown): ConnectionLost | DatabaseRefused {
  const { severity, code } = error as { severity?: string; code?: string };
  return severity === 'ERROR'
    ? new DatabaseRefused(messageOf(error), code)
    : new ConnectionLost(messageOf(error), severity === undefined ? undefined : code);
}

/** Several addresses that were tried make one error without a message of its own. */
function messageOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error];
  return errors.map((each) => (each instanceof Error ? each.message : String(each))).join('; ');
}

async function load(): Promise<typeof import('pg').default> {
  try {
    return (await import('pg')).default;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') {
      throw error;
    }
    throw new StoreError(
      'a PostgreSQL database needs the package pg, which is not installed',
      'missing-dependency',
      { hint: 'Run: npm install pg' },
    );
  }
}
