/** Approvals: what waits is listed, a decision binds to what was seen, and the run takes it once. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Agent, type RunState } from '@openai/agents';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { decider, waits } from '../src/approvals.js';
import { Approvals, RunStateStore, runAgent } from '../src/index.js';
import { type Model, scripted, weatherAgent } from './model.js';
import { postgres } from './postgres.js';

const RUN = 'run';
const OSLO = '{"city":"Oslo"}';
const KEYS = { one: new Uint8Array(32) };
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PYTHON = process.env.TIMESTEP_PYTHON ?? join(ROOT, '.venv/bin/python');
const KINDS = ['file', 'folder', 'postgresql', 'pglite'] as const;

// Starting a database takes a while on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const models: Model[] = [];

afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(models.splice(0).map((each) => each[Symbol.asyncDispose]()));
});

async function model(turns: number[], cassette?: string): Promise<Model> {
  const made = await scripted(turns, cassette);
  models.push(made);
  return made;
}

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
type State = RunState<any, any>;
// biome-ignore lint/suspicious/noExplicitAny: as above
type AnyAgent = Agent<any, any>;

/** A place of a kind that nothing is in. In a file the run is `run`. */
async function place(kind: (typeof KINDS)[number]): Promise<string> {
  if (kind === 'postgresql') {
    return postgres();
  }
  const folder = await mkdtemp(join(tmpdir(), 'timestep-approvals-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return kind === 'pglite'
    ? `pglite:${join(folder, 'database')}`
    : join(folder, kind === 'file' ? 'run.json' : 'runs');
}

/** The state of a run that stopped at the calls of its first turn. */
async function started(agent: AnyAgent, turns = [1], cassette?: string): Promise<State> {
  const { provider } = await model(turns, cassette);
  const result = await runAgent(agent, 'Weather?', { modelProvider: provider });
  expect(result.interruptions).not.toEqual([]);
  return result.state;
}

/** The store of a run that was saved as it waits. */
async function waiting(
  location: string,
  agent: AnyAgent,
  { runId = RUN, keys, state }: { runId?: string; keys?: typeof KEYS; state?: State } = {},
) {
  const store = new RunStateStore(location, agent, runId, { keys });
  onTestFinished(() => store.close());
  await store.save(state ?? (await started(agent)));
  return store;
}

/** Loads the run, lets it go on to its end and saves that; what the model was told of the calls. */
async function finished(
  location: string,
  agent: AnyAgent,
  { turns = [2], cassette, keys }: { turns?: number[]; cassette?: string; keys?: typeof KEYS } = {},
): Promise<unknown[]> {
  await using store = new RunStateStore(location, agent, RUN, { keys });
  const state = await store.load();
  const { provider, requests } = await model(turns, cassette);
  const result = await runAgent(agent, state, { modelProvider: provider });
  expect(result.interruptions).toEqual([]);
  await store.save(result.state);
  const input = requests.at(-1)?.input as { type?: string; output?: unknown }[];
  return input.flatMap((item) => (item.type === 'function_call_output' ? [item.output] : []));
}

function inboxOf(location: string, keys?: typeof KEYS): Approvals {
  const inbox = new Approvals(location, { keys });
  onTestFinished(() => inbox.close());
  return inbox;
}

const refused = (code: string, message: RegExp | string = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe.each(KINDS)('in a %s', (kind) => {
  let location: string;
  beforeEach(async () => {
    location = await place(kind);
  });

  test('a call that waits is listed', async () => {
    await waiting(location, weatherAgent());
    const inbox = inboxOf(location);
    const [found, ...more] = await inbox.list();
    expect(more).toEqual([]);
    expect(found).toEqual({
      runId: RUN,
      callId: 'call_1',
      agent: 'Weather',
      tool: 'get_weather',
      kind: 'function',
      arguments: OSLO,
      argumentsDigest: createHash('sha256').update(OSLO).digest('hex'),
      revision: 1,
      requestedAt: expect.any(Date),
      always: false,
      resolved: false,
    });
    expect(found && waits(found)).toBe(true);
    expect(await inbox.get(RUN)).toEqual(found);
    expect(await inbox.list(RUN, { resolved: true })).toEqual([found]);
  });

  test('an approved call runs once, and the decision is kept', async () => {
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    await waiting(location, agent);
    const inbox = inboxOf(location);
    const decided = await inbox.approve(RUN, 'call_1', { by: 'ada', message: 'fine' });
    expect(decided).toMatchObject({ decision: 'approve', decidedBy: 'ada', message: 'fine' });
    expect(waits(decided)).toBe(false);
    expect(await finished(location, agent)).toEqual(['Oslo is sunny']);
    expect(calls).toEqual(['Oslo']);
    expect(await inbox.list()).toEqual([]);
    expect(await inbox.list(undefined, { resolved: true })).toEqual([
      { ...decided, resolved: true },
    ]);
    await expect(inbox.reject(RUN, 'call_1')).rejects.toEqual(
      refused('approval-not-found', 'call call_1 of run run was resolved: its run has gone on'),
    );
  });

  test('a rejected call does not run and the model is told', async () => {
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    await waiting(location, agent);
    await inboxOf(location).reject(RUN, undefined, { message: 'zu früh 🌦\nmorgen' });
    expect(await finished(location, agent)).toEqual(['zu früh 🌦\nmorgen']);
    expect(calls).toEqual([]);
  });

  test('a decision that has expired counts no more', async () => {
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    await waiting(location, agent);
    const inbox = inboxOf(location);
    const { expiresAt } = await inbox.approve(RUN, 'call_1', { by: 'ada', expires: 300 });
    await new Promise((done) => setTimeout(done, Number(expiresAt) - Date.now() + 50));
    const found = await inbox.get(RUN);
    expect([waits(found), found.decidedBy]).toEqual([true, 'ada']);
    await using store = new RunStateStore(location, agent, RUN);
    expect((await store.load()).getInterruptions()).toHaveLength(1);
    const until = new Date(Date.now() + 3_600_000);
    const again = await inbox.reject(RUN, 'call_1', { message: 'late', expires: until });
    expect(again.expiresAt).toEqual(until);
    expect(await finished(location, agent)).toEqual(['late']);
    expect(calls).toEqual([]);
  });

  test('a decision is for the arguments that were seen', async () => {
    const agent = weatherAgent();
    const store = await waiting(location, agent);
    const inbox = inboxOf(location);
    const { argumentsDigest } = await inbox.get(RUN);
    await store.save(await started(agent, [1], 'option-guardrail-raises'));
    const now = await inbox.get(RUN);
    expect(now).toMatchObject({ callId: 'call_1', arguments: '{"city":"Pluto"}', revision: 2 });
    await expect(inbox.approve(RUN, now.callId, { digest: argumentsDigest })).rejects.toEqual(
      refused('approval-mismatch', now.argumentsDigest),
    );
    const digest = now.argumentsDigest.slice(0, 8).toUpperCase();
    expect((await inbox.approve(RUN, now.callId, { digest })).decision).toBe('approve');
  });

  test('the first decision stands', async () => {
    await waiting(location, weatherAgent());
    const inbox = inboxOf(location);
    const first = await inbox.reject(RUN, 'call_1', { by: 'ada' });
    await expect(inbox.approve(RUN, 'call_1', { by: 'bob' })).rejects.toMatchObject({
      code: 'already-decided',
      decidedBy: 'ada',
      decidedAt: first.decidedAt,
    });
    expect(await inbox.get(RUN, 'call_1')).toEqual(first);
  });

  test('of two who decide at once one wins', async () => {
    await waiting(location, weatherAgent());
    const [one, two] = [inboxOf(location), inboxOf(location)];
    const outcomes = await Promise.allSettled([
      one.approve(RUN, 'call_1', { by: 'ada' }),
      two.reject(RUN, 'call_1', { by: 'bob' }),
      one.reject(RUN, 'call_1', { by: 'eve' }),
    ]);
    const won = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const lost = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    expect(won).toHaveLength(1);
    const decidedBy = won[0]?.decidedBy;
    expect(lost).toMatchObject(Array(2).fill({ code: 'already-decided', decidedBy }));
  });

  test('what is not there is named', async () => {
    const inbox = inboxOf(location);
    expect(await inbox.list()).toEqual([]);
    await expect(inbox.get(RUN)).rejects.toEqual(
      refused('approval-not-found', 'there is no run run'),
    );
    await waiting(location, weatherAgent());
    await expect(inbox.get(RUN, 'call_2')).rejects.toEqual(
      refused('approval-not-found', 'run run has no call call_2'),
    );
    await inbox.approve(RUN);
    await expect(inbox.approve(RUN)).rejects.toEqual(
      refused('approval-not-found', 'no call of run run waits for a decision'),
    );
  });

  test('with keys arguments are opened and a message is sealed', async () => {
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    await waiting(location, agent, { keys: KEYS });
    const blind = inboxOf(location);
    expect(await blind.get(RUN)).not.toHaveProperty('arguments');
    const inbox = inboxOf(location, KEYS);
    expect((await inbox.get(RUN)).arguments).toBe(OSLO);
    expect((await inbox.reject(RUN, 'call_1', { message: 'secret' })).message).toBe('secret');
    expect(await blind.get(RUN, 'call_1')).not.toHaveProperty('message');
    expect(await finished(location, agent, { keys: KEYS })).toEqual(['secret']);
    expect(calls).toEqual([]);
  });

  test.each([
    ['approve', ['Oslo'], 'Oslo is sunny'],
    ['reject', [], 'not today'],
  ])('what the Python command decides (%s) is applied', async (decision, ran, told) => {
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    await waiting(location, agent);
    const options = ['--message', 'not today', '--by', 'ada', '--location', location];
    await promisify(execFile)(
      PYTHON,
      ['-m', 'timestep.cli', 'approvals', decision, RUN, 'call_1', ...options],
      { cwd: ROOT },
    );
    const found = await inboxOf(location).get(RUN, 'call_1');
    expect(found).toMatchObject({ decision, decidedBy: 'ada', message: 'not today' });
    expect(await finished(location, agent)).toEqual([told]);
    expect(calls).toEqual(ran);
  });
});

test('always covers the later calls of the tool', async () => {
  const location = await place('folder');
  const calls: string[] = [];
  const agent = weatherAgent(calls);
  const cassette = 'approval-twice';
  await waiting(location, agent, { state: await started(agent, [1], cassette) });
  await inboxOf(location).approve(RUN, undefined, { always: true });
  await finished(location, agent, { turns: [2, 3], cassette });
  expect(calls).toHaveLength(2);
});

test('a call of an agent that is a tool is decided', async () => {
  const location = await place('folder');
  const calls: string[] = [];
  const inner = weatherAgent(calls).asTool({ toolName: 'ask_weather', toolDescription: 'Asks.' });
  const agent = new Agent({ name: 'Host', model: 'gpt-x', tools: [inner] });
  await waiting(location, agent, { state: await started(agent, [1, 2], 'nested-weather') });
  const inbox = inboxOf(location);
  expect(await inbox.get(RUN)).toMatchObject({ agent: 'Weather', tool: 'get_weather' });
  await inbox.approve(RUN);
  await finished(location, agent, { turns: [3, 4], cassette: 'nested-weather' });
  expect(calls).toHaveLength(1);
});

test('who decides is the environment or the login name', async () => {
  vi.stubEnv('TIMESTEP_USER', '');
  expect(await decider()).not.toBe('');
  vi.stubEnv('TIMESTEP_USER', 'ada@desk');
  expect(await decider()).toBe('ada@desk');
});

test('the place left out is that of the environment', () => {
  vi.stubEnv('TIMESTEP_LOCATION', '');
  expect(new Approvals().location).toBe('.timestep');
  vi.stubEnv('TIMESTEP_LOCATION', 'elsewhere');
  expect(new Approvals().location).toBe('elsewhere');
});

test.each([
  [{ digest: 'abc' }, '8 to 64 hexadecimal digits'],
  [{ by: '' }, 'control characters'],
  [{ by: 'a\u001b[1m' }, 'control characters'],
  [{ expires: 0 }, 'has passed'],
  [{ expires: new Date('2020-01-01') }, 'has passed'],
  [{ expires: new Date('never') }, 'has passed'],
])('what makes no sense is a RangeError: %j', async (options, words) => {
  const inbox = inboxOf(await place('folder'));
  await expect(inbox.approve(RUN, 'call_1', options)).rejects.toThrow(RangeError);
  await expect(inbox.approve(RUN, 'call_1', options)).rejects.toThrow(words);
});
