/** Conversations that Python, as a process of its own, and TypeScript have together. */
import { randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentInputItem } from '@openai/agents';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import { consumeResult, RunStateStore, runAgent, Session } from '../src/index.js';
import { openBackend } from '../src/store/location.js';
import { type Answers, answering, called, said } from './answers.js';
import { type Python, python } from './python.js';
import { place } from './store/places.js';
import { travelAgent } from './travel.js';

type Item = Record<string, unknown>;
type Input = string | Item[];

/** One turn of a conversation, or a run that goes on with decisions by call id. */
interface Turn {
  input?: Input;
  /** Where a run that stops is saved, and goes on from. */
  file?: string;
  /** `approve`, or the message a call is rejected with. */
  decisions?: Record<string, string>;
  stream?: boolean;
}

interface Outcome {
  output: string | null;
  waiting: string[];
  calls: string[];
}

/** One language at work on one session. */
interface Speaker {
  run(model: Answers, turn: Turn): Promise<Outcome>;
  add(items: Item[], each?: boolean): Promise<unknown>;
  drain(): Promise<Item[]>;
  items(): Promise<Item[]>;
  clear(): Promise<unknown>;
}

type Language = 'python' | 'typescript';

const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';
const KEYS = { main: Buffer.alloc(32, 7).toString('base64') };

vi.setConfig({ testTimeout: 60_000 }); // two SDKs, and a process that loads one of them

let folder: string;
let process: Python;

beforeAll(() => {
  process = python();
});

afterAll(async () => {
  await process[Symbol.asyncDispose]();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'timestep-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function speakPython(session: string, location: string, keys?: object): Promise<Speaker> {
  const ask = await process.open({ session, location, keys: keys ?? {} });
  onTestFinished(() => void ask('close'));
  return {
    run: async ({ url }, turn) => (await ask('run', { model: url, ...turn })) as Outcome,
    add: (items, each = false) => ask('add', { items, each }),
    drain: async () => (await ask('drain')) as Item[],
    items: async () => (await ask('items')) as Item[],
    clear: () => ask('clear'),
  };
}

async function speakTypeScript(
  id: string,
  location: string,
  keys?: Record<string, string>,
): Promise<Speaker> {
  const known = Object.entries(keys ?? {}).map(([name, key]) => [name, Buffer.from(key, 'base64')]);
  const session = new Session(id, {
    location,
    keys: keys && (Object.fromEntries(known) as Record<string, Uint8Array>),
  });
  onTestFinished(() => session.close());
  const calls: string[] = [];
  const agent = travelAgent(calls);
  return {
    async run(model, { input, file, decisions, stream }) {
      const store = file === undefined ? undefined : new RunStateStore(file, agent);
      let given = input as string | AgentInputItem[] | Awaited<ReturnType<typeof load>>;
      const load = async () => (store as NonNullable<typeof store>).load();
      if (decisions !== undefined) {
        const state = await load();
        for (const interruption of state.getInterruptions()) {
          const decision = decisions[String(idOf(interruption.rawItem))];
          if (decision === 'approve') {
            state.approve(interruption);
          } else if (decision !== undefined) {
            state.reject(interruption, { message: decision });
          }
        }
        given = state;
      }
      const options = { session, modelProvider: model.provider, stream };
      const result = await runAgent(agent, given, options as { stream: false });
      await consumeResult(result);
      const waiting = result.interruptions.map(({ rawItem }) => String(idOf(rawItem)));
      if (waiting.length > 0) {
        await store?.save(result.state);
      }
      return { output: waiting.length > 0 ? null : (result.finalOutput ?? null), waiting, calls };
    },
    async add(items, each = false) {
      for (const batch of each ? items.map((item) => [item]) : [items]) {
        await session.addItems(batch as unknown as AgentInputItem[]);
      }
    },
    async drain() {
      const popped: Item[] = [];
      for (let item = await session.popItem(); item; item = await session.popItem()) {
        popped.push(item as unknown as Item);
      }
      return popped;
    },
    items: async () => (await session.getItems()) as unknown as Item[],
    clear: () => session.clearSession(),
  };
}

/** The id of a call that waits; a hosted one has it in what the provider sent. */
function idOf(rawItem: object): unknown {
  const { callId, providerData } = rawItem as { callId?: string; providerData?: Item };
  return callId ?? providerData?.id;
}

const SPEAK = { python: speakPython, typescript: speakTypeScript };

/** Requests of both SDKs differ in this alone: TypeScript says that an output is complete. */
function sent(inputs: Item[][]): Item[][] {
  return inputs.map((items) =>
    items.map((item) => {
      const { status, ...rest } = item;
      return item.type === 'function_call_output' && status === 'completed' ? rest : item;
    }),
  );
}

/** TypeScript's SDK keeps the calls of a session without their ids, but not those of a run. */
function withoutCallIds(items: Item[] = []): Item[] {
  return items.map(({ id, ...item }) => (item.type === 'function_call' ? item : { id, ...item }));
}

const user = (content: string): Item => ({ role: 'user', content });

const BEGINNING: [Input, Item[][]][] = [
  [
    'What time is it in Oslo?',
    [
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
      [said('Noon, and here is a photo.')],
    ],
  ],
  [
    'And the weather?',
    [
      [called('transfer_to_weather', 'call_3', {})],
      [
        {
          type: 'web_search_call',
          id: 'ws_1',
          status: 'completed',
          action: { type: 'search', query: 'Oslo' },
        },
        {
          ...said('Sunny.', 'msg_cited'),
          content: [
            {
              type: 'output_text',
              text: 'Sunny.',
              annotations: [
                { type: 'url_citation', url: 'u', title: 't', start_index: 0, end_index: 6 },
              ],
            },
          ],
        },
      ],
    ],
  ],
];

const WAYS: [Language, Language][] = [
  ['python', 'typescript'],
  ['typescript', 'python'],
];

describe.each(['folder', 'postgresql', 'pglite'] as const)('in a place: %s', (kind) => {
  let location: string;
  /** The session of a test: a database is one for all of them. */
  let chat: string;

  beforeEach(async () => {
    ({ location } = await place(kind));
    chat = randomUUID();
  });

  async function stored(id: string): Promise<Item[]> {
    const backend = await openBackend(location);
    try {
      const items = await backend.readItems(id);
      return items.map((item) => JSON.parse(String(item)));
    } finally {
      await backend.close();
    }
  }

  async function copy(from: string, to: string): Promise<void> {
    const backend = await openBackend(location);
    try {
      await backend.addItems(to, await backend.readItems(from));
    } finally {
      await backend.close();
    }
  }

  /** Whether any file of a folder holds the text; how a database keeps it is its own affair. */
  async function found(text: string): Promise<boolean> {
    if (kind !== 'folder') {
      return false;
    }
    const files = await readdir(location, { recursive: true, withFileTypes: true });
    const contents = await Promise.all(
      files
        .filter((file) => file.isFile())
        .map((file) => readFile(join(file.parentPath, file.name), 'utf8')),
    );
    return contents.some((content) => content.includes(text));
  }

  /** A turn in one language on the session, and in the other on a copy: both requests. */
  async function inBoth(turn: Turn, answers: Item[][], [own, other]: [Language, Language]) {
    await copy(chat, `${chat}-copy`);
    const results = [];
    for (const [language, id] of [
      [own, `${chat}-copy`],
      [other, chat],
    ] as const) {
      const file = turn.file && `${turn.file}.${id}.json`;
      if (turn.file && file) {
        await copyFile(turn.file, file);
      }
      await using model = await answering(...answers);
      const outcome = await (await SPEAK[language](id, location)).run(model, { ...turn, file });
      results.push({ requests: sent(model.inputs), outcome });
    }
    return results;
  }

  describe.each(WAYS)('from %s to %s', (own, other) => {
    test.each([false, true])('goes on with equal requests (streamed: %s)', async (stream) => {
      const first = await SPEAK[own](chat, location);
      for (const [input, answers] of BEGINNING) {
        await using model = await answering(...answers);
        await first.run(model, { input, stream });
      }
      const input = [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'Is it this one?' },
            own === 'python'
              ? { type: 'input_image', image_url: PIXEL, detail: 'low' }
              : { type: 'input_image', image: PIXEL, detail: 'low' },
          ],
        },
      ];
      await using model = await answering([said('Yes.')]);
      await first.run(model, { input, stream });

      const answers = [[called('find_time', 'call_9', { city: 'Rome' })], [said('One.')]];
      const [there, here] = await inBoth({ input: 'And in Rome?', stream }, answers, [own, other]);
      expect(here).toEqual(there);
      expect(here?.outcome).toEqual({ output: 'One.', waiting: [], calls: ['Rome'] });
      expect(here?.requests[0]).toHaveLength(15);

      // And back again.
      const [back, on] = await inBack([own, other]);
      expect(back).toEqual(on);
    });

    async function inBack(way: [Language, Language]) {
      const turn = { input: 'Bye!' };
      const results = [];
      for (const language of way) {
        await using model = await answering([said('Bye.')]);
        const id = `${chat}-end-${language}`;
        await copy(chat, id);
        await (await SPEAK[language](id, location)).run(model, turn);
        results.push(sent(model.inputs));
      }
      return results;
    }

    test.each([false, true])('an interruption crosses (streamed: %s)', async (stream) => {
      const file = join(folder, 'run.json');
      {
        const first = await SPEAK[own](chat, location);
        await using model = await answering(
          [called('find_time', 'call_1')],
          [
            called('find_time', 'call_2', { city: 'Bergen' }),
            called('get_weather', 'call_3'),
            called('get_weather', 'call_4', { city: 'Rome' }),
          ],
        );
        const outcome = await first.run(model, { input: 'Weather?', file, stream });
        expect(outcome.waiting).toEqual(['call_3', 'call_4']);
      }
      const decisions = { call_3: 'approve', call_4: 'Not Rome.' };
      const [there, here] = await inBoth(
        { file, decisions, stream },
        [[said('Sunny.')]],
        [own, other],
      );
      expect(here?.requests).toEqual(there?.requests);
      expect(here?.outcome).toMatchObject({ output: 'Sunny.', calls: ['Oslo'] });
      const items = await stored(chat);
      expect(items.map((item) => item.output ?? item.call_id ?? item.role)).toEqual([
        'user',
        'call_1',
        'noon in Oslo',
        'call_2',
        'call_3',
        'call_4',
        ...['noon in Bergen', 'Oslo is sunny', 'Not Rome.'],
        'assistant',
      ]);
      expect(items.slice(0, -1)).toEqual(
        await stored(`${chat}-copy`).then((all) => all.slice(0, -1)),
      );
      expect(withoutCallIds(here?.requests[0])).toEqual(withoutCallIds(items.slice(0, -1)));
      const [back, on] = await inBack([own, other]);
      expect(back).toEqual(on);
    });

    test.each([false, true])('a hosted call crosses (streamed: %s)', async (stream) => {
      const file = join(folder, 'run.json');
      const request = (id: string) => ({
        type: 'mcp_approval_request',
        id,
        server_label: 'trains',
        name: 'book',
        arguments: '{}',
      });
      {
        const first = await SPEAK[own](chat, location);
        await using model = await answering([
          called('find_time', 'call_1'),
          request('mcpr_1'),
          called('get_weather', 'call_2'),
          request('mcpr_2'),
        ]);
        const outcome = await first.run(model, { input: 'Trains?', file, stream });
        expect(outcome.waiting.toSorted()).toEqual(['call_2', 'mcpr_1', 'mcpr_2']);
      }
      const decisions = { mcpr_1: 'approve', call_2: 'approve', mcpr_2: 'Too late.' };
      const [there, here] = await inBoth(
        { file, decisions, stream },
        [[said('Booked.')]],
        [own, other],
      );
      expect(here?.requests).toEqual(there?.requests);
      const items = await stored(chat);
      expect(
        items.map((item) => item.output ?? item.approval_request_id ?? item.call_id ?? item.id),
      ).toEqual([
        undefined,
        'call_1',
        'mcpr_1',
        'call_2',
        'mcpr_2',
        'noon in Oslo',
        'Oslo is sunny',
        'mcpr_1',
        'mcpr_2',
        'msg_7',
      ]);
      const [back, on] = await inBack([own, other]);
      expect(back).toEqual(on);
    });

    test('a run that stops twice goes there and back', async () => {
      const file = join(folder, 'run.json');
      const first = await SPEAK[own](chat, location);
      const second = await SPEAK[other](chat, location);
      {
        await using model = await answering([called('get_weather', 'call_1')]);
        await first.run(model, { input: 'Weather?', file });
      }
      {
        await using model = await answering([
          called('get_weather', 'call_2', { city: 'Rome' }),
          called('get_weather', 'call_3', { city: 'Paris' }),
        ]);
        await second.run(model, { file, decisions: { call_1: 'approve' } });
      }
      {
        await using model = await answering();
        const outcome = await first.run(model, { file, decisions: { call_3: 'approve' } });
        expect(outcome.waiting).toEqual(['call_2']);
      }
      await using model = await answering([said('Sunny.')]);
      await second.run(model, { file, decisions: { call_2: 'No.' } });
      const items = await stored(chat);
      expect(items.map((item) => item.output ?? item.call_id ?? item.role)).toEqual([
        'user',
        'call_1',
        'Oslo is sunny',
        'call_2',
        'call_3',
        'Paris is sunny',
        'No.',
        'assistant',
      ]);
      expect(withoutCallIds(sent(model.inputs)[0])).toEqual(withoutCallIds(items.slice(0, -1)));
    });
  });

  test('both append at once: each order is kept, nothing is lost', async () => {
    const speakers = await Promise.all([
      speakPython(chat, location),
      speakTypeScript(chat, location),
    ]);
    const texts = (name: string) => Array.from({ length: 40 }, (_, index) => `${name} ${index}`);
    await Promise.all(
      speakers.map((speaker, index) => speaker.add(texts(String(index)).map(user), true)),
    );
    const items = (await stored(chat)).map((item) => String(item.content));
    expect(items).toHaveLength(80);
    for (const name of ['0', '1']) {
      expect(items.filter((text) => text.startsWith(name))).toEqual(texts(name));
    }
    for (const speaker of speakers) {
      expect((await speaker.items()).map((item) => item.content)).toEqual(items);
    }
  });

  test('both pop at once: each item goes to one', async () => {
    const speakers = await Promise.all([
      speakPython(chat, location),
      speakTypeScript(chat, location),
    ]);
    const texts = Array.from({ length: 60 }, (_, index) => `text ${index}`);
    await speakers[0].add(texts.map(user));
    const popped = await Promise.all(speakers.map((speaker) => speaker.drain()));
    expect(
      popped
        .flat()
        .map((item) => String(item.content))
        .sort(),
    ).toEqual(texts.sort());
    for (const own of popped) {
      const numbers = own.map((item) => Number(String(item.content).split(' ')[1]));
      expect(numbers).toEqual(numbers.toSorted((left, right) => right - left));
    }
  });

  test.each(WAYS)('what %s sealed, %s opens with the key alone', async (own, other) => {
    const items = [user('secret words'), user('more')];
    await (await SPEAK[own](chat, location, KEYS)).add(items);
    expect(await (await SPEAK[other](chat, location, KEYS)).items()).toEqual(items);
    await expect((await SPEAK[other](chat, location)).items()).rejects.toMatchObject({
      code: 'wrong-key',
    });
  });

  test.each(WAYS)('what %s keeps, %s clears', async (own, other) => {
    const [first, second] = [await SPEAK[own](chat, location), await SPEAK[other](chat, location)];
    await first.add([user('words to find')]);
    expect(await found('words to find')).toBe(kind === 'folder');
    await second.clear();
    expect(await first.items()).toEqual([]);
    expect(await found('words to find')).toBe(false);
    await first.add([user('again')]);
    expect(await second.items()).toEqual([user('again')]);
  });

  test('an integer beyond 2^53 is for Python alone', async () => {
    const item = { ...user('big'), number: 2 ** 60 };
    const text = JSON.stringify(item).replace(String(2 ** 60), '9007199254740993');
    const backend = await openBackend(location);
    await backend.addItems(chat, [text]);
    await backend.close();
    const first = await speakPython(chat, location);
    expect(await first.items()).toHaveLength(1);
    await expect((await speakTypeScript(chat, location)).items()).rejects.toMatchObject({
      code: 'unsafe-integer',
    });
  });
});
