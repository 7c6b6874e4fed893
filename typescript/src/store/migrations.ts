/** The tables of a database, made or brought up to date by numbered files of SQL. */
import { StoreError } from '../errors.js';
import { migrations } from '../generated/migrations.js';
import { type Connection, DatabaseRefused, type Statements } from './connection.js';

/** One file of `schemas/sql`: `0001_store.sql` is version 1, named `store`. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

// The key of the lock that ports of all languages take before they change tables: "timestep".
const LOCK = '0x74696D6573746570';

const MISSING = ['3F000', '42P01']; // no such schema, no such table

/**
 * Brings the database up to the last of the `known` migrations, or to this release's own.
 *
 * One query where there is nothing to do. Else one process at a time does it, in any language,
 * each migration in a transaction of its own.
 *
 * @throws StoreError `newer-database`, which names the newest migration; and `DatabaseRefused`.
 */
export async function migrate(
  connection: Connection,
  known: readonly Migration[] = migrations,
): Promise<void> {
  let done = 0;
  try {
    done = await newest(connection, known);
  } catch (error) {
    if (!(error instanceof DatabaseRefused && MISSING.includes(error.sqlstate ?? ''))) {
      throw error;
    }
  }
  for (const migration of known) {
    if (migration.version > done) {
      await connection.transaction((inside) => apply(inside, migration, known));
    }
  }
}

async function newest(statements: Statements, known: readonly Migration[]): Promise<number> {
  const [row] = await statements.fetch(
    'SELECT version, name FROM timestep.migrations ORDER BY version DESC LIMIT 1',
  );
  const [version, name] = row ?? [0, ''];
  const last = known.at(-1);
  if (last !== undefined && Number(version) > last.version) {
    throw new StoreError(
      `the newest migration of the database is ${title(Number(version), String(name))}, and this ` +
        `release of Timestep knows ${title(last.version, last.name)}`,
      'newer-database',
    );
  }
  return Number(version);
}

async function apply(
  inside: Statements,
  migration: Migration,
  known: readonly Migration[],
): Promise<void> {
  await inside.fetch('SELECT pg_advisory_xact_lock($1::bigint)::text', [BigInt(LOCK).toString()]);
  const [row] = await inside.fetch("SELECT to_regclass('timestep.migrations') IS NOT NULL");
  if (row?.[0] === true && (await newest(inside, known)) >= migration.version) {
    return; // somebody else was first
  }
  await inside.script(migration.sql);
  await inside.fetch(
    'INSERT INTO timestep.migrations (version, name, applied_by) ' +
      "VALUES ($1::integer, $2::text, 'typescript')",
    [migration.version, migration.name],
  );
}

function title(version: number, name: string): string {
  return `${String(version).padStart(4, '0')}_${name}`;
}
