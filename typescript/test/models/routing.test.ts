/** Which provider answers for a name. */
import {
  type Model,
  type ModelProvider,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  setDefaultOpenAIClient,
  setDefaultOpenAIKey,
} from '@openai/agents';
import OpenAI from 'openai';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  MultiModelProvider,
  MultiModelProviderMap,
  OllamaModel,
  OllamaModelProvider,
} from '../../src/index.js';

class Own implements ModelProvider {
  readonly asked: unknown[] = [];
  closed = 0;

  getModel(name?: string): Model {
    this.asked.push(name);
    return new OllamaModel('none', () => Promise.reject(new Error('not asked')));
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}

function ownMap(providers: Record<string, ModelProvider>): MultiModelProviderMap {
  const map = new MultiModelProviderMap();
  for (const [prefix, provider] of Object.entries(providers)) {
    map.addProvider(prefix, provider);
  }
  return map;
}

beforeEach(() => {
  vi.stubEnv('OPENAI_API_KEY', 'sk-test');
  vi.stubEnv('OPENAI_ADMIN_KEY', undefined);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each([
  [undefined, 'openai', undefined],
  [null, 'openai', undefined],
  ['gpt-4.1', 'openai', 'gpt-4.1'],
  ['openai/gpt-4.1', 'openai', 'gpt-4.1'],
  ['openai/a/b', 'openai', 'a/b'],
  ['ft:gpt-4o:org::id', 'openai', 'ft:gpt-4o:org::id'],
  ['ollama/llama3', 'ollama', 'llama3'],
  ['ollama/org/m:1', 'ollama', 'org/m:1'],
])('%s leads to %s', (name, prefix, model) => {
  const route = new MultiModelProvider().route(name);
  expect(route).toMatchObject({ prefix, model });
  expect(route.provider instanceof OllamaModelProvider).toBe(prefix === 'ollama');
});

test.each([
  ['', 'missing-model'],
  ['openai/', 'missing-model'],
  ['ollama/', 'missing-model'],
  ['/x', 'unknown-prefix'],
  ['/', 'unknown-prefix'],
  ['meta-llama/x', 'unknown-prefix'],
  ['Ollama/x', 'unknown-prefix'],
  ['constructor/x', 'unknown-prefix'],
])('%j leads nowhere', async (name, code) => {
  await expect(new MultiModelProvider().getModel(name)).rejects.toMatchObject({
    name: 'ModelError',
    code,
  });
});

test('an unknown prefix is told with the known ones', () => {
  const provider = new MultiModelProvider({ providerMap: ownMap({ mine: new Own() }) });
  expect(() => provider.route('meta-llama/x')).toThrow(
    "No provider for the prefix 'meta-llama'. Known prefixes: mine, ollama, openai. " +
      "Add one with MultiModelProviderMap.addProvider('meta-llama', provider).",
  );
});

test('an own prefix comes first', async () => {
  const [mine, openai, ollama] = [new Own(), new Own(), new Own()];
  const provider = new MultiModelProvider({ providerMap: ownMap({ mine, openai, ollama }) });
  for (const name of ['mine/a/b', 'openai/x', 'plain', undefined, 'ollama/y']) {
    await provider.getModel(name);
  }
  expect(mine.asked).toEqual(['a/b']);
  expect(openai.asked).toEqual(['x', 'plain', undefined]);
  expect(ollama.asked).toEqual(['y']);
});

test('built-in providers are made once and when needed', async () => {
  const provider = new MultiModelProvider({ openaiApiKey: '' });
  expect(await provider.getModel('ollama/llama3')).toBeInstanceOf(OllamaModel);
  expect(provider.route('ollama/a').provider).toBe(provider.route('ollama/b').provider);
});

test('the options are those of the OpenAI provider', async () => {
  const openaiClient = new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1:9' });
  const responses = new MultiModelProvider({ openaiClient });
  expect(await responses.getModel('gpt-x')).toBeInstanceOf(OpenAIResponsesModel);
  const chat = new MultiModelProvider({ openaiClient, openaiUseResponses: false });
  expect(await chat.getModel('gpt-x')).toBeInstanceOf(OpenAIChatCompletionsModel);
});

test.each([
  [undefined, undefined],
  [undefined, ''],
  ['', undefined],
  ['', ''],
  ['', 'sk-test'],
])('no key is told when a model is asked for (%j, %j)', async (openaiApiKey, variable) => {
  vi.stubEnv('OPENAI_API_KEY', variable);
  const provider = new MultiModelProvider({ openaiApiKey });
  for (const name of [undefined, 'gpt-x', 'openai/gpt-x']) {
    await expect(provider.getModel(name)).rejects.toMatchObject({
      code: 'missing-key',
      message: expect.stringContaining('OPENAI_API_KEY'),
    });
  }
});

test('a key is found once it is there', async () => {
  vi.stubEnv('OPENAI_API_KEY', '');
  const provider = new MultiModelProvider();
  await expect(provider.getModel('gpt-x')).rejects.toMatchObject({ code: 'missing-key' });
  vi.stubEnv('OPENAI_API_KEY', 'sk-test');
  expect(await provider.getModel('gpt-x')).toBeInstanceOf(OpenAIResponsesModel);
});

test('a client or key of the application holds', async () => {
  vi.stubEnv('OPENAI_API_KEY', undefined);
  try {
    setDefaultOpenAIKey('sk-app');
    expect(await new MultiModelProvider().getModel('gpt-x')).toBeInstanceOf(OpenAIResponsesModel);
  } finally {
    setDefaultOpenAIKey(undefined as unknown as string);
  }
  try {
    setDefaultOpenAIClient(new OpenAI({ apiKey: 'k' }));
    expect(await new MultiModelProvider().getModel('gpt-x')).toBeInstanceOf(OpenAIResponsesModel);
  } finally {
    setDefaultOpenAIClient(undefined as unknown as OpenAI);
  }
});

test('every provider is closed once', async () => {
  const mine = new Own();
  const provider = new MultiModelProvider({ providerMap: ownMap({ a: mine, b: mine }) });
  await provider.getModel('ollama/llama3');
  await provider.getModel('gpt-x');
  await provider.close();
  expect(mine.closed).toBe(1);
});

test('a provider that cannot close keeps none of the others open', async () => {
  class Broken extends Own {
    override async close(): Promise<void> {
      throw new Error('stuck');
    }
  }
  const last = new Own();
  const providerMap = ownMap({ a: new Broken(), b: last });
  await expect(new MultiModelProvider({ providerMap }).close()).rejects.toThrow('stuck');
  expect(last.closed).toBe(1);
  providerMap.addProvider('c', new Broken());
  await expect(new MultiModelProvider({ providerMap }).close()).rejects.toThrow(AggregateError);
});

test('a provider may be in its own map', async () => {
  const providerMap = new MultiModelProviderMap();
  const provider = new MultiModelProvider({ providerMap });
  providerMap.addProvider('again', provider);
  expect(await provider.getModel('again/ollama/llama3')).toBeInstanceOf(OllamaModel);
  await provider.close();
});

test('a map holds copies', () => {
  const map = new MultiModelProviderMap();
  const mine = new Own();
  const given = new Map([['a', mine]]);
  map.setMapping(given);
  given.set('b', mine);
  map.getMapping().set('c', mine);
  expect([...map.getMapping()]).toEqual([['a', mine]]);
  expect([map.hasPrefix('a'), map.hasPrefix('b')]).toEqual([true, false]);
  expect([map.getProvider('a'), map.getProvider('b')]).toEqual([mine, undefined]);
  expect([map.removeProvider('a'), map.removeProvider('a')]).toEqual([true, false]);
});
