/** What a store does, wherever it keeps its runs: one suite for every kind of location. */
import { stat } from 'node:fs/promises';

import { RunState } from '@openai/agents';
import { beforeAll, describe, expect, test } from 'vitest';
import { Approvals, runAgent } from '../../src/index.js';
import { dumpRunState } from '../../src/state/index.js';
import { digestOf, facts } from '../../src/store/facts.js';
import { RunStateStore } from '../../src/store/index.js';
import { encode } from '../../src/store/pieces.js';
import { scripted, weatherAgent } from '../model.js';
import { askingAgent, KINDS, type Kind, opened, paused, place, started } from './places.js';
import { DIST, python, worker } from './processes.js';

const ARGUMENTS = '{"city":"Oslo"}';
const DIGEST = digestOf({ type: 'function_call', arguments: ARGUMENTS });

/** The kinds that keep many runs with their history. */
const MANY = KINDS.filter((kind) => kind !== 'file');

/** A store of a new run, with another that reads the same one. */
async function stores(kind: Kind) {
  const { location, runId } = await place(kind);
  const agent = weatherAgent();
  const store = new RunStateStore(location, agent, runId);
  const other = () => new RunStateStore(location, agent, runId);
  return { location, runId, agent, store, other };
}

describe.each(KINDS)('%s', { timeout: 60_000 }, (kind) => {
  beforeAll(() => started(kind), 120_000);

  test('a saved run is approved and finished', async () => {
    const { location, runId } = await place(kind);
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    await using store = new RunStateStore(location, agent, runId);
    expect(store.revision).toBeUndefined();
    expect(await store.save(await paused(agent))).toBe(1);
    const state = await store.load();
    expect(state).toBeInstanceOf(RunState);
    for (const interruption of state.getInterruptions()) {
      state.approve(interruption);
    }
    await using model = await scripted([2]);
    const result = await runAgent(agent, state, { modelProvider: model.provider });
    expect(result.finalOutput).toBe('It is sunny in Oslo.');
    expect(calls).toEqual(['Oslo']);
    expect(await store.save(result.state)).toBe(2);
    expect(store.revision).toBe(2);
    await expect(store.load()).rejects.toMatchObject({ code: 'run-completed' });
  });

  test('a run is read by a store that did not write it', async () => {
    const { store, other, runId } = await stores(kind);
    await store.save(await paused(weatherAgent(), 'Grüße 🌦 \ud83d'));
    await store.close();
    await using again = other();
    const [item] = (await again.load()).getInterruptions();
    expect(item?.arguments).toBe(ARGUMENTS);
    expect(again.runId).toBe(runId);
    expect(again.revision).toBe(1);
  });

  test('nothing is there before the first save', async () => {
    await using store = (await stores(kind)).store;
    await expect(store.load()).rejects.toMatchObject({ code: 'state-not-found' });
    await expect(store.history()).rejects.toMatchObject({ code: 'state-not-found' });
    await expect(store.claim()).rejects.toMatchObject({ code: 'state-not-found' });
    await expect(store.fork()).rejects.toMatchObject({ code: 'state-not-found' });
    await store.clear();
  });

  test('clear removes a run, and a new one may take its place', async () => {
    const { store, other } = await stores(kind);
    await using open = store;
    await using late = other();
    const state = await paused();
    await open.save(state);
    await open.save(state);
    await late.load();
    await open.clear();
    await open.clear();
    expect(open.revision).toBeUndefined();
    await expect(open.load()).rejects.toMatchObject({ code: 'state-not-found' });
    await expect(late.save(state)).rejects.toMatchObject({ code: 'stale-state' });
    expect(await open.save(state)).toBe(1);
  });

  test('of first saves at once by many, one is accepted', async () => {
    const { other, runId } = await stores(kind);
    const state = await paused();
    const many = Array.from({ length: 5 }, other);
    const saves = await Promise.allSettled(many.map((each) => each.save(state)));
    const codes = saves.map((each) => (each.status === 'fulfilled' ? 1 : each.reason.code));
    expect(codes.toSorted()).toEqual([1, ...Array(4).fill('stale-state')]);
    const runs = (await many[0]?.list()) ?? [];
    expect(runs.filter((run) => run.runId === runId)).toMatchObject([{ revision: 1 }]);
    await Promise.all(many.map((each) => each.close()));
  });

  test('another process, of the other language, goes on', async () => {
    const { store, location, runId } = await stores(kind);
    await using open = store;
    await open.save(await paused(weatherAgent(), 'one'));
    await open.save(await paused(weatherAgent(), 'two'));
    expect(await python('resave', location, runId)).toEqual({ was: 2, input: 'two', saved: 3 });
    await expect(open.save(await paused())).rejects.toMatchObject({ code: 'stale-state' });
    const state = await open.load();
    expect(open.revision).toBe(3);
    expect(JSON.parse(state.toString()).originalInput).toBe('two');
  });

  test('a process that closes nothing ends all the same', async () => {
    const { store, location, runId } = await stores(kind);
    await store.save(await paused());
    await store.close();
    const { lines, ended } = worker(
      `import { Claim } from '${DIST}claim.js';
       import { openBackend } from '${DIST}location.js';
       const [location, runId] = process.argv.slice(1);
       const open = await openBackend(location);
       const claimed = await open.claim(runId, 'they', 60_000);
       new Claim(open, runId, claimed, 60_000, () => {});
       console.log((await open.read(runId)).newest);`,
      [location, runId],
    );
    expect((await lines.next()).value).toBe('1');
    expect(await ended).toBe(0);
  });

  test('a closed store opens again', async () => {
    const { store } = await stores(kind);
    await store.close();
    await store.save(await paused());
    await store.close();
    expect((await store.load()).getInterruptions()).toHaveLength(1);
    expect(await store.save(await paused())).toBe(2);
    await store.close();
    await store.close();
  });

  test('a run is listed with where it stands', async () => {
    const { store, runId } = await stores(kind);
    await using open = store;
    await open.save(await paused());
    const found = (await open.list()).find((run) => run.runId === runId);
    expect(found).toMatchObject({
      agent: 'Weather',
      status: 'interrupted',
      currentTurn: 1,
      revision: 1,
      pending: 1,
    });
    expect(found).not.toHaveProperty('claimedBy');
    expect(Date.now() - Number(found?.updatedAt)).toBeLessThan(60_000);
    const interrupted = await open.list({ status: 'interrupted' });
    expect(interrupted.map((run) => run.runId)).toContain(runId);
    const completed = await open.list({ status: 'completed' });
    expect(completed.map((run) => run.runId)).not.toContain(runId);
  });

  test('the run that changed last is listed first', async () => {
    const first = await stores(kind);
    await using store = first.store;
    const state = await paused();
    await store.save(state);
    await store.save(state);
    expect((await store.list())[0]).toMatchObject({ runId: first.runId, revision: 2 });
  });

  test('saving over what was not read is stale', async () => {
    const { store, other } = await stores(kind);
    await using one = store;
    await using two = other();
    const state = await paused();
    await one.save(state);
    await expect(two.save(state)).rejects.toMatchObject({ code: 'stale-state', revision: 1 });
    await two.load();
    expect(await two.save(state)).toBe(2);
    await expect(one.save(state)).rejects.toMatchObject({ code: 'stale-state', revision: 2 });
    await one.load();
    expect(await one.save(state)).toBe(3);
  });

  test('of saves at once by many, one is accepted', async () => {
    const { store, other } = await stores(kind);
    await using first = store;
    const state = await paused();
    await first.save(state);
    const others = Array.from({ length: 5 }, other);
    await Promise.all(others.map((each) => each.load()));
    const saves = await Promise.allSettled(others.map((each) => each.save(state)));
    const refused = saves.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(4);
    expect(refused.map((each) => (each as PromiseRejectedResult).reason.code)).toEqual(
      Array(4).fill('stale-state'),
    );
    await Promise.all(others.map((each) => each.close()));
    await first.load();
    expect(first.revision).toBe(2);
  });

  test('saves at once by one store follow each other', async () => {
    const { store } = await stores(kind);
    await using open = store;
    const state = await paused();
    const saves = await Promise.all([1, 2, 3, 4].map(() => open.save(state)));
    expect(saves).toEqual([1, 2, 3, 4]);
  });

  test('a fork is a run of its own', async () => {
    const { store, runId } = await stores(kind);
    await using open = store;
    const state = await paused();
    await open.save(state);
    await open.save(state);
    const name = `${runId}-fork`;
    await using fork = await open.fork({ runId: name });
    expect([fork.runId, fork.revision]).toEqual([name, 1]);
    expect((await fork.load()).getInterruptions()).toHaveLength(1);
    expect(await fork.save(state)).toBe(2);
    await expect(open.fork({ runId: name })).rejects.toMatchObject({ code: 'run-exists' });
    await using random = await open.fork();
    expect(random.runId).not.toBe(runId);
    expect(open.revision).toBe(2);
  });

  if (kind === 'file') {
    test('only the newest revision is kept', async () => {
      const { store, location } = await stores(kind);
      await using open = store;
      const state = await paused();
      await open.save(state);
      await open.save(state);
      expect(await open.history()).toMatchObject([
        { revision: 2, status: 'interrupted', whole: true, size: (await stat(location)).size },
      ]);
      expect((await open.load({ revision: 2 })).getInterruptions()).toHaveLength(1);
      for (const revision of [0, 1, 3]) {
        await expect(open.load({ revision })).rejects.toMatchObject({ code: 'revision-not-found' });
      }
      expect(await open.prune({ keep: 1 })).toBe(0);
    });
  }

  describe('claims', () => {
    test('are for one at a time', async () => {
      const { store, other, runId } = await stores(kind);
      await using mine = store;
      await using theirs = other();
      const state = await paused();
      await mine.save(state);
      await theirs.load();
      const claim = await mine.claim({ owner: 'me' });
      const until = claim.until;
      expect(claim.owner).toBe('me');
      expect(until.getTime() - Date.now()).toBeGreaterThan(30_000);
      const held = { code: 'already-claimed', owner: 'me', until };
      await expect(theirs.claim()).rejects.toMatchObject(held);
      await expect(theirs.save(state)).rejects.toMatchObject(held);
      expect((await theirs.list()).find((run) => run.runId === runId)).toMatchObject({
        claimedBy: 'me',
        claimedUntil: until,
      });
      expect(await mine.save(state)).toBe(2);
      await claim.release();
      await claim.release();
      await theirs.load();
      await using next = await theirs.claim({ owner: 'they' });
      expect(next.owner).toBe('they');
      await expect(mine.save(state)).rejects.toMatchObject({
        code: 'already-claimed',
        owner: 'they',
      });
    });

    test('are given back at the end of their block', async () => {
      const { store, other } = await stores(kind);
      await using mine = store;
      await using theirs = other();
      await mine.save(await paused());
      {
        await using claim = await mine.claim();
        expect(claim.lost).toBe(false);
      }
      await using claim = await theirs.claim();
      expect(claim.owner).not.toBe('');
    });

    test('of many at once one succeeds', async () => {
      const { store, other } = await stores(kind);
      await using first = store;
      await first.save(await paused());
      const others = Array.from({ length: 6 }, other);
      const claims = await Promise.allSettled(others.map((each) => each.claim()));
      expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      await Promise.all(others.map((each) => each.close()));
    });

    test('need the newest revision', async () => {
      const { store, other } = await stores(kind);
      await using mine = store;
      await using theirs = other();
      const state = await paused();
      await mine.save(state);
      await theirs.load();
      await mine.save(state);
      await expect(theirs.claim()).rejects.toMatchObject({ code: 'stale-state', revision: 2 });
    });

    test('are renewed while they last', async () => {
      const { store, other } = await stores(kind);
      await using mine = store;
      await using theirs = other();
      await mine.save(await paused());
      const lease = 1500;
      await using claim = await mine.claim({ lease });
      const first = claim.until;
      await expect
        .poll(() => claim.until.getTime(), { timeout: 20_000 })
        .toBeGreaterThan(first.getTime() + lease);
      await expect(theirs.claim()).rejects.toMatchObject({ code: 'already-claimed' });
      expect(claim.lost).toBe(false);
    });

    test('that a process slept over hold again if nobody took the run', async () => {
      const { store } = await stores(kind);
      await using open = store;
      const state = await paused();
      await open.save(state);
      const claim = await open.claim({ lease: 100 });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300); // nothing else runs
      expect(await open.save(state)).toBe(2);
      await expect.poll(() => claim.until.getTime() > Date.now()).toBe(true);
      expect(claim.lost).toBe(false);
      await claim.release();
    });

    test('that were lost make the next save fail', async () => {
      const { store, other } = await stores(kind);
      await using mine = store;
      await using theirs = other();
      const state = await paused();
      await mine.save(state);
      const claim = await mine.claim({ lease: 300, owner: 'me' });
      await claim.stop(); // as a process that hangs does
      await expect.poll(() => theirs.claim({ owner: 'they' }), { timeout: 20_000 }).toBeDefined();
      await expect(mine.save(state)).rejects.toMatchObject({ code: 'claim-lost', owner: 'they' });
      expect(claim.lost).toBe(true);
      await expect(mine.save(state)).rejects.toMatchObject({ code: 'claim-lost' });
      await claim.release(); // takes nothing from those who have it now
      await expect(mine.save(state)).rejects.toMatchObject({ code: 'already-claimed' });
    });
  });

  describe('decisions of the inbox', () => {
    /** A paused run, and what its inbox is. */
    async function inbox(calls: string[] = [], agent = weatherAgent(calls)) {
      const { location, runId } = await place(kind);
      const store = new RunStateStore(location, agent, runId);
      return { store, runId, agent, location, backend: await opened(location) };
    }

    const plain = { always: false, by: 'ada' };

    test('a call that waits is there to be decided', async () => {
      const { store, runId, backend } = await inbox();
      await using open = store;
      await open.save(await paused());
      const [found, ...others] = await backend.approvals(runId);
      expect(others).toEqual([]);
      expect(Buffer.from(found?.arguments ?? []).toString()).toBe(ARGUMENTS);
      expect(found?.approval).toMatchObject({
        runId,
        callId: 'call_1',
        agent: 'Weather',
        tool: 'get_weather',
        kind: 'function',
        argumentsDigest: DIGEST,
        revision: 1,
        always: false,
        resolved: false,
      });
    });

    test('an approval is applied when the run is loaded', async () => {
      const calls: string[] = [];
      const { store, runId, agent, backend } = await inbox(calls);
      await using open = store;
      await open.save(await paused(agent));
      await backend.decide(runId, 'call_1', 'approve', { ...plain, digest: DIGEST });
      await using model = await scripted([2]);
      const result = await runAgent(agent, await open.load(), { modelProvider: model.provider });
      expect(result.finalOutput).toBe('It is sunny in Oslo.');
      expect(calls).toEqual(['Oslo']);
      await open.save(result.state);
      expect(await backend.approvals(runId)).toEqual([]);
      const [resolved] = await backend.approvals(runId, { resolved: true });
      expect(resolved?.approval).toMatchObject({
        decision: 'approve',
        decidedBy: 'ada',
        resolved: true,
      });
      expect(resolved?.approval.decidedAt).toBeInstanceOf(Date);
    });

    test('a rejection is applied with its message', async () => {
      const calls: string[] = [];
      const { store, runId, agent, backend } = await inbox(calls);
      await using open = store;
      await open.save(await paused(agent));
      const message = Buffer.from('not today');
      await backend.decide(runId, 'call_1', 'reject', { ...plain, message });
      await using model = await scripted([2]);
      await runAgent(agent, await open.load(), { modelProvider: model.provider });
      expect(calls).toEqual([]);
      const input = model.requests[0]?.input as { output?: string }[];
      expect(input.at(-1)?.output).toBe('not today');
    });

    test('one for always covers the calls to come', async () => {
      const { store, runId, agent, backend } = await inbox();
      await using open = store;
      await open.save(await paused(agent));
      await backend.decide(runId, 'call_1', 'approve', { always: true, by: 'ada' });
      const state = await open.load();
      const { context } = JSON.parse(state.toString());
      const [{ approvals }] = context.functionApprovals;
      expect(Object.values(approvals)).toMatchObject([{ approved: true }]);
    });

    test('one about a call of a nested run is applied', async () => {
      const calls: string[] = [];
      const agent = askingAgent(calls);
      const { store, runId, backend } = await inbox(calls, agent);
      await using open = store;
      await using model = await scripted([1, 2, 3, 4], 'nested-weather');
      const first = await runAgent(agent, 'Oslo?', { modelProvider: model.provider });
      await open.save(first.state);
      const [{ approval } = { approval: undefined }] = await backend.approvals(runId);
      expect(approval).toMatchObject({ agent: 'Weather', tool: 'get_weather' });
      await backend.decide(runId, approval?.callId ?? '', 'approve', plain);
      await runAgent(agent, await open.load(), { modelProvider: model.provider });
      expect(calls).toHaveLength(1);
    });

    test('the first one stands', async () => {
      const { store, runId, backend } = await inbox();
      await using open = store;
      await open.save(await paused());
      await backend.decide(runId, 'call_1', 'approve', plain);
      const again = backend.decide(runId, 'call_1', 'reject', { always: false, by: 'bob' });
      await expect(again).rejects.toMatchObject({ code: 'already-decided', decidedBy: 'ada' });
      const none = backend.decide(runId, 'call_2', 'approve', plain);
      await expect(none).rejects.toMatchObject({ code: 'approval-not-found' });
      const other = { ...plain, digest: '0'.repeat(64) };
      await expect(backend.decide(runId, 'call_1', 'approve', other)).rejects.toMatchObject({
        code: 'approval-mismatch',
      });
    });

    test('one that has expired is left out, and may be taken again', async () => {
      const calls: string[] = [];
      const { store, runId, agent, backend } = await inbox(calls);
      await using open = store;
      await open.save(await paused(agent));
      const expired = { ...plain, expires: new Date(Date.now() - 1000) };
      await backend.decide(runId, 'call_1', 'approve', expired);
      expect((await open.list()).find((run) => run.runId === runId)?.pending).toBe(1);
      await using model = await scripted([2]);
      const options = { modelProvider: model.provider };
      const result = await runAgent(agent, await open.load(), options);
      expect(result.interruptions).toHaveLength(1);
      await backend.decide(runId, 'call_1', 'approve', { ...plain, by: 'bob' });
      expect((await open.list()).find((run) => run.runId === runId)?.pending).toBe(0);
      await runAgent(agent, await open.load(), options);
      expect(calls).toEqual(['Oslo']);
    });

    test('a save while one was taken keeps it', async () => {
      const { store, runId, agent, backend } = await inbox();
      await using open = store;
      const state = await paused(agent);
      await open.save(state);
      await backend.decide(runId, 'call_1', 'approve', plain);
      await open.save(state);
      const [found] = await backend.approvals(runId);
      expect(found?.approval).toMatchObject({ decision: 'approve', revision: 1 });
      const loaded = await open.load();
      await open.save(loaded); // the decision is in the document from here on
      expect(await backend.approvals(runId)).toEqual([]);
    });

    test('an older revision is loaded as it was', async () => {
      const { store, runId, agent, backend } = await inbox();
      await using open = store;
      const state = await paused(agent);
      await open.save(state);
      await backend.decide(runId, 'call_1', 'approve', plain);
      await using fork = await open.fork();
      expect((await backend.approvals(runId))[0]?.approval.decision).toBe('approve');
      const loaded = JSON.parse((await fork.load()).toString());
      expect(loaded.context.functionApprovals ?? []).toEqual([]);
    });
  });

  describe('keys', () => {
    const keys = { k1: new Uint8Array(32).fill(1) };
    const others = { k2: new Uint8Array(32).fill(2) };

    test('seal what is stored', async () => {
      const { location, runId } = await place(kind);
      const agent = weatherAgent();
      await using store = new RunStateStore(location, agent, runId, { keys });
      await store.save(await paused(agent));
      await store.save(await paused(agent));
      const backend = await opened(location);
      const { pieces } = await backend.read(runId);
      for (const { data, text } of pieces) {
        expect(`${text}${Buffer.from(data).toString('latin1')}`).not.toContain('Oslo');
      }
      const [call] = await backend.approvals(runId);
      expect(call?.arguments?.[0]).toBe(1);
      expect(call?.approval.argumentsDigest).toBe(DIGEST);
      await using again = new RunStateStore(location, agent, runId, { keys });
      expect((await again.load()).getInterruptions()).toHaveLength(1);
      for (const wrong of [others, undefined]) {
        await using closed = new RunStateStore(location, agent, runId, { keys: wrong });
        await expect(closed.load()).rejects.toMatchObject({ code: 'wrong-key' });
      }
    });

    test('open what the inbox has sealed', async () => {
      const { location, runId } = await place(kind);
      const agent = weatherAgent();
      await using store = new RunStateStore(location, agent, runId, { keys });
      await store.save(await paused(agent));
      const inbox = new Approvals(location, { keys });
      await inbox.reject(runId, 'call_1', { message: 'a secret reason', by: 'ada' });
      await inbox.close();
      const [call] = await (await opened(location)).approvals(runId);
      expect(Buffer.from(call?.message ?? []).toString('latin1')).not.toContain('secret');
      const both = { keys: { ...others, ...keys } };
      await using later = new RunStateStore(location, agent, runId, both);
      const state = await later.load();
      expect(state.toString()).toContain('a secret reason');
      expect(await later.save(state)).toBe(2);
      expect((await later.load()).toString()).toContain('a secret reason');
    });
  });
});

describe.each(MANY)('%s: many runs', { timeout: 60_000 }, (kind) => {
  beforeAll(() => started(kind), 120_000);

  test('every revision is kept and can be loaded', async () => {
    const { store, agent } = await stores(kind);
    await using open = store;
    const state = await paused(agent);
    await open.save(state);
    for (const item of state.getInterruptions()) {
      state.approve(item);
    }
    await using model = await scripted([2]);
    const result = await runAgent(agent, state, { modelProvider: model.provider });
    await open.save(result.state);
    const revisions = await open.history();
    expect(revisions).toMatchObject([
      { revision: 1, status: 'interrupted', language: 'typescript', whole: true },
      { revision: 2, status: 'completed', language: 'typescript' },
    ]);
    expect(revisions.every(({ size }) => size > 0)).toBe(true);
    const back = await open.load({ revision: 1 });
    expect(back.getInterruptions()).toHaveLength(1);
    expect(open.revision).toBe(2);
    for (const revision of [0, 3]) {
      await expect(open.load({ revision })).rejects.toMatchObject({ code: 'revision-not-found' });
    }
  });

  test('what is new takes a delta', async () => {
    const { store } = await stores(kind);
    await using open = store;
    const state = await paused();
    await open.save(state);
    await open.save(state);
    const [first, second] = await open.history();
    expect([first?.whole, second?.whole]).toEqual([true, false]);
    expect(second?.size).toBeLessThan((first?.size ?? 0) / 4);
  });

  test('a fork starts from any revision', async () => {
    const { store, agent } = await stores(kind);
    await using open = store;
    await open.save(await paused(agent, 'first'));
    await open.save(await paused(agent, 'second'));
    await using fork = await open.fork({ revision: 1 });
    expect(JSON.parse((await fork.load()).toString()).originalInput).toBe('first');
  });

  test('pruning drops old revisions', async () => {
    const { store, other } = await stores(kind);
    await using open = store;
    for (const number of [1, 2, 3, 4, 5]) {
      await open.save(await paused(weatherAgent(), `number ${number}`));
    }
    expect(await open.prune({ keep: 2 })).toBe(3);
    expect((await open.history()).map(({ revision }) => revision)).toEqual([4, 5]);
    expect(await open.prune({ keep: 2 })).toBe(0);
    await expect(open.load({ revision: 3 })).rejects.toMatchObject({
      code: 'revision-not-found',
    });
    const input = async (revision: number) =>
      JSON.parse((await open.load({ revision })).toString()).originalInput;
    expect([await input(4), await input(5)]).toEqual(['number 4', 'number 5']);
    await open.save(await paused(weatherAgent(), 'number 6'));
    expect(await input(6)).toBe('number 6');
    await using again = other();
    await again.load();
    expect(again.revision).toBe(6);
  });

  test('pruning spares what is young, and the newest revision always', async () => {
    const { store } = await stores(kind);
    await using open = store;
    const state = await paused();
    for (let count = 0; count < 4; count += 1) {
      await open.save(state);
    }
    expect(await open.prune({ olderThan: 60_000 })).toBe(0);
    expect(await open.prune({ keep: 3, olderThan: -60_000 })).toBe(1);
    expect(await open.prune({ olderThan: -60_000 })).toBe(2);
    expect((await open.history()).map(({ revision }) => revision)).toEqual([4]);
    await expect(open.prune({})).rejects.toThrow(RangeError);
    await expect(open.prune({ keep: 0 })).rejects.toThrow(RangeError);
  });

  test('pruning keeps decisions and the claim', async () => {
    const { store, other, runId, location } = await stores(kind);
    await using open = store;
    await using theirs = other();
    const state = await paused();
    await open.save(state);
    await open.save(state);
    await using claim = await open.claim({ owner: 'me' });
    const backend = await opened(location);
    await backend.decide(runId, 'call_1', 'approve', { always: false, by: 'ada' });
    expect(await open.prune({ keep: 1 })).toBe(1);
    await expect(theirs.claim()).rejects.toMatchObject({ code: 'already-claimed', owner: 'me' });
    const [call] = await backend.approvals(runId);
    expect(call?.approval).toMatchObject({ decision: 'approve', decidedBy: 'ada', revision: 1 });
    expect(await open.save(state)).toBe(3);
    expect(claim.lost).toBe(false);
  });

  test('a decision is not applied to an older revision, nor to other arguments', async () => {
    const { store, runId, location } = await stores(kind);
    await using open = store;
    await open.save(await paused());
    await open.save(await paused());
    const backend = await opened(location);
    await backend.decide(runId, 'call_1', 'approve', { always: false, by: 'ada' });
    const { document } = dumpRunState(await open.load({ revision: 1 }));
    expect(document.decisions).toEqual([]);
    expect(dumpRunState(await open.load()).document.decisions).toHaveLength(1);

    const said = facts(document, undefined, new Map());
    const pending = said.pending.map((call) => ({ ...call, digest: '0'.repeat(64) }));
    const { piece } = await encode(`${runId}-other`, document, undefined, undefined);
    await backend.save(`${runId}-other`, piece, { ...said, pending });
    await backend.decide(`${runId}-other`, 'call_1', 'approve', { always: false, by: 'ada' });
    await using other = new RunStateStore(location, weatherAgent(), `${runId}-other`);
    await expect(other.load()).rejects.toMatchObject({
      code: 'approval-mismatch',
      message: expect.stringContaining('ada'),
    });
  });

  test('runs without an id get one each', async () => {
    const { location } = await place(kind);
    await using one = new RunStateStore(location, weatherAgent());
    await using two = new RunStateStore(location, weatherAgent());
    expect([await one.save(await paused()), await two.save(await paused())]).toEqual([1, 1]);
    expect(one.runId).not.toBe(two.runId);
  });
});
