/**
 * Say what is installed, and whether a location can be used and how safe it is.
 *
 * Changes nothing: what is not there yet is not made. Loads no SDK.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { StoreError, TimestepError } from '../errors.js';
import { type Connection, ConnectionLost, DatabaseRefused } from '../store/connection.js';
import { defaultLocation, type Location, openBackend, parse } from '../store/location.js';
import { asJson, say, visible } from './text.js';
import { UsageError } from './usage.js';

const USAGE = 'usage: timestep doctor [-h] [--location LOCATION] [--json]';
const OPTIONAL = ['@electric-sql/pglite', 'pg'];
const NAMES = {
  file: 'a file',
  folder: 'a folder',
  postgresql: 'PostgreSQL',
  pglite: 'PGLite',
} as const;
const MISSING = ['3F000', '42P01']; // no such schema, no such table
const SYNCED = 'every save is synced to the disk: safe when the machine crashes or loses power';
const UNSYNCED =
  'PGLite does not sync to the disk: safe when a process dies, not when the machine crashes or loses power';

interface Found {
  location: string;
  kind: Location['kind'] | null;
  exists: boolean | null;
  runs: number | null;
  schema: number | null;
  known_schema: number | null;
  durability: string | null;
  error: { code: string; message: string; hint: string } | null;
}

interface Report {
  timestep: string | null;
  language: string;
  runtime: string;
  sdk: { name: string; version: string | null };
  packages: Record<string, string | null>;
  location: Found;
}

/** `timestep doctor`; 1 where the location cannot be used. */
export async function doctor(args: string[]): Promise<number> {
  const options = read(args);
  if (options.help) {
    await say([
      USAGE,
      '',
      '  --location LOCATION  where runs are (default: TIMESTEP_LOCATION)',
      '  --json               print JSON',
    ]);
    return 0;
  }
  const report: Report = {
    timestep: versionIn(new URL('../../package.json', import.meta.url)),
    language: 'typescript',
    runtime: `Node.js ${process.versions.node}`,
    sdk: { name: '@openai/agents', version: installed('@openai/agents') },
    packages: Object.fromEntries(OPTIONAL.map((name) => [name, installed(name)])),
    location: await look(options.location ?? defaultLocation()),
  };
  await say(options.json ? asJson(report) : text(report).map(visible));
  return report.location.error === null ? 0 : 1;
}

function read(args: string[]): { help?: boolean; json?: boolean; location?: string } {
  try {
    return parseArgs({
      args,
      options: {
        help: { type: 'boolean', short: 'h' },
        json: { type: 'boolean' },
        location: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, USAGE);
  }
}

/** The version of a package, without loading it. */
function installed(name: string): string | null {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    const found = versionIn(join(folder, name, 'package.json'));
    if (found !== null) {
      return found;
    }
  }
  return null;
}

function versionIn(manifest: string | URL): string | null {
  try {
    return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
  } catch {
    return null;
  }
}

async function look(given: string): Promise<Found> {
  const found: Found = {
    location: (given.split('?')[0] ?? '').replace(/(:\/\/[^/?#]*?):[^/?#]*@/, '$1@'),
    kind: null,
    exists: null,
    runs: null,
    schema: null,
    known_schema: null,
    durability: null,
    error: null,
  };
  try {
    const location = parse(given);
    found.kind = location.kind;
    if (location.kind === 'postgresql' || location.kind === 'pglite') {
      await lookIntoDatabase(location, found);
    } else {
      found.durability = SYNCED;
      found.exists = existsSync(location.path);
      if (found.exists) {
        const backend = await openBackend(given);
        try {
          found.runs = (await backend.runs()).length;
        } finally {
          await backend.close();
        }
      }
    }
  } catch (error) {
    found.error = errorOf(error, given);
  }
  return found;
}

function errorOf(error: unknown, given: string): NonNullable<Found['error']> {
  if (error instanceof TimestepError) {
    return { code: error.code, message: error.message, hint: error.hint };
  }
  const { code, path, message } = error as NodeJS.ErrnoException;
  if (code === undefined) {
    throw error;
  }
  return {
    code: 'database-unavailable',
    message: `${path ?? given}: ${message}`,
    hint: 'Give a place this user can read and write.',
  };
}

async function lookIntoDatabase(location: Location, found: Found): Promise<void> {
  const { migrations } = await import('../generated/migrations.js');
  const known = migrations.at(-1)?.version ?? 0;
  found.known_schema = known;
  if (location.kind === 'pglite') {
    found.durability = UNSYNCED;
    found.exists = existsSync(join(location.path, 'data'));
    if (!found.exists) {
      return;
    }
  }
  const connection = await connect(location);
  try {
    const [row] = await connection.fetch(
      "SELECT current_setting('fsync'), current_setting('synchronous_commit')",
    );
    found.exists = true;
    if (location.kind === 'postgresql') {
      found.durability = ofSettings(String(row?.[0]), String(row?.[1]));
    }
    try {
      found.schema = await number(connection, 'SELECT max(version) FROM timestep.migrations');
      found.runs = await number(connection, 'SELECT count(*)::integer FROM timestep.runs');
    } catch (error) {
      if (!(error instanceof DatabaseRefused && MISSING.includes(error.sqlstate ?? ''))) {
        throw error;
      }
    }
    if ((found.schema ?? 0) > known) {
      throw new StoreError(
        `the database has version ${found.schema}, and this release of Timestep knows ${known}`,
        'newer-database',
      );
    }
  } catch (error) {
    if (error instanceof ConnectionLost || error instanceof DatabaseRefused) {
      throw new StoreError(`the database refused: ${error.message}`, 'database-unavailable');
    }
    throw error;
  } finally {
    await connection.close();
  }
}

async function connect(location: Location): Promise<Connection> {
  if (location.kind === 'postgresql') {
    return await (await import('../store/postgres.js')).PostgresConnection.open(location.url);
  }
  const { PgliteConnection } = await import('../store/pglite.js');
  return new PgliteConnection(location.path);
}

async function number(connection: Connection, sql: string): Promise<number | null> {
  const value = (await connection.fetch(sql))[0]?.[0] ?? null;
  return value === null ? null : Number(value);
}

function ofSettings(fsync: string, commit: string): string {
  const said = `the server says fsync is ${fsync} and synchronous_commit is ${commit}`;
  if (fsync === 'off') {
    return `${said}: not safe when its machine crashes or loses power`;
  }
  return commit === 'off'
    ? `${said}: the newest saves may be lost when it crashes`
    : `${said}: safe when its machine crashes or loses power`;
}

function text(report: Report): string[] {
  const { location: at, sdk, packages } = report;
  const rows = [
    ['timestep', report.timestep],
    ['runtime', report.runtime],
    ['sdk', `${sdk.name} ${sdk.version ?? 'not installed'}`],
    [
      'packages',
      Object.entries(packages)
        .map(([name, version]) => `${name} ${version ?? 'not installed'}`)
        .join(', '),
    ],
    ['location', `${at.location}: ${at.kind === null ? 'unknown' : NAMES[at.kind]}`],
  ];
  if (at.error !== null) {
    rows.push(['opens', `no: error[${at.error.code}]: ${at.error.message}`]);
    rows.push(['hint', at.error.hint]);
  } else if (!at.exists) {
    rows.push(['opens', 'not there yet: the first save makes it']);
  } else {
    rows.push(['opens', at.runs === null ? 'yes' : `yes, runs: ${at.runs}`]);
  }
  if (at.known_schema !== null && at.exists) {
    const none = 'none yet: the first use makes it';
    rows.push(['schema', at.schema === null ? none : `version ${at.schema}`]);
  }
  if (at.durability !== null) {
    rows.push(['durability', at.durability]);
  }
  return rows.map(([name, what]) => `${name?.padEnd(10)}  ${what}`);
}
