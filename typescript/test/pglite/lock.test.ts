/** One folder, one owner, however many start at once. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isOwned, type Lock, takeLock } from '../../src/pglite/lock.js';
import { place } from '../../src/pglite/place.js';

const DIST = new URL('../../dist/pglite/', import.meta.url);
const CONTENDER = `
  import { takeLock } from ${JSON.stringify(new URL('lock.js', DIST).href)};
  import { place } from ${JSON.stringify(new URL('place.js', DIST).href)};
  process.stdout.write('ready\\n');
  process.stdin.once('data', async () => {
    const lock = await takeLock(place(process.argv[1]), (socket) => socket.destroy());
    process.stdout.write(lock === undefined ? 'client\\n' : 'owner\\n');
    process.stdin.on('data', () => process.stdout.write(lock?.held() ? 'held\\n' : 'not held\\n'));
  });
`;

interface Contender {
  process: ChildProcess;
  ask(): Promise<string>;
}

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'timestep-lock-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function contender(): Promise<Contender> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', CONTENDER, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string;
  expect(await next()).toBe('ready');
  return {
    process: child,
    ask: () => {
      child.stdin.write('go\n');
      return next();
    },
  };
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

test('of eight processes that start at once one becomes the owner, also after it was killed', async () => {
  let survivors: Contender[] = [];
  try {
    for (let round = 0; round < 5; round += 1) {
      const fresh = await Promise.all(Array.from({ length: 8 }, contender));
      survivors.push(...fresh);
      const answers = await Promise.all(fresh.map((each) => each.ask()));
      expect(answers.filter((each) => each === 'owner')).toHaveLength(1);
      const held = await Promise.all(survivors.map((each) => each.ask()));
      expect(held.filter((each) => each === 'held')).toHaveLength(1);
      const owner = survivors[held.indexOf('held')] as Contender;
      await kill(owner.process);
      survivors = survivors.filter((each) => each !== owner);
    }
    expect((await readdir(folder)).filter((name) => name !== '.s.PGSQL.5432')).toEqual([]);
  } finally {
    await Promise.all(survivors.map((each) => kill(each.process)));
  }
}, 60_000);

const own = async () => (await takeLock(place(folder), (socket) => socket.destroy())) as Lock;

test('a folder that is owned has no second owner, until it is given away', async () => {
  const lock = await own();
  expect(await own()).toBeUndefined();
  expect(await isOwned(place(folder))).toBe(true);
  lock.release();
  expect(await isOwned(place(folder))).toBe(false);
  const next = await own();
  expect(next.held()).toBe(true);
  next.release();
});

test('an owner whose socket was removed knows, and leaves the one of the next owner alone', async () => {
  const lock = await own();
  await unlink(place(folder).socket);
  expect(lock.held()).toBe(false);
  const next = await own();
  expect(lock.held()).toBe(false);
  lock.release();
  expect(next.held()).toBe(true);
  expect(await isOwned(place(folder))).toBe(true);
  next.release();
});

test('a takeover that was cut off keeps nobody out for good', async () => {
  const takeover = join(folder, '.takeover');
  await mkdir(takeover);
  const old = new Date(Date.now() - 11_000);
  await utimes(takeover, old, old);
  const lock = await own();
  expect(lock.held()).toBe(true);
  lock.release();
});

test('while somebody takes over, others wait', async () => {
  const takeover = join(folder, '.takeover');
  await mkdir(takeover);
  const waiting = own();
  const other = await Promise.race([
    waiting,
    new Promise((done) => setTimeout(done, 100, 'waits')),
  ]);
  expect(other).toBe('waits');
  await rm(takeover, { recursive: true });
  const lock = await waiting;
  expect(lock.held()).toBe(true);
  lock.release();
});

test('a folder with a long name is one place too, and closed to others', async () => {
  const deep = join(folder, 'a'.repeat(100), 'b'.repeat(100));
  const at = place(deep);
  expect(Buffer.byteLength(at.socket)).toBeLessThanOrEqual(100);
  expect((await stat(deep)).mode & 0o777).toBe(0o700);
  const lock = (await takeLock(at, (socket) => socket.destroy())) as Lock;
  await symlink(deep, join(folder, 'other'));
  expect(place(join(folder, 'other'))).toEqual(at);
  expect(await isOwned(place(join(folder, 'other')))).toBe(true);
  expect(await readdir(deep)).toEqual(['.s.PGSQL.5432']);
  lock.release();
});

test('a folder that holds something else is left alone', async () => {
  await writeFile(join(folder, 'thesis.txt'), 'mine');
  expect(() => place(folder)).toThrow(
    expect.objectContaining({
      code: 'database-unavailable',
      message: expect.stringContaining('thesis.txt'),
    }),
  );
});
