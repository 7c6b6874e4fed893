/** What is left of a run in a folder when its log is damaged. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RunStateStore } from '../../src/index.js';
import { entries } from '../../src/store/log.js';
import { weatherAgent } from '../model.js';
import { paused, temporary } from './places.js';

/** A run with so many revisions, and the way to its log. */
async function saved(revisions: number) {
  const folder = await temporary();
  const store = new RunStateStore(folder, weatherAgent(), 'run');
  for (let revision = 1; revision <= revisions; revision += 1) {
    await store.save(await paused(weatherAgent(), `number ${revision}`));
  }
  const [name = ''] = await readdir(join(folder, 'runs', 'run'));
  const path = join(folder, 'runs', 'run', name);
  const inputOf = async (revision: number) =>
    JSON.parse((await store.load({ revision })).toString()).originalInput;
  return { store, path, inputOf };
}

/** Changes a byte of the data of a revision, or of its line. */
async function damage(path: string, revision: number, what: 'data' | 'line') {
  const bytes = await readFile(path);
  const entry = entries(bytes).find(({ line }) => line.revision === revision);
  const start = entry?.start ?? 0;
  const offset = what === 'line' ? start : start - Number(entry?.line.size) + 20;
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

test.each([
  'data',
  'line',
] as const)('of the %s of a revision leaves those before', async (what) => {
  const { store, path, inputOf } = await saved(5);
  await damage(path, 3, what);
  const damaged = { code: 'damaged-history', revision: 3, loadable: 2 };
  await expect(store.load()).rejects.toMatchObject(damaged);
  await expect(store.load({ revision: 4 })).rejects.toMatchObject(damaged);
  await expect(store.load({ revision: 3 })).rejects.toMatchObject(damaged);
  expect(await inputOf(2)).toBe('number 2');
  const fork = await store.fork({ revision: 2 });
  expect((await fork.load()).getInterruptions()).toHaveLength(1);
  // The number after the damage is still the newest, so nothing else gets it.
  await expect(store.claim()).resolves.toMatchObject({ lost: false });
});

test('of a whole document leaves what is before it', async () => {
  const { store, path, inputOf } = await saved(4);
  await store.prune({ keep: 3 }); // revision 2 is whole from here on
  const folder = join(path, '..');
  const [name = ''] = await readdir(folder);
  await damage(join(folder, name), 2, 'data');
  await expect(inputOf(4)).rejects.toMatchObject({
    code: 'damaged-history',
    revision: 2,
    loadable: undefined,
  });
});

test('of the newest line takes it for one that was never written', async () => {
  const { store, path, inputOf } = await saved(3);
  await damage(path, 3, 'line');
  expect(await inputOf(2)).toBe('number 2');
  expect((await store.history()).map(({ revision }) => revision)).toEqual([1, 2]);
});

test('of the whole document far back is told with what is before', async () => {
  const { store, path } = await saved(2);
  // Too large for a delta, so it is a whole document.
  await store.save(await paused(weatherAgent(), 'x'.repeat(100_000)));
  await store.save(await paused(weatherAgent(), 'y'.repeat(100_000)));
  const history = await store.history();
  expect(history.map(({ whole }) => whole)).toEqual([true, false, true, false]);
  await damage(path, 3, 'data');
  await expect(store.load()).rejects.toMatchObject({
    code: 'damaged-history',
    revision: 3,
    loadable: 2,
  });
});
