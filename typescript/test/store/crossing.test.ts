/** What is stored is the same in both languages: each goes on where the other one stopped. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { RunStateStore } from '../../src/index.js';
import { weatherAgent } from '../model.js';
import { KINDS, opened, paused, place, started } from './places.js';
import { python } from './processes.js';

describe.each(KINDS)('%s', { timeout: 120_000 }, (kind) => {
  beforeAll(() => started(kind), 120_000);

  test('what Python has written is read, claimed, pruned and gone on with', async () => {
    const from = await place(kind);
    const to = await place(kind);
    const agent = weatherAgent();
    await using first = new RunStateStore(from.location, agent, from.runId);
    await first.save(await paused(agent, 'Grüße 🌦'));
    const copied = await python('copy', from.location, from.runId, to.location, to.runId);
    expect(copied).toMatchObject({ was: 1, saved: 3 });

    await using store = new RunStateStore(to.location, agent, to.runId);
    const state = await store.load();
    expect(store.revision).toBe(3);
    expect(JSON.parse(state.toString()).originalInput).toBe('Grüße 🌦');
    expect((await store.list()).find(({ runId }) => runId === to.runId)).toMatchObject({
      agent: 'Weather',
      status: 'interrupted',
      pending: 1,
      revision: 3,
    });
    const history = (await store.history()).map(({ revision }) => revision);
    expect(history).toEqual(kind === 'file' ? [3] : [1, 2, 3]);
    const backend = await opened(to.location);
    const [call] = await backend.approvals(to.runId);
    expect(call?.approval).toMatchObject({ callId: 'call_1', kind: 'function', revision: 1 });
    await backend.decide(to.runId, 'call_1', 'approve', { always: false, by: 'ada' });
    {
      await using claim = await store.claim({ owner: 'typescript' });
      const resaved = python('resave', to.location, to.runId);
      await expect(resaved).rejects.toThrow(/taken by typescript|held by typescript/);
      expect(claim.lost).toBe(false);
    }
    expect(await store.save(state)).toBe(4);
    if (kind !== 'file') {
      expect(await store.prune({ keep: 2 })).toBe(2);
    }
    expect(await python('resave', to.location, to.runId)).toMatchObject({ was: 4, saved: 5 });
    expect(await backend.approvals(to.runId)).toEqual([]); // Python has taken the decision along
    const [resolved] = await backend.approvals(to.runId, { resolved: true });
    expect(resolved?.approval).toMatchObject({ decision: 'approve', decidedBy: 'ada' });
  });
});

/** The lines of a log without what differs each time. */
async function lines(path: string): Promise<unknown[]> {
  const text = await readFile(path, 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      if (line.startsWith('#')) {
        return 'data';
      }
      const value = JSON.parse(line) as Record<string, unknown>;
      const keys = Object.keys(value);
      const { id, at, after, size, check, created, file, language, ...same } = value;
      const pending = (same.pending as { at?: string }[] | undefined)?.map((call) => ({
        ...call,
        ...('at' in call && { at: '' }),
      }));
      return { keys, ...same, pending };
    });
}

describe('the lines of a log', { timeout: 60_000 }, () => {
  test('are the same in a folder', async () => {
    const [own, other] = [await place('folder'), await place('folder')];
    const agent = weatherAgent();
    await using store = new RunStateStore(own.location, agent, own.runId);
    await store.save(await paused(agent));
    await python('copy', own.location, own.runId, other.location, other.runId);
    const state = await store.load();
    await store.clear();
    for (let count = 0; count < 3; count += 1) {
      await store.save(state);
    }
    const read = async ({ location, runId }: typeof own) => {
      const folder = join(location, 'runs', runId);
      const [name = ''] = await readdir(folder);
      expect(name).toMatch(/^\d{16}\.log$/);
      return lines(join(folder, name));
    };
    expect(await read(own)).toEqual(await read(other));
  });

  test('are the same beside a file', async () => {
    const [own, other] = [await place('file'), await place('file')];
    const agent = weatherAgent();
    await using store = new RunStateStore(own.location, agent);
    await store.save(await paused(agent));
    await python('copy', own.location, own.runId, other.location, other.runId);
    const state = await store.load();
    await store.clear();
    for (let count = 0; count < 3; count += 1) {
      await store.save(state);
    }
    expect(await lines(`${own.location}.log`)).toEqual(await lines(`${other.location}.log`));
  });
});
