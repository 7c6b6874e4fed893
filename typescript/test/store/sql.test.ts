/** What a database does beyond what every kind of place does. */
import { execFile } from 'node:child_process';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import type { TimestepError } from '../../src/errors.js';
import { migrations } from '../../src/generated/migrations.js';
import type { Backend, Facts, Piece } from '../../src/store/base.js';
import {
  type Connection,
  ConnectionLost,
  type Statements,
  type Value,
} from '../../src/store/connection.js';
import { migrate } from '../../src/store/migrations.js';
import { openPostgres, PostgresConnection } from '../../src/store/postgres.js';
import { openSql } from '../../src/store/sql.js';
import { postgres } from '../postgres.js';
import { temporary } from './places.js';

const DIGEST = 'ab'.repeat(32);
const NOTHING = new Uint8Array();
const DIST = new URL('../../dist/', import.meta.url);

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function facts(pending: string[] = [], said: Partial<Facts> = {}): Facts {
  return {
    agent: 'Weather',
    status: 'interrupted',
    turn: 1,
    language: 'typescript',
    pending: pending.map((callId) => ({
      callId,
      agent: said.agent ?? 'Weather',
      tool: 'get_weather',
      kind: 'function',
      digest: DIGEST,
      arguments: bytes('{"city": "Oslo"}'),
    })),
    decided: {},
    calls: [],
    usage: [],
    ...said,
  };
}

function whole(text = '{}', revision = 1): Piece {
  return { revision, checksum: bytes(`whole ${revision}`), data: NOTHING, text };
}

function delta(revision: number, data: Uint8Array = bytes('delta')): Piece {
  return { revision, base: revision - 1, checksum: bytes(`delta ${revision}`), data };
}

async function opened(url: string): Promise<Backend> {
  const backend = await openPostgres(url);
  onTestFinished(() => backend.close());
  return backend;
}

function decide(backend: Backend, run = 'run', call = 'a', by = 'ann'): Promise<void> {
  return backend.decide(run, call, 'approve', { always: false, by });
}

/** What somebody else's connection does. */
async function ask(url: string, statement: string): Promise<unknown[][]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query({ text: statement, rowMode: 'array' })).rows;
  } finally {
    await client.end();
  }
}

/** The error that `work` rejects with. */
async function refused(work: Promise<unknown>): Promise<TimestepError> {
  return await work.then(
    () => expect.unreachable('it was done'),
    (error: TimestepError) => error,
  );
}

/** How each of several things done at once went, sorted. */
async function codes(work: readonly Promise<unknown>[]): Promise<string[]> {
  const done = await Promise.all(
    work.map((each) =>
      each.then(
        () => 'done',
        (error: TimestepError) => error.code,
      ),
    ),
  );
  return done.sort();
}

/**
 * A connection as strict as PGLite: a session of its own for every statement, and no second one
 * at a time. It notes what is sent.
 */
class Recorded implements Connection {
  readonly sent: string[] = [];
  #busy = false;

  constructor(readonly url: string) {}

  async transaction<T>(work: (inside: Statements) => Promise<T>): Promise<T> {
    expect(this.#busy, 'a statement while another one is under way').toBe(false);
    this.#busy = true;
    const fresh = await PostgresConnection.open(this.url);
    try {
      return await fresh.transaction((inside) =>
        work({
          fetch: (sql, parameters) => {
            this.sent.push(sql);
            return inside.fetch(sql, parameters);
          },
          script: (sql) => {
            this.sent.push(sql);
            return inside.script(sql);
          },
        }),
      );
    } finally {
      this.#busy = false;
      await fresh.close();
    }
  }

  fetch(sql: string, parameters?: readonly Value[]): Promise<Value[][]> {
    return this.transaction((inside) => inside.fetch(sql, parameters));
  }

  script(sql: string): Promise<void> {
    return this.transaction((inside) => inside.script(sql));
  }

  async close(): Promise<void> {}
}

/** A connection that is lost under the next statement: before it is done, or after. */
class Losing implements Connection {
  lose: 'before' | 'after' | undefined;
  sent = 0;

  constructor(readonly connection: Connection) {}

  async fetch(sql: string, parameters?: readonly Value[]): Promise<Value[][]> {
    const { lose } = this;
    this.lose = undefined;
    this.sent += 1;
    const rows = lose === 'before' ? [] : await this.connection.fetch(sql, parameters);
    if (lose !== undefined) {
      throw new ConnectionLost('cut');
    }
    return rows;
  }

  script(sql: string): Promise<void> {
    return this.connection.script(sql);
  }

  transaction<T>(work: (inside: Statements) => Promise<T>): Promise<T> {
    return this.connection.transaction(work);
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

async function useEverything(backend: Backend): Promise<void> {
  await backend.save('run', whole(), facts(['a', 'b']));
  const claimed = await backend.claim('run', 'me', 60_000, 1);
  expect(claimed.owner).toBe('me');
  const details = { digest: DIGEST, always: false, message: bytes('go'), by: 'ann' };
  await backend.decide('run', 'a', 'approve', { ...details, expires: claimed.until });
  await backend.save('run', delta(2), facts(['b'], { decided: { a: 'approve' } }), 'me');
  await backend.save('run', delta(3), facts(['b']), 'me');
  const waiting = await backend.approvals('run');
  expect(waiting.map(({ approval }) => approval.revision)).toEqual([1]);
  const all = await backend.approvals(undefined, { resolved: true });
  expect(all.map(({ approval }) => approval.callId)).toEqual(['a', 'b']);
  expect(all[0]?.message).toEqual(bytes('go'));
  expect((await backend.read('run', 2)).pieces).toEqual([whole(), delta(2)]);
  expect(await backend.history('run')).toHaveLength(3);
  expect(await backend.prune('run', whole('{}', 2))).toBe(1);
  expect((await backend.runs()).map((run) => run.revision)).toEqual([3]);
  await backend.release('run', 'me');
  const sealed = bytes('\x01sealed');
  await backend.addItems('chat', ['1', sealed]);
  expect(await backend.readItems('chat')).toEqual(['1', sealed]);
  expect(await backend.popItem('chat')).toEqual(sealed);
  await backend.clearItems('chat');
  expect(await backend.popItem('chat')).toBeUndefined();
  await backend.clear('run');
  expect(await backend.runs()).toEqual([]);
}

test('nothing is sent that PGLite cannot do', async () => {
  const connection = new Recorded(await postgres());
  await useEverything(await openSql(connection));
  const text = connection.sent.join('\n').replaceAll(/--.*/g, '');
  expect(text).toContain('save_revision');
  expect(text).toContain('CREATE TABLE');
  const forbidden =
    /\b(?:PREPARE|EXECUTE|DEALLOCATE|COPY|LISTEN|NOTIFY|CURSOR|SESSION|TEMP|EXTENSION)\b|\bpg_(?:try_)?advisory_lock\b|^SET\b/gm;
  expect(text.match(forbidden)).toBeNull();
});

test('the tables are made once by all who open an empty database at the same time', async () => {
  const url = await postgres();
  const backends = await Promise.all(Array.from({ length: 8 }, () => openPostgres(url)));
  await Promise.all(backends.map((backend) => backend.close()));
  const applied = await ask(url, 'SELECT version, name FROM timestep.migrations ORDER BY version');
  expect(applied).toEqual(migrations.map(({ version, name }) => [version, name]));
});

test('migrations are applied in order, and one query sees that there are none', async () => {
  const url = await postgres();
  const known = [
    ...migrations,
    { version: 1000, name: 'notes', sql: 'CREATE TABLE timestep.notes (a int)' },
  ];
  const connection = new Recorded(url);
  await migrate(connection);
  await migrate(connection, known);
  connection.sent.length = 0;
  await migrate(connection, known);
  expect(connection.sent).toHaveLength(1);
  const half = { version: 1001, name: 'half', sql: 'CREATE TABLE timestep.half (); SELECT 1 / 0' };
  await expect(migrate(connection, [...known, half])).rejects.toThrow('division by zero');
  expect(await ask(url, "SELECT to_regclass('timestep.half')")).toEqual([[null]]);

  const error = await refused(openPostgres(url));
  expect(error.code).toBe('newer-database');
  expect(error.message).toMatch(/1000_notes.*0001_store/);
});

test('a read is one statement however deep the run', async () => {
  const url = await postgres();
  const quick = await opened(url);
  await quick.save('run', whole(), facts(['a']));
  for (let revision = 2; revision <= 1000; revision += 1) {
    await quick.save('run', delta(revision), facts(['a']));
  }
  await decide(quick);
  const connection = new Recorded(url);
  const backend = await openSql(connection);
  connection.sent.length = 0;
  const stored = await backend.read('run');
  expect(stored.pieces.map(({ revision }) => revision)).toEqual(
    Array.from({ length: 1000 }, (_, index) => index + 1),
  );
  expect(stored.decisions.map(({ approval }) => approval.decision)).toEqual(['approve']);
  expect(connection.sent).toHaveLength(1);
});

test('of those who save, claim or decide at once one is first', async () => {
  const backend = await opened(await postgres());
  for (let revision = 1; revision <= 20; revision += 1) {
    const piece = revision === 1 ? whole() : delta(revision);
    const saves = [1, 2].map(() => backend.save('run', piece, facts(['a'])));
    expect(await codes(saves)).toEqual(['done', 'stale-state']);
  }
  const many = Array.from({ length: 20 }, (_, number) => `owner ${number}`);
  const claims = await codes(many.map((owner) => backend.claim('run', owner, 60_000)));
  expect(claims).toEqual([...Array(19).fill('already-claimed'), 'done']);
  const decisions = await codes(many.map((by) => decide(backend, 'run', 'a', by)));
  expect(decisions).toEqual([...Array(19).fill('already-decided'), 'done']);
});

test('appends at once stay whole, and pops at once give each item to one', async () => {
  const backend = await opened(await postgres());
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => backend.addItems('chat', [`${n}`, `${n}'`])),
  );
  const items = await backend.readItems('chat');
  expect(items).toHaveLength(100);
  for (let index = 0; index < 100; index += 2) {
    expect(items[index + 1]).toBe(`${items[index]}'`);
  }
  expect(await backend.readItems('chat', 3)).toEqual(items.slice(-3));
  const popped = await Promise.all(Array.from({ length: 110 }, () => backend.popItem('chat')));
  expect(popped.filter((item) => item !== undefined).sort()).toEqual([...items].sort());
});

test.each([
  "'; DROP TABLE timestep.runs; --",
  '"quoted"',
  '$1',
  '%s {0}',
  'back\\slash \\x00',
  '\u2028 \u{1f600} é',
  'NULL',
  'line\nbreak\ttab',
])('ids and names are never read as SQL: %j', async (text) => {
  const backend = await opened(await postgres());
  await backend.save(text, whole(JSON.stringify(text)), facts([text], { agent: text }));
  await decide(backend, text, text, text);
  await backend.addItems(text, [JSON.stringify(text)]);
  expect((await backend.runs()).map(({ runId, agent }) => [runId, agent])).toEqual([[text, text]]);
  expect((await backend.read(text)).pieces[0]?.text).toBe(JSON.stringify(text));
  const [call] = await backend.approvals(text);
  expect(call?.approval).toMatchObject({ callId: text, agent: text, decidedBy: text });
  expect(await backend.readItems(text)).toEqual([JSON.stringify(text)]);
});

test('texts that no database holds are shown with a mark', async () => {
  const backend = await opened(await postgres());
  const text = JSON.stringify({ nul: '\0', lone: '\ud800' });
  await backend.save('run', whole(text), facts(['call\0\udc00'], { agent: 'a\0b\ud800' }));
  await backend.addItems('chat', [text]);
  expect((await backend.read('run')).pieces[0]?.text).toBe(text);
  expect(await backend.readItems('chat')).toEqual([text]);
  expect((await backend.runs())[0]?.agent).toBe('a\ufffdb\ufffd');
  expect((await backend.approvals())[0]?.approval.callId).toBe('call\ufffd\ufffd');
  await decide(backend, 'run', 'call\0\udc00', 'a\0');
});

test('arguments are kept as they are, in clear as text', async () => {
  const url = await postgres();
  const backend = await opened(url);
  const kept = ['{"a": "é\u2028 \\ud800 \\"}', '', 'a\0b', '\x01sealed'];
  const { pending, ...said } = facts(['0', '1', '2', '3']);
  const kinds = ['function', 'mcp', 'native', 'function'];
  const calls = pending.map((call, index) => ({
    ...call,
    kind: kinds[index] ?? '',
    arguments: bytes(kept[index] ?? ''),
  }));
  await backend.save('run', whole(), { ...said, pending: calls });
  const found = await backend.approvals('run');
  expect(found.map((call) => Buffer.from(call.arguments ?? []).toString())).toEqual(kept);
  expect(found.map(({ approval }) => approval.kind)).toEqual(kinds);
  const [row] = await ask(url, 'SELECT pending FROM timestep.run_revisions');
  const stored = row?.[0] as { arguments?: string; data?: string }[];
  expect(stored.map((call) => call.arguments)).toEqual([kept[0], kept[1], undefined, undefined]);
  expect(stored.map(({ data }) => data)).toEqual([undefined, undefined, 'YQBi', 'AXNlYWxlZA==']);
});

test('what goes without saying is told by the views', async () => {
  const url = await postgres();
  const backend = await opened(url);
  const usage = [
    { request: 0, model: 'm', input: 7, output: 3, total: 10, cached: 2, reasoning: 1 },
    { request: 1, input: 7, output: 0, total: 7, cached: 0, reasoning: 0 },
    { request: 2, input: 1, output: 2, total: 0, cached: 0, reasoning: 4 },
  ];
  const done = { agent: 'Weather', tool: 'get_weather' };
  const calls = ['a', 'b'].map((callId) => ({ ...done, callId, executed: callId === 'a' }));
  await backend.save('run', whole(), facts([], { usage, calls }));
  const [row] = await ask(url, 'SELECT usage FROM timestep.run_revisions');
  expect((row?.[0] as object[])[1]).toEqual({ request: 1, input: 7 });
  const told = await ask(
    url,
    `SELECT request, model, input_tokens::int, output_tokens::int, total_tokens::int,
       cached_tokens::int, reasoning_tokens::int
     FROM timestep.usage ORDER BY request`,
  );
  expect(told).toEqual([
    [0, 'm', 7, 3, 10, 2, 1],
    [1, null, 7, 0, 7, 0, 0],
    [2, null, 1, 2, 0, 0, 4],
  ]);
  const executed = 'SELECT call_id, executed FROM timestep.tool_calls ORDER BY call_id';
  expect(await ask(url, executed)).toEqual([
    ['a', true],
    ['b', false],
  ]);
});

test('documents and items of ten megabytes', async () => {
  const backend = await opened(await postgres());
  const text = JSON.stringify(Array(10_000).fill(`é${'0123456789'.repeat(100)}`));
  const data = new Uint8Array(10_000_000).map((_, index) => index % 256);
  await backend.save('run', whole(text), facts());
  await backend.save('run', delta(2, data), facts());
  await backend.addItems('chat', [text, data]);
  const [first, second] = (await backend.read('run')).pieces;
  expect(first?.text === text).toBe(true);
  expect(Buffer.compare(second?.data ?? NOTHING, data)).toBe(0);
  const [item, sealed] = await backend.readItems('chat');
  expect(item === text).toBe(true);
  expect(Buffer.compare(sealed as Uint8Array, data)).toBe(0);
});

test('a connection that ended meanwhile is opened again', async () => {
  const url = await postgres();
  const backend = await opened(url);
  const end = () =>
    ask(
      url,
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
  await backend.addItems('chat', ['1']);
  await end();
  await backend.addItems('chat', ['2']);
  await end();
  expect(await backend.readItems('chat')).toEqual(['1', '2']);
});

test.each([
  'before',
  'after',
] as const)('a save whose answer was lost is told by what is stored: %s it was done', async (lose) => {
  const url = await postgres();
  const connection = new Losing(await PostgresConnection.open(url));
  const backend = await openSql(connection);
  onTestFinished(() => backend.close());
  for (let revision = 1; revision <= 3; revision += 1) {
    connection.lose = lose;
    await backend.save('run', revision === 1 ? whole() : delta(revision), facts());
  }
  expect(await backend.history('run')).toHaveLength(3);
  const other = await opened(url);
  await other.save('run', { ...delta(4), checksum: bytes('others') }, facts());
  connection.lose = lose;
  const error = await refused(backend.save('run', delta(4), facts()));
  expect(error).toMatchObject({ code: 'stale-state', revision: 4 });
});

test('what may not be done twice is not repeated', async () => {
  const connection = new Losing(await PostgresConnection.open(await postgres()));
  const backend = await openSql(connection);
  onTestFinished(() => backend.close());
  await backend.save('run', whole(), facts(['a']));
  await backend.addItems('chat', ['1', '2']);
  for (const work of [
    () => backend.addItems('chat', ['3']),
    () => backend.popItem('chat'),
    () => decide(backend),
    () => backend.clear('other'),
    () => backend.clearItems('other'),
  ]) {
    connection.lose = 'after';
    connection.sent = 0;
    const error = await refused(work());
    expect(error.code).toBe('database-unavailable');
    expect(error.message).toContain('was lost: cut');
    expect(connection.sent).toBe(1);
  }
  expect(await backend.readItems('chat')).toEqual(['1', '2']);
});

test('a server that is not there is named, and no password is', async () => {
  const folder = await temporary();
  const refusal = /cannot open the database app: .*REFUSED/;
  for (const [url, code, said] of [
    ['postgresql://me:hunter2@127.0.0.1:1/app', 'database-unavailable', refusal],
    [`postgresql://me:hunter2@/app?host=${folder}`, 'database-unavailable', /\.s\.PGSQL\.5432/],
    ['postgresql://127.0.0.1:1/app?password=hunter2', 'database-unavailable', refusal],
    ['postgresql://me:hunter2@127.0.0.1:port/app', 'unknown-location', /no URL/],
  ] as const) {
    const error = await refused(openPostgres(url));
    expect(error.code, url).toBe(code);
    expect(error.message).toMatch(said);
    expect(`${error.stack} ${error.hint} ${JSON.stringify(error)}`).not.toContain('hunter2');
  }
});

test('a socket folder can be given as host', async ({ skip }) => {
  const url = await postgres();
  skip(!url.includes('host=/'), 'the server that was given listens elsewhere');
  await useEverything(await opened(url.replace('@localhost/', '@/')));
});

/** What a fresh process says that runs `body` with `openPostgres` of a build, and the URL. */
async function run(dist: URL, url: string, body: string): Promise<string> {
  const module = JSON.stringify(new URL('store/postgres.js', dist).href);
  const script = `const { openPostgres } = await import(${module});
    const url = process.argv[1];
    ${body}`;
  const node = ['--input-type=module', '--eval', script, url];
  return (await promisify(execFile)(process.execPath, node, { timeout: 50_000 })).stdout;
}

test('a store that is not closed keeps no process alive', async () => {
  const body = `await (await openPostgres(url)).addItems('chat', ['1']);
    process.stdout.write('stored');`;
  expect(await run(DIST, await postgres(), body)).toBe('stored');
});

test('pg missing is told with what to install', async () => {
  const folder = await temporary();
  await cp(DIST, join(folder, 'dist'), { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  const body = `const error = await openPostgres(url).catch((error) => error);
    process.stdout.write(JSON.stringify([error.code, error.hint]));`;
  const said = await run(pathToFileURL(`${folder}/dist/`), 'postgresql://127.0.0.1/app', body);
  expect(JSON.parse(said)).toEqual(['missing-dependency', 'Run: npm install pg']);
});
