/** RunStateStore: what is in the file, what survives, and what each failure is called. */
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunState } from '@openai/agents';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RunStateStore, runAgent } from '../src/index.js';
import { validate } from '../src/state/index.js';
import * as file from '../src/store/disk.js';
import { decode, encode } from '../src/store/text.js';
import { scripted, weatherAgent } from './model.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'timestep-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function paused(agent = weatherAgent(), input = 'Oslo?') {
  await using model = await scripted([1]);
  const { state } = await runAgent(agent, input, { modelProvider: model.provider });
  return state;
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

describe('a saved run', () => {
  test('is approved and finished', async () => {
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    const store = new RunStateStore(join(folder, 'runs', 'today', 'one.json'), agent);
    await store.save(await paused(agent));
    const state = await store.load();
    expect(state).toBeInstanceOf(RunState);
    const [interruption] = state.getInterruptions();
    expect(interruption?.name).toBe('get_weather');
    if (interruption) {
      state.approve(interruption);
    }
    await using model = await scripted([2]);
    const result = await runAgent(agent, state, { modelProvider: model.provider });
    expect(result.finalOutput).toBe('It is sunny in Oslo.');
    expect(calls).toEqual(['Oslo']);
    const input = model.requests[0]?.input as { output?: string }[];
    expect(input.at(-1)?.output).toBe('Oslo is sunny');
  });

  test('keeps a rejection through a second save', async () => {
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    const store = new RunStateStore(join(folder, 'one.json'), agent);
    await store.save(await paused(agent));
    const state = await store.load();
    for (const item of state.getInterruptions()) {
      state.reject(item, { message: 'not today' });
    }
    await store.save(state);
    await using model = await scripted([2]);
    await runAgent(agent, await store.load(), { modelProvider: model.provider });
    expect(calls).toEqual([]);
    const input = model.requests[0]?.input as { output?: string }[];
    expect(input.at(-1)?.output).toBe('not today');
  });

  test('is one portable document for its owner', async () => {
    const path = join(folder, 'one.json');
    await new RunStateStore(path, weatherAgent()).save(await paused(weatherAgent(), 'Grüße 🌦'));
    const text = await readFile(path, 'utf8');
    const document: unknown = JSON.parse(text);
    validate(document);
    expect(document.input).toBe('Grüße 🌦');
    expect(text.split('\n')).toHaveLength(2);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('is gone after clear, which may be called twice', async () => {
    const store = new RunStateStore(join(folder, 'one.json'), weatherAgent());
    await store.save(await paused());
    await store.clear();
    await store.clear();
    expect(await readdir(folder)).toEqual([]);
    await expect(store.load()).rejects.toMatchObject({ code: 'state-not-found', phase: 'store' });
  });

  test('is kept but not resumed when it is over', async () => {
    const path = join(folder, 'one.json');
    const store = new RunStateStore(path, weatherAgent());
    await using model = await scripted([2]);
    const { state } = await runAgent(weatherAgent(), 'Hi', { modelProvider: model.provider });
    await store.save(state);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({
      status: 'completed',
      final_output: 'It is sunny in Oslo.',
    });
    await expect(store.load()).rejects.toMatchObject({ code: 'run-completed' });
  });

  test('is whole after concurrent saves', async () => {
    const path = join(folder, 'one.json');
    const store = new RunStateStore(path, weatherAgent());
    const states = await Promise.all(
      [0, 1, 2].map((number) => paused(weatherAgent(), `${number} `.repeat(10_000))),
    );
    await Promise.all([...states, ...states, ...states].map((state) => store.save(state)));
    expect(await readdir(folder)).toEqual(['one.json']);
    validate(JSON.parse(await readFile(path, 'utf8')));
  });
});

describe('a location', () => {
  test.each([
    'postgresql://host/runs',
    'pglite://runs',
    'pglite:',
    '',
  ])('of another kind is named: %s', (location) => {
    expect(() => new RunStateStore(location, weatherAgent())).toThrow(
      expect.objectContaining({ code: 'unknown-location' }),
    );
  });

  test('that is a folder is refused', async () => {
    const path = join(folder, 'sub');
    await mkdir(path);
    const store = new RunStateStore(path, weatherAgent());
    await expect(store.load()).rejects.toMatchObject({ code: 'unknown-location' });
    await expect(store.clear()).rejects.toMatchObject({ code: 'unknown-location' });
    await expect(store.save(await paused())).rejects.toMatchObject({ code: 'unknown-location' });
    expect(await readdir(folder)).toEqual(['sub']);
  });
});

describe('damage', () => {
  test.each([
    ['', 1, 1],
    ['{"a": 1,\n "b": }', 2, 7],
    ['{"a": 1}\n{}', 2, 1],
    ['{"a": [1,\n\n  "x\n', 3, 3],
    ['{"a":\n  "\xff"}', 2, 4],
    ['[]', 1, 1],
    ['{"a": [1 2]}', 1, 10],
    ['{"a" 1}', 1, 6],
    ['{a: 1}', 1, 2],
    ['{"a": 01}', 1, 8],
    ['{"a": nul}', 1, 7],
    ['{"a": [1,]}', 1, 10],
    ['{"a": 1]', 1, 8],
    ['{"a": {}', 1, 9],
    ['}', 1, 1],
    ['{"a": NaN}', 1, 7],
  ])('is named with line and column: %j', (text, line, column) => {
    expect(() => decode(bytes(text), 'x')).toThrow(
      expect.objectContaining({
        code: 'malformed',
        message: expect.stringMatching(new RegExp(`line ${line} column ${column}$`)),
      }),
    );
  });

  test('of a file is named with the file', async () => {
    const path = join(folder, 'one.json');
    await writeFile(path, '{');
    const loading = new RunStateStore(path, weatherAgent()).load();
    await expect(loading).rejects.toThrow(`${path} is not JSON at line 1 column 2`);
  });
});

describe('integers', () => {
  test.each([
    '9007199254740993',
    '-9007199254740993',
    '[1, {"b": 12345678901234567890}]',
  ])('that JavaScript would change are refused: %s', (value) => {
    expect(() => decode(bytes(`{\n"a": ${value}}`), 'x')).toThrow(
      expect.objectContaining({
        code: 'unsafe-integer',
        message: expect.stringContaining('line 2'),
      }),
    );
  });

  test.each([
    '9007199254740991',
    '"9007199254740993"',
    '"\\" 9007199254740993"',
    '1e16',
    '1.0000000000000001',
    '10000000000000000',
  ])('and other numbers that survive are read: %s', (value) => {
    expect(decode(bytes(`{"a": ${value}}`), 'x')).toHaveProperty('a');
  });

  test('are looked for in long texts too', () => {
    const text = JSON.stringify({ image: 'A\\"'.repeat(5_000_000), id: '1234567890123456789' });
    expect(decode(bytes(text), 'x')).toHaveProperty('image');
  });
});

test.each([
  [{ $schemaVersion: '1.21', current_turn: 1 }, 'openai-agents', 'timestep'],
  [{ $schemaVersion: '1.22', currentTurn: 1 }, '@openai/agents', '@timestep-ai/timestep'],
])('a raw snapshot is named for what it is: %j', async (snapshot, sdk, port) => {
  const path = join(folder, 'one.json');
  await writeFile(path, JSON.stringify(snapshot));
  const loading = new RunStateStore(path, weatherAgent()).load();
  await expect(loading).rejects.toMatchObject({
    code: 'not-a-run-state',
    message: expect.stringContaining(`raw ${sdk} snapshot (schema ${snapshot.$schemaVersion})`),
    hint: `save it with ${port} or convert it with \`timestep convert\``,
  });
});

describe('the file', () => {
  test('is never seen half written', async () => {
    const path = join(folder, 'one.json');
    const contents = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(300_000));
    await file.replace(path, contents[0] ?? '');
    let writing = true;
    const writers = Promise.all(
      contents.map(async (content) => {
        for (let round = 0; round < 10; round += 1) {
          await file.replace(path, content);
        }
      }),
    ).finally(() => {
      writing = false;
    });
    while (writing) {
      expect(contents).toContain(Buffer.from(await file.read(path)).toString());
    }
    await writers;
    expect(await readdir(folder)).toEqual(['one.json']);
  });

  test('is unchanged and alone after a failed write', async () => {
    const path = join(folder, 'one.json');
    await file.replace(path, 'old');
    // A value the file system cannot write fails after the temporary file was made.
    await expect(file.replace(path, { not: 'text' } as unknown as string)).rejects.toThrow();
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['one.json']);
  });

  test('may be reached through a link, which stays a link', async () => {
    const target = join(folder, 'one.json');
    const link = join(folder, 'link.json');
    await writeFile(target, 'old');
    await symlink(target, link);
    await file.replace(link, 'new');
    expect(await readlink(link)).toBe(target);
    expect(await readFile(target, 'utf8')).toBe('new');
    await file.remove(link);
    expect(await readdir(folder)).toEqual(['link.json']);
  });
});

test('a lone surrogate survives', () => {
  const document = { a: '\ud83d', b: '🌦' };
  expect(decode(Buffer.from(encode(document)), 'x')).toEqual(document);
});
