/** What a location says, and what is shared by those who open it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { RunStateStore } from '../../src/index.js';
import { FolderBackend } from '../../src/store/folder.js';
import { defaultLocation, openBackend, parse } from '../../src/store/location.js';
import { weatherAgent } from '../model.js';
import { paused, temporary } from './places.js';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test.each([
  ['one.json', 'file', 'one.json'],
  ['deep/er/one.json', 'file', 'deep/er/one.json'],
  ['a_file', 'file', 'a_file'],
  ['runs', 'folder', 'runs'],
  ['runs/', 'folder', 'runs'],
  ['a.folder.json', 'folder', 'a.folder.json'],
  ['.', 'folder', ''],
  ['c:', 'folder', 'c:'],
  ['pglite:data', 'pglite', 'data'],
  ['pglite:./data/', 'pglite', 'data'],
])('a path says what is there or will be: %s', async (location, kind, name) => {
  const folder = await temporary();
  await mkdir(join(folder, 'a.folder.json'));
  await writeFile(join(folder, 'a_file'), '{}');
  vi.spyOn(process, 'cwd').mockReturnValue(folder);
  expect(parse(location)).toEqual({ kind, path: name === '' ? folder : join(folder, name) });
});

test.each([
  'postgresql://ada@host:1/runs?a=b',
  'postgres://host/runs',
])('a URL says the server: %s', (url) => {
  expect(parse(url)).toEqual({ kind: 'postgresql', url });
});

test.each([
  '',
  'mysql://host/runs',
  'sqlite:',
  'pglite:',
  'pglite://runs',
  'a\0b',
  '/dev/null',
  17,
])('anything else is told the forms there are: %j', (location) => {
  expect(() => new RunStateStore(location as string, weatherAgent())).toThrow(
    expect.objectContaining({
      code: 'unknown-location',
      hint: expect.stringMatching(/\.json.*folder.*postgresql:\/\/.*pglite:/),
    }),
  );
});

test.each(['', 'x'.repeat(201), '\ud83d', 'a\0b', 17])('no id is %j', (runId) => {
  expect(() => new RunStateStore('runs', weatherAgent(), runId as string)).toThrow(
    expect.objectContaining({ code: 'unknown-location' }),
  );
});

test('an id may be too long for a folder', async () => {
  const store = new RunStateStore(await temporary(), weatherAgent(), '🌦'.repeat(30));
  await expect(store.save(await paused())).rejects.toMatchObject({ code: 'unknown-location' });
});

test.each([
  'a/../b',
  '.',
  '..',
  'é 🌦',
  'A%2F',
  '~',
])('any other id is a run of its own: %s', async (runId) => {
  const folder = await temporary();
  const store = new RunStateStore(folder, weatherAgent(), runId);
  await store.save(await paused());
  expect(await store.list()).toMatchObject([{ runId, revision: 1 }]);
  expect((await store.load()).getInterruptions()).toHaveLength(1);
});

test('the default is a folder, or what the environment says', () => {
  vi.stubEnv('TIMESTEP_LOCATION', undefined);
  expect(defaultLocation()).toBe('.timestep');
  vi.stubEnv('TIMESTEP_LOCATION', 'elsewhere');
  expect(defaultLocation()).toBe('elsewhere');
});

describe('a backend', () => {
  test('is shared, and closed with its last user', async () => {
    const folder = await temporary();
    const close = vi.spyOn(FolderBackend.prototype, 'close');
    const one = await openBackend(folder);
    const two = await openBackend(`${folder}/`);
    await one.close();
    await one.close();
    expect(close).not.toHaveBeenCalled();
    expect(await two.runs()).toEqual([]);
    await two.close();
    expect(close).toHaveBeenCalledOnce();
    const three = await openBackend(folder);
    await three.close();
    expect(close).toHaveBeenCalledTimes(2);
  });

  test('that could not be opened is tried anew', async () => {
    const folder = await temporary();
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data', 'PG_VERSION'), '3');
    const location = `pglite:${join(folder, 'data')}`;
    await expect(openBackend(location)).rejects.toThrow();
    await expect(openBackend(location)).rejects.toThrow();
  });
});
