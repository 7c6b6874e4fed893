/** PGLite folders: processes that own one are killed, end by themselves, or do not answer. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { place } from '../../src/pglite/place.js';
import { Owner } from '../../src/pglite/server.js';
import type { Backend, Piece } from '../../src/store/base.js';
import { openPglite, PgliteConnection } from '../../src/store/pglite.js';

const DIST = new URL('../../dist/store/pglite.js', import.meta.url).href;
/** `./dev crashes` takes more. */
const ROUNDS = Number(process.env.TIMESTEP_ROUNDS ?? 5);
const MINUTE = 60_000;

const COMMON = `
  import { createHash } from 'node:crypto';
  import { openPglite } from ${JSON.stringify(DIST)};
  const backend = await openPglite(process.argv[1]);
  const facts = {
    agent: 'A', status: 'run_again', turn: 1, language: 'typescript',
    pending: [], decided: {}, calls: [], usage: [],
  };
  const piece = (revision) => {
    const text = JSON.stringify({ revision, text: 'x'.repeat(1000) });
    const hash = createHash('sha256').update(revision + ':0:').update(text).digest();
    return { revision, checksum: new Uint8Array(hash.subarray(0, 8)), data: new Uint8Array(), text };
  };
  const newest = () => backend.read('run').then((run) => run.newest, (error) => {
    if (error.code !== 'state-not-found') throw error;
    return 0;
  });
  const say = (what) => process.stdout.write(what + '\\n');
`;
const SAVES = `${COMMON}
  for (let revision = (await newest()) + 1; ; revision += 1) {
    await backend.save('run', piece(revision), facts);
    say(revision);
  }
`;
const SAVES_ONCE = `${COMMON}
  await backend.save('run', piece((await newest()) + 1), facts);
  say('saved');
`;
const WAITS = `${COMMON}
  await newest();
  say('open');
  process.stdin.once('data', () => process.stdin.destroy());
`;

interface Process {
  child: ChildProcessByStdio<Writable, Readable, null>;
  lines: AsyncIterator<string>;
  ended: Promise<unknown[]>;
}

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'timestep-pglite-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

function run(script: string): Process {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, lines, ended: once(child, 'exit') };
}

async function kill({ child, lines, ended }: Process): Promise<number[]> {
  child.kill('SIGKILL');
  await ended;
  const rest: number[] = [];
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    rest.push(Number(line.value));
  }
  return rest;
}

async function revisions(backend: Backend): Promise<number[]> {
  return (await backend.history('run')).map((each) => each.revision);
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

test(
  'no acknowledged revision is lost when the process that has the engine is killed',
  async () => {
    let last = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const writer = run(SAVES);
      const said: number[] = [];
      for (let count = 1 + Math.floor(Math.random() * 30); count > 0; count -= 1) {
        said.push(Number((await writer.lines.next()).value));
      }
      said.push(...(await kill(writer)));
      // The save before may have been stored without anybody being told.
      expect([last + 1, last + 2]).toContain(said[0]);
      last = said.at(-1) ?? 0;
    }
    const backend = await openPglite(folder);
    const stored = await revisions(backend);
    expect([last, last + 1]).toContain(stored.length);
    expect(stored).toEqual(upTo(stored.length));
    const { pieces } = await backend.read('run');
    expect(JSON.parse((pieces.at(-1) as Piece).text ?? '')).toMatchObject({
      revision: stored.length,
    });
    await backend.close();
  },
  ROUNDS * MINUTE,
);

test(
  'a process ends when its work is done, and leaves the folder in order',
  async () => {
    for (let round = 1; round <= 2; round += 1) {
      const process = run(SAVES_ONCE);
      expect((await process.lines.next()).value).toBe('saved');
      expect(await process.ended).toEqual([0, null]);
      expect(await readdir(folder)).toEqual(['data']);
    }
  },
  2 * MINUTE,
);

test(
  'an owner that ends hands its clients on, without an error',
  async () => {
    const owner = run(WAITS);
    expect((await owner.lines.next()).value).toBe('open');
    const backend = await openPglite(folder);
    for (let number = 0; number < 40; number += 1) {
      if (number === 10) {
        owner.child.stdin.write('\n');
      }
      await backend.addItems('chat', [String(number)]);
    }
    expect(await owner.ended).toEqual([0, null]);
    expect(await backend.readItems('chat')).toEqual(upTo(40).map((each) => String(each - 1)));
    await backend.close();
  },
  2 * MINUTE,
);

test(
  'a client becomes the owner when the owner is killed, and goes on saving',
  async () => {
    const owner = run(WAITS);
    expect((await owner.lines.next()).value).toBe('open');
    const writer = run(SAVES);
    await writer.lines.next();
    await kill(owner);
    let last = 0;
    while (last < 100) {
      last = Number((await writer.lines.next()).value);
    }
    last = (await kill(writer)).at(-1) ?? last;
    const backend = await openPglite(folder);
    const stored = await revisions(backend);
    expect(stored).toEqual(upTo(stored.length));
    expect(stored.length).toBeGreaterThanOrEqual(last);
    await backend.close();
  },
  2 * MINUTE,
);

test(
  'an owner that does not answer has the database in use',
  async () => {
    const owner = run(WAITS);
    expect((await owner.lines.next()).value).toBe('open');
    const before = await openPglite(folder, 1_000);
    owner.child.kill('SIGSTOP');
    const silent = { code: 'database-in-use', message: expect.stringContaining('does not answer') };
    await expect(openPglite(folder, 1_000)).rejects.toMatchObject(silent);
    await expect(before.runs()).rejects.toMatchObject(silent);
    owner.child.kill('SIGCONT');
    expect(await before.runs()).toEqual([]);
    await before.close();
    owner.child.stdin.write('\n');
    expect(await owner.ended).toEqual([0, null]);
  },
  2 * MINUTE,
);

test(
  'stores of one process share an engine, which ends with the last',
  async () => {
    const [one, other] = await Promise.all([openPglite(folder), openPglite(folder)]);
    await one.addItems('chat', ['1']);
    expect(await other.readItems('chat')).toEqual(['1']);
    await one.close();
    expect(await other.readItems('chat')).toEqual(['1']);
    expect(await Owner.open(folder)).toBeUndefined();
    await other.close();
    expect(await readdir(folder)).toEqual(['data']);
  },
  MINUTE,
);

test(
  'a value is the same by way of the engine and by way of its socket',
  async () => {
    const inside = new PgliteConnection(folder);
    const sql = `SELECT $1::bytea, $2::text, $3::text, $4::integer, 1.5::float8, true, NULL::text`;
    const values = [new Uint8Array([0, 255]), '\u2028 \u{1f600} "', null, 7];
    const expected = [new Uint8Array([0, 255]), '\u2028 \u{1f600} "', null, 7, 1.5, true, null];
    expect(await inside.fetch(sql, values)).toEqual([expected]);
    const { PostgresConnection } = await import('../../src/store/postgres.js');
    const host = encodeURIComponent(place(folder).host);
    const outside = await PostgresConnection.open(
      `postgresql://postgres@localhost/postgres?host=${host}`,
    );
    const [row] = await outside.fetch(sql, values);
    expect(row?.map((each) => (each instanceof Uint8Array ? new Uint8Array(each) : each))).toEqual(
      expected,
    );
    await outside.close();
    const refused = { sqlstate: '22012' };
    await expect(inside.fetch('SELECT 1/0')).rejects.toMatchObject(refused);
    await expect(
      inside.transaction(async (session) => {
        await session.script('CREATE TABLE undone (number int)');
        await session.fetch('SELECT 1/0');
      }),
    ).rejects.toMatchObject(refused);
    await expect(inside.fetch('SELECT 1 FROM undone')).rejects.toMatchObject({ sqlstate: '42P01' });
    await inside.close();
  },
  MINUTE,
);
