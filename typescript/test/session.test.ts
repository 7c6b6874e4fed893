/** Session: the SDK's protocol, what is stored, and what survives. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentInputItem, Session as AgentSession } from '@openai/agents';
import {
  Agent,
  isOpenAIResponsesCompactionAwareSession,
  isRunContextAwareSession,
  isSessionHistoryRewriteAwareSession,
  isSessionHistoryTransactionAwareSession,
  MemorySession,
  RunState,
  tool,
} from '@openai/agents';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';
import { consumeResult, RunStateStore, runAgent, Session } from '../src/index.js';
import type { SessionOptions } from '../src/session.js';
import { openBackend } from '../src/store/location.js';
import { answering, called, said } from './answers.js';
import { weatherAgent } from './model.js';
import { place } from './store/places.js';
import { travelAgent } from './travel.js';

interface Vector {
  name: string;
  stored: string;
  from_typescript?: string;
}

const VECTORS: Vector[] = JSON.parse(
  readFileSync(new URL('../../tests/vectors/items.json', import.meta.url), 'utf8'),
);
const OLD = new Uint8Array(32).fill(1);
const NEW = new Uint8Array(32).fill(2);

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'timestep-'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

function user(content: string): AgentInputItem {
  return { role: 'user', content };
}

function coded(code: string) {
  return expect.objectContaining({ code });
}

describe.each(['folder', 'postgresql', 'pglite'] as const)('in a place: %s', (kind) => {
  let location: string;
  /** Goes before session ids: a database is one for all tests. */
  let own: string;

  beforeEach(async () => {
    ({ location } = await place(kind));
    own = `${randomUUID()} `;
  });

  function open(id = 'chat', options: SessionOptions = {}): Session {
    const session = new Session(own + id, { location, ...options });
    onTestFinished(() => session.close());
    return session;
  }

  async function stored(id = 'chat'): Promise<(string | Uint8Array)[]> {
    const backend = await openBackend(location);
    try {
      return await backend.readItems(own + id);
    } finally {
      await backend.close();
    }
  }

  async function put(...items: (string | Uint8Array)[]): Promise<void> {
    const backend = await openBackend(location);
    try {
      await backend.addItems(`${own}chat`, items);
    } finally {
      await backend.close();
    }
  }

  test('it is a session of the SDK, with a random id where none is given', async () => {
    const session: AgentSession = new Session(undefined, { location });
    expect(await session.getSessionId()).toMatch(/^[\da-f-]{36}$/);
    expect(await session.getSessionId()).toBe(await session.getSessionId());
    expect(await new Session().getSessionId()).not.toBe(await session.getSessionId());
    expect(isRunContextAwareSession(session)).toBe(false);
    // A run that uses one of these binds itself to its session, and could not cross.
    expect(isSessionHistoryTransactionAwareSession(session)).toBe(false);
    expect(isSessionHistoryRewriteAwareSession(session)).toBe(false);
    expect(isOpenAIResponsesCompactionAwareSession(session)).toBe(false);
  });

  test('it does as the session of the SDK does', async () => {
    const [ours, theirs] = [open(), new MemorySession()];
    const both = async (work: (session: AgentSession) => Promise<unknown>) => {
      const result = await work(ours);
      expect(result).toEqual(await work(theirs));
      return result;
    };
    expect(await both((session) => session.getItems())).toEqual([]);
    expect(await both((session) => session.popItem())).toBeUndefined();
    await both((session) => session.clearSession());
    await both((session) => session.addItems([]));
    await both((session) => session.addItems([user('1')]));
    await both((session) => session.addItems([user('2'), user('2'), user('3')]));
    for (const limit of [undefined, 0, 1, 3, 4, 5, 1000, -1, -5]) {
      await both((session) => session.getItems(limit));
    }
    expect(await both((session) => session.getItems(2))).toEqual([user('2'), user('3')]);
    expect(await both((session) => session.popItem())).toEqual(user('3'));
    expect(await both((session) => session.popItem())).toEqual(user('2'));
    await both((session) => session.addItems([user('4')]));
    expect(await both((session) => session.getItems(2))).toEqual([user('2'), user('4')]);
    await both((session) => session.clearSession());
    expect(await both((session) => session.getItems())).toEqual([]);
    await both((session) => session.addItems([user('5')]));
    expect(await both((session) => session.getItems())).toEqual([user('5')]);
  });

  test('the same id is the same conversation, another one is not', async () => {
    await open('a/b ü').addItems([user('1')]);
    await open('a').addItems([user('2')]);
    expect(await open('a/b ü').getItems()).toEqual([user('1')]);
    await open('a').clearSession();
    expect(await open('a/b ü').getItems()).toEqual([user('1')]);
  });

  test('every kind of item is stored as both ports store it', async () => {
    await put(...VECTORS.map((vector) => vector.stored));
    const items = await open().getItems();
    expect(items).toHaveLength(VECTORS.length);
    await open('other').addItems(items);
    const again = await stored('other');
    for (const [index, vector] of VECTORS.entries()) {
      expect(again[index], vector.name).toBe(vector.from_typescript ?? vector.stored);
    }
    for (const [index, item] of (await open('other').getItems()).entries()) {
      expect({ type: 'message', ...item }).toEqual({ type: 'message', ...items[index] });
    }
  });

  test('the SDK can compare what it stored with what it meant to store', async () => {
    const meant: AgentInputItem[] = [
      { type: 'message', role: 'user', content: 'Oslo?' },
      {
        type: 'message',
        id: 'FAKE_ID',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'Hi' }],
        providerData: { provider_data: { model: 'llama3' } },
      },
      {
        type: 'function_call_result',
        name: 'get_weather',
        callId: 'call_1',
        status: 'completed',
        output: 'sunny',
      },
    ];
    const session = open();
    await session.addItems(meant);
    const read = await session.getItems();
    expect(read).not.toEqual(meant);
    expect(session.prepareHistoryItemsForPersistenceComparison(read)).toEqual(
      session.prepareHistoryItemsForPersistenceComparison(meant),
    );
  });

  test('a result has the name of its tool, where the call is read too', async () => {
    const output = { type: 'function_call_output', call_id: 'call_1', output: 'sunny' };
    await put(JSON.stringify(called('get_weather', 'call_1')), JSON.stringify(output));
    expect(await open().getItems()).toMatchObject([{}, { name: 'get_weather' }]);
    expect(await open().getItems(1)).toMatchObject([{ name: 'call_1' }]);
  });

  test.each<[string, unknown]>([
    ['NaN', { role: 'user', content: Number.NaN }],
    ['a date', { role: 'user', content: new Date() }],
    ['bytes', { role: 'user', content: new Uint8Array(3) }],
    ['a map', { role: 'user', content: new Map() }],
    ['a bigint', { role: 'user', content: 1n }],
    ['a function', { role: 'user', content: () => 1 }],
    ['an item of a class', new Session()],
    ['no call id', { type: 'function_call', name: 'f', arguments: '{}' }],
    ['text', 'text'],
    ['null', null],
  ])('one item that is none stops them all: %s', async (_what, item) => {
    const items = [user('1'), item as AgentInputItem, user('2')];
    await expect(open().addItems(items)).rejects.toMatchObject({
      code: 'malformed',
      pointer: expect.stringMatching(/^\/1/),
    });
    expect(await stored()).toEqual([]);
  });

  test('an item that contains itself is none', async () => {
    const item: Record<string, unknown> = { role: 'user' };
    item.content = [item];
    await expect(open().addItems([item as AgentInputItem])).rejects.toEqual(coded('malformed'));
    expect(await stored()).toEqual([]);
  });

  test('an integer beyond 2^53 is refused, and stays', async () => {
    const big = '{"type":"message","role":"user","content":"x","number":9007199254740993}';
    await put(JSON.stringify(user('1')), big);
    await expect(open().getItems()).rejects.toEqual(coded('unsafe-integer'));
    await expect(open().popItem()).rejects.toEqual(coded('unsafe-integer'));
    expect(await stored()).toHaveLength(2);
  });

  test('what is stored and is no item is malformed, and stays', async () => {
    await put('[1]');
    await expect(open().getItems()).rejects.toEqual(coded('malformed'));
    await expect(open().popItem()).rejects.toEqual(coded('malformed'));
    expect(await stored()).toHaveLength(1);
  });

  test('a closed session opens again', async () => {
    const session = open();
    await session.addItems([user('1')]);
    await session.close();
    await session.close();
    expect(await session.getItems()).toEqual([user('1')]);
  });

  test('sessions append at once and pop each item once', async () => {
    const append = async (name: string) => {
      const session = open();
      for (let number = 0; number < 20; number += 1) {
        await session.addItems([user(`${name}${number}`), user(`${name}${number}+`)]);
      }
    };
    await Promise.all(['a', 'b', 'c'].map(append));
    const texts = (await open().getItems()).map((item) =>
      String('content' in item && item.content),
    );
    for (const name of ['a', 'b', 'c']) {
      const expected = Array.from({ length: 20 }, (_, number) => [
        `${name}${number}`,
        `${name}${number}+`,
      ]);
      expect(texts.filter((text) => text.startsWith(name))).toEqual(expected.flat());
    }
    const drain = async () => {
      const popped: AgentInputItem[] = [];
      const session = open();
      for (let item = await session.popItem(); item; item = await session.popItem()) {
        popped.push(item);
      }
      return popped;
    };
    const popped = (await Promise.all([drain(), drain()])).flat();
    expect(popped.map((item) => String('content' in item && item.content)).sort()).toEqual(
      texts.sort(),
    );
  });

  describe('sealed', () => {
    test('items open with their keys', async () => {
      await open('chat', { keys: { old: OLD } }).addItems([user('secret words'), user('more')]);
      for (const each of await stored()) {
        expect(each).toBeInstanceOf(Uint8Array);
        expect(Buffer.from(each).includes('words')).toBe(false);
      }
      const keys = { new: NEW, old: OLD };
      await open('chat', { keys }).addItems([user('later')]);
      expect(await open('chat', { keys }).getItems()).toEqual(
        ['secret words', 'more', 'later'].map(user),
      );
      expect(await open('chat', { keys }).popItem()).toEqual(user('later'));
    });

    test('what is in clear stays readable', async () => {
      await open().addItems([user('1')]);
      await open('chat', { keys: { a: OLD } }).addItems([user('2')]);
      expect(await open('chat', { keys: { a: OLD } }).getItems()).toEqual(['1', '2'].map(user));
    });

    test('the wrong keys open nothing and take nothing', async () => {
      await open('chat', { keys: { a: OLD } }).addItems([user('1')]);
      for (const keys of [undefined, new Map([['a', NEW]]), new Map([['b', OLD]])]) {
        await expect(open('chat', { keys }).getItems()).rejects.toEqual(coded('wrong-key'));
        await expect(open('chat', { keys }).popItem()).rejects.toEqual(coded('wrong-key'));
      }
      expect(await open('chat', { keys: { a: OLD } }).getItems()).toEqual([user('1')]);
    });

    test('an item belongs to its session', async () => {
      await open('other', { keys: { a: OLD } }).addItems([user('1')]);
      await put(...(await stored('other')));
      await expect(open('chat', { keys: { a: OLD } }).getItems()).rejects.toEqual(
        coded('wrong-key'),
      );
    });

    test('keys may come from the environment', async () => {
      vi.stubEnv('TIMESTEP_ENCRYPTION_KEYS', `a:${Buffer.from(OLD).toString('base64')}`);
      await open().addItems([user('1')]);
      vi.stubEnv('TIMESTEP_ENCRYPTION_KEYS', undefined);
      expect(await open('chat', { keys: { a: OLD } }).getItems()).toEqual([user('1')]);
      await expect(open().getItems()).rejects.toEqual(coded('wrong-key'));
    });
  });

  describe.each([false, true])('a run (streamed: %s)', (stream) => {
    async function turn(session: AgentSession, input: string, provider: object) {
      const options = { session, stream, modelProvider: provider as never };
      return consumeResult(await runAgent(travelAgent(), input, options as { stream: false }));
    }

    test('sends what it sends with the session of the SDK', async () => {
      const inputs = [];
      for (const session of [open(), new MemorySession()]) {
        await using model = await answering(
          [
            {
              type: 'reasoning',
              id: 'rs_1',
              summary: [{ type: 'summary_text', text: 'Hm.' }],
              encrypted_content: 'ENC',
            },
            called('find_time', 'call_1'),
            called('take_photo', 'call_2'),
          ],
          [said('Noon.')],
          [called('transfer_to_weather', 'call_3', {})],
          [said('I am Weather.')],
          [said('Bye.')],
        );
        for (const text of ['What time is it in Oslo?', 'Weather?', 'Bye!']) {
          await turn(session, text, model.provider);
        }
        inputs.push(model.inputs);
      }
      expect(inputs[0]).toEqual(inputs[1]);
      expect(await open().getItems()).toHaveLength(13);
    });

    test('is approved with another object of the session', async () => {
      const calls: string[] = [];
      const agent = weatherAgent(calls);
      const file = join(folder, `run-${stream}.json`);
      {
        await using model = await answering([
          called('get_weather', 'call_1'),
          called('get_weather', 'call_2', { city: 'Rome' }),
        ]);
        const options = { session: open(), stream, modelProvider: model.provider };
        const result = await runAgent(agent, 'Oslo?', options as { stream: false });
        await new RunStateStore(file, agent).save((await consumeResult(result)).state);
      }
      const state = await new RunStateStore(file, agent).load();
      const [first, second] = state.getInterruptions();
      if (first && second) {
        state.approve(first);
        state.reject(second, { message: 'Not Rome.' });
      }
      await using model = await answering([said('Sunny.')]);
      const options = { session: open(), stream, modelProvider: model.provider };
      await consumeResult(await runAgent(agent, state, options as { stream: false }));
      const items = await open().getItems();
      expect(items.map((item) => item.type ?? 'user')).toEqual([
        'user',
        'function_call',
        'function_call',
        'function_call_result',
        'function_call_result',
        'message',
      ]);
      expect(calls).toEqual(['Oslo']);
      expect(model.inputs[0]?.map((item) => item.output ?? item.call_id ?? item.content)).toEqual([
        'Oslo?',
        'call_1',
        'call_2',
        'Oslo is sunny',
        'Not Rome.',
      ]);
    });
  });

  test.each([
    'before',
    'after',
  ])('a write that failed %s it was done is settled when the run goes on', async (when) => {
    // A picture has another form in a session than what the tool returned.
    const camera = tool({
      name: 'take_photo',
      description: 'A photo of a city.',
      parameters: z.object({ city: z.string() }),
      needsApproval: true,
      execute: () => ({ type: 'image' as const, image: 'data:image/png;base64,iVBORw0KGgo=' }),
    });
    const agent = new Agent({ name: 'Camera', model: 'gpt-x', tools: [camera] });
    const session = open();
    let state: RunState<undefined, typeof agent>;
    {
      await using model = await answering([called('take_photo', 'call_1')]);
      const result = await runAgent(agent, 'Oslo?', { session, modelProvider: model.provider });
      state = result.state;
    }
    const [interruption] = state.getInterruptions();
    if (interruption) {
      state.approve(interruption);
    }
    class Failing extends Session {
      override async addItems(items: AgentInputItem[]): Promise<void> {
        if (when === 'after') {
          await super.addItems(items);
        }
        throw new Error('the disk is gone');
      }
    }
    {
      await using model = await answering();
      await using failing = new Failing(`${own}chat`, { location });
      const options = { session: failing, modelProvider: model.provider };
      await expect(runAgent(agent, state, options)).rejects.toThrow('the disk is gone');
    }
    await using model = await answering([said('Sunny.')]);
    const again = await RunState.fromString(agent, state.toString());
    await runAgent(agent, again, { session: open(), modelProvider: model.provider });
    expect((await open().getItems()).map((item) => item.type ?? 'user')).toEqual([
      'user',
      'function_call',
      'function_call_result',
      'message',
    ]);
  });
});

describe('where it is kept', () => {
  test.each(['', 'x'.repeat(201), 'a\0', '\ud800', 7 as unknown as string])('no id: %j', (id) => {
    expect(() => new Session(id, { location: folder })).toThrow(coded('unknown-location'));
  });

  test('a file keeps no sessions', () => {
    expect(() => new Session('chat', { location: join(folder, 'state.json') })).toThrow(
      expect.objectContaining({
        code: 'unknown-location',
        message: expect.stringContaining('keeps no sessions'),
        hint: expect.stringContaining('folder'),
      }),
    );
  });

  test('the location may come from the environment', async () => {
    vi.stubEnv('TIMESTEP_LOCATION', undefined);
    expect(new Session('chat').location).toBe('.timestep');
    vi.stubEnv('TIMESTEP_LOCATION', join(folder, 'other'));
    await using session = new Session('chat');
    await session.addItems([user('1')]);
    expect((await stat(join(folder, 'other'))).isDirectory()).toBe(true);
  });

  test('a cleared session is no longer on the disk', async () => {
    const found = async () => {
      const files = await readdir(folder, { recursive: true, withFileTypes: true });
      const texts = await Promise.all(
        files
          .filter((file) => file.isFile())
          .map((file) => readFile(join(file.parentPath, file.name), 'utf8')),
      );
      return texts.some((text) => text.includes('words to find'));
    };
    await using session = new Session('chat', { location: folder });
    await session.addItems([user('words to find')]);
    expect(await found()).toBe(true);
    await session.clearSession();
    expect(await found()).toBe(false);
    expect(await session.getItems()).toEqual([]);
  });
});
