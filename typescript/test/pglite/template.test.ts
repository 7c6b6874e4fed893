/** The packed empty database in the cache: made once, checked, and done without where need be. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { template } from '../../src/pglite/template.js';

let folder: string;
let made: number;

/** Takes the place of an engine, whose database takes ten seconds and 900 MB. */
const engine = {
  create: async () => {
    made += 1;
    return {
      exec: async () => [],
      dumpDataDir: async () => new Blob([`database ${made}`]),
      close: async () => undefined,
    };
  },
} as unknown as typeof PGlite;

const text = async (version = '1.0.0') => await (await template(engine, version)).text();

beforeEach(async () => {
  made = 0;
  folder = await mkdtemp(join(tmpdir(), 'timestep-cache-'));
  vi.stubEnv('XDG_CACHE_HOME', folder);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

test('it is made once for a version, even for several at once', async () => {
  expect(await Promise.all([text(), text(), text()])).toEqual(Array(3).fill('database 1'));
  expect(await text()).toBe('database 1');
  expect(await text('1.0.1')).toBe('database 2');
  const names = await readdir(join(folder, 'timestep'));
  expect(names.map((name) => name.replace(/[0-9a-f]{32}/, '<digest>')).sort()).toEqual([
    'pglite-1.0.0-<digest>.tar.gz',
    'pglite-1.0.1-<digest>.tar.gz',
  ]);
});

test('a damaged one is made anew', async () => {
  await text();
  const [name] = await readdir(join(folder, 'timestep'));
  await writeFile(join(folder, 'timestep', name as string), 'data');
  expect(await text()).toBe('database 2');
  expect(await text()).toBe('database 2');
});

test('where nothing can be kept, it is made each time', async () => {
  await writeFile(join(folder, 'file'), '');
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'file'));
  expect([await text(), await text()]).toEqual(['database 1', 'database 2']);
});
