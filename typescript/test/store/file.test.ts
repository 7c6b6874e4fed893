/** One run in one file: what is in the file, and what becomes of it when others touch it. */
import { lstat, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Approvals, RunStateStore } from '../../src/index.js';
import { dumpRunState, validate } from '../../src/state/index.js';
import { entries } from '../../src/store/log.js';
import { encode } from '../../src/store/text.js';
import { weatherAgent } from '../model.js';
import { opened, paused, temporary } from './places.js';

async function placed() {
  const folder = await temporary();
  const path = join(folder, 'run.json');
  return { folder, path, store: new RunStateStore(path, weatherAgent()) };
}

async function content(text: string): Promise<string> {
  return encode(dumpRunState(await paused(weatherAgent(), text)).document);
}

async function inputOf(store: RunStateStore): Promise<unknown> {
  return JSON.parse((await store.load()).toString()).originalInput;
}

test('it is one portable document for its owner', async () => {
  const { path, store } = await placed();
  const mask = process.umask(0);
  try {
    await store.save(await paused(weatherAgent(), 'Grüße 🌦'));
  } finally {
    process.umask(mask);
  }
  const text = await readFile(path, 'utf8');
  const document: unknown = JSON.parse(text);
  validate(document);
  expect(document.input).toBe('Grüße 🌦');
  expect(text.split('\n')).toHaveLength(2);
  for (const each of [path, `${path}.log`]) {
    expect((await stat(each)).mode & 0o777).toBe(0o600);
  }
});

test('nothing but the file and its log is left', async () => {
  const { folder, store } = await placed();
  const state = await paused();
  await Promise.all([1, 2, 3].map(() => store.save(state)));
  expect(store.runId).toBe('run');
  expect((await readdir(folder)).toSorted()).toEqual(['run.json', 'run.json.log']);
  await writeFile(join(folder, '.run.json.0123.tmp'), 'of a writer that died');
  await store.clear();
  expect(await readdir(folder)).toEqual([]);
});

test('parent folders are created', async () => {
  const path = join(await temporary(), 'a', 'b', 'run.json');
  await new RunStateStore(path, weatherAgent()).save(await paused());
  expect(JSON.parse(await readFile(path, 'utf8')).status).toBe('interrupted');
});

test('damage is named with the file', async () => {
  const { path, store } = await placed();
  await writeFile(path, '{');
  await expect(store.load()).rejects.toThrow(`${path} is not JSON at line 1 column 2`);
  await expect(store.load()).rejects.toMatchObject({ code: 'malformed' });
});

test('a document from elsewhere is revision 1', async () => {
  const { folder, path, store } = await placed();
  await writeFile(path, await content('from elsewhere'));
  const state = await paused();
  await expect(store.save(state)).rejects.toMatchObject({ code: 'stale-state', revision: 1 });
  expect(await store.list()).toMatchObject([{ runId: 'run', revision: 1, pending: 1 }]);
  expect(await inputOf(store)).toBe('from elsewhere');
  expect(store.revision).toBe(1);
  expect(await readdir(folder)).toEqual(['run.json']); // reading writes nothing
  expect(await store.save(state)).toBe(2);
});

test('a call in a document from elsewhere can be decided', async () => {
  const { path, store } = await placed();
  await writeFile(path, await content('from elsewhere'));
  const backend = await opened(path);
  await backend.decide('run', 'call_1', 'approve', { always: false, by: 'ada' });
  expect(dumpRunState(await store.load()).document.decisions).toHaveLength(1);
});

test('a document that was replaced is one revision more', async () => {
  const { path, store } = await placed();
  const other = new RunStateStore(path, weatherAgent());
  const state = await paused();
  await store.save(state);
  await store.save(state);
  await writeFile(path, await content('from elsewhere'));
  await expect(store.save(state)).rejects.toMatchObject({ code: 'stale-state', revision: 3 });
  expect(await inputOf(other)).toBe('from elsewhere');
  expect(other.revision).toBe(3);
  expect(await other.save(state)).toBe(4);
  const revisions = entries(await readFile(`${path}.log`)).map(({ line }) => line.revision);
  expect(revisions).toEqual([1, 2, 3, 4]);
});

test('a document that was removed is no run', async () => {
  const { path, store } = await placed();
  const other = new RunStateStore(path, weatherAgent());
  const state = await paused();
  await store.save(state);
  await rm(path);
  await expect(store.load()).rejects.toMatchObject({ code: 'state-not-found' });
  await expect(store.load()).rejects.toThrow(path);
  expect(await store.list()).toEqual([]);
  await expect(store.save(state)).rejects.toMatchObject({ code: 'stale-state' });
  expect(await other.save(state)).toBe(1);
  expect(await inputOf(store)).toBe('Oslo?');
});

test('a link stays a link', async () => {
  const folder = await temporary();
  const link = join(folder, 'run.json');
  await symlink(join(folder, 'data', 'one.json'), link);
  const store = new RunStateStore(link, weatherAgent());
  await store.save(await paused());
  await store.save(await paused(weatherAgent(), 'two'));
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect(JSON.parse(await readFile(join(folder, 'data', 'one.json'), 'utf8')).input).toBe('two');
  await store.clear();
  expect(await readdir(join(folder, 'data'))).toEqual([]);
});

test('it keeps one run and no sessions', async () => {
  const { path, store } = await placed();
  const unknown = { code: 'unknown-location' };
  expect(() => new RunStateStore(path, weatherAgent(), 'another')).toThrow(
    expect.objectContaining(unknown),
  );
  await store.save(await paused());
  await expect(store.fork({ runId: '../elsewhere' })).rejects.toMatchObject(unknown);
  const backend = await opened(path);
  await expect(backend.readItems('one')).rejects.toMatchObject(unknown);
  await expect(backend.addItems('one', ['{}'])).rejects.toMatchObject(unknown);
  await expect(backend.read('another')).rejects.toMatchObject(unknown);
});

test('a sealed document from elsewhere is read', async () => {
  const { path } = await placed();
  const keys = { one: new Uint8Array(32).fill(1) };
  const store = new RunStateStore(path, weatherAgent(), undefined, { keys });
  await store.save(await paused(weatherAgent(), 'a secret'));
  const sealed = JSON.parse(await readFile(path, 'utf8'));
  expect(Object.keys(sealed)).toEqual(['format', 'version', 'data']);
  await rm(`${path}.log`);
  expect(await inputOf(store)).toBe('a secret');
  expect(await store.save(await paused())).toBe(2);
  await writeFile(path, JSON.stringify({ ...sealed, data: '?' }));
  await expect(store.load()).rejects.toMatchObject({ code: 'malformed' });
  await writeFile(path, JSON.stringify({ ...sealed, version: '2' }));
  await expect(store.load()).rejects.toMatchObject({ code: 'newer-version' });
});

test('a reader sees a whole revision', async () => {
  const { path, store } = await placed();
  const other = new RunStateStore(path, weatherAgent());
  await store.save(await paused(weatherAgent(), '1'));
  const states = await Promise.all(
    Array.from({ length: 20 }, (_, index) => paused(weatherAgent(), String(index + 2))),
  );
  let done = false;
  const saving = (async () => {
    for (const state of states) {
      await store.save(state);
    }
  })().finally(() => {
    done = true;
  });
  while (!done) {
    const input = await inputOf(other);
    expect(input).toBe(String(other.revision));
  }
  await saving;
});

test.each([
  [{ $schemaVersion: '1.21', current_turn: 1 }, 'openai-agents', 'timestep'],
  [{ $schemaVersion: '1.22', currentTurn: 1 }, '@openai/agents', '@timestep-ai/timestep'],
])('a raw snapshot is named for what it is: %j', async (snapshot, sdk, port) => {
  const { path, store } = await placed();
  await writeFile(path, JSON.stringify(snapshot));
  const loading = store.load();
  await expect(loading).rejects.toMatchObject({
    code: 'not-a-run-state',
    message: expect.stringContaining(`raw ${sdk} snapshot (schema ${snapshot.$schemaVersion})`),
    hint: `save it with ${port} or convert it with \`timestep convert\``,
  });
});

test.each([
  ['not JSON', 'malformed'],
  ['{"some": "object"}', 'not-a-run-state'],
  ['{"$schemaVersion": "1.22", "currentTurn": 1}', 'not-a-run-state'],
])('a file that keeps no run is no empty inbox: %s', async (text, code) => {
  const { path } = await placed();
  await writeFile(path, text);
  const inbox = new Approvals(path);
  await expect(inbox.list()).rejects.toMatchObject({ code });
  await inbox.close();
  expect(await readFile(path, 'utf8')).toBe(text);
});
