/** Where a model is asked, under which name and with which key. */
import { Ollama } from 'ollama';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OllamaModel, OllamaModelProvider } from '../../src/index.js';
import { resolve, type Target } from '../../src/models/ollama/provider.js';
import { Asker, asker } from './ask.js';
import { ollamaServer, whole } from './server.js';

const CLOUD = 'https://ollama.com';
const LOCAL = 'http://127.0.0.1:11434';
const OWN = 'http://10.0.0.1:11434';

type Options = { apiKey?: string; baseUrl?: string };

const target = (host: string, model: string, apiKey?: string, cloud = false): Target => ({
  host,
  model,
  apiKey,
  cloud,
});

beforeEach(() => {
  vi.stubEnv('OLLAMA_HOST', undefined);
  vi.stubEnv('OLLAMA_API_KEY', undefined);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each<[string, Options, Target]>([
  ['llama3', {}, target(LOCAL, 'llama3')],
  ['llama3', { apiKey: 'k' }, target(LOCAL, 'llama3')],
  ['llama3', { baseUrl: OWN }, target(OWN, 'llama3')],
  ['llama3', { baseUrl: OWN, apiKey: 'k' }, target(OWN, 'llama3', 'k')],
  ['gpt-oss:120b-cloud', {}, target(LOCAL, 'gpt-oss:120b-cloud', undefined, true)],
  ['gpt-oss:120b-cloud', { apiKey: 'k' }, target(CLOUD, 'gpt-oss:120b', 'k', true)],
  ['glm-5:cloud', { apiKey: 'k' }, target(CLOUD, 'glm-5', 'k', true)],
  ['my-cloud-model', { apiKey: 'k' }, target(LOCAL, 'my-cloud-model')],
  ['my-cloud', { apiKey: 'k' }, target(LOCAL, 'my-cloud')],
  ['host:1/my-cloud', { apiKey: 'k' }, target(LOCAL, 'host:1/my-cloud')],
  ['glm-5:cloud', { apiKey: 'k', baseUrl: OWN }, target(OWN, 'glm-5:cloud', 'k', true)],
  ['glm-5', { apiKey: 'k', baseUrl: CLOUD }, target(CLOUD, 'glm-5', 'k', true)],
  ['glm-5:cloud', { baseUrl: CLOUD }, target(CLOUD, 'glm-5', undefined, true)],
])('%s with %j', (model, options, expected) => {
  expect(resolve(model, options)).toEqual(expected);
});

test.each<[string, Options, Target]>([
  ['llama3', {}, target(OWN, 'llama3')],
  ['llama3', { apiKey: 'k' }, target(OWN, 'llama3')],
  ['llama3', { baseUrl: LOCAL }, target(LOCAL, 'llama3')],
  ['glm-5:cloud', {}, target(CLOUD, 'glm-5', 'env', true)],
  ['glm-5:cloud', { apiKey: 'k' }, target(CLOUD, 'glm-5', 'k', true)],
  ['glm-5', { baseUrl: `${CLOUD}/` }, target(`${CLOUD}/`, 'glm-5', 'env', true)],
  ['glm-5', { baseUrl: 'http://ollama.com' }, target('http://ollama.com', 'glm-5')],
  [
    'glm-5',
    { baseUrl: 'https://ollama.com.evil.example' },
    target('https://ollama.com.evil.example', 'glm-5'),
  ],
  ['glm-5', { baseUrl: 'https://ollama.com:8443' }, target('https://ollama.com:8443', 'glm-5')],
])('%s with %j and an environment', (model, options, expected) => {
  vi.stubEnv('OLLAMA_HOST', OWN);
  vi.stubEnv('OLLAMA_API_KEY', 'env');
  expect(resolve(model, options)).toEqual(expected);
});

test('the cloud may be the host of the environment', () => {
  vi.stubEnv('OLLAMA_HOST', CLOUD);
  vi.stubEnv('OLLAMA_API_KEY', 'env');
  expect(resolve('glm-5')).toEqual(target(CLOUD, 'glm-5', 'env', true));
});

test('a key of the environment is not sent to a local server', async () => {
  vi.stubEnv('OLLAMA_API_KEY', 'env');
  await using asking = await asker([whole('a'), whole('b')]);
  await asking.ask();
  vi.stubEnv('OLLAMA_HOST', asking.server.url);
  const provider = new OllamaModelProvider({ apiKey: 'k' });
  await new Asker(provider.getModel('llama3'), asking.server).ask();
  expect(asking.server.sent).toHaveLength(2);
  for (const { headers } of asking.server.sent) {
    expect(headers).not.toHaveProperty('authorization');
  }
});

test('a key is sent to the host it was given with', async () => {
  vi.stubEnv('OLLAMA_API_KEY', 'env');
  await using asking = await asker([whole('a')], { apiKey: 'k' });
  await asking.ask();
  expect(asking.server.sent[0]?.headers).toMatchObject({ authorization: 'Bearer k' });
});

test('credentials of a URL are sent as such', async () => {
  await using server = await ollamaServer(whole('a'));
  const baseUrl = server.url.replace('http://', 'http://ada:p%20w@');
  const provider = new OllamaModelProvider({ baseUrl });
  await new Asker(provider.getModel('llama3'), server).ask();
  const pair = Buffer.from('ada:p w').toString('base64');
  expect(server.sent[0]?.headers).toMatchObject({ authorization: `Basic ${pair}` });
});

test('hosts are found anew for each name', async () => {
  await using first = await ollamaServer(whole('1'), whole('2'));
  await using other = await ollamaServer(whole('3'));
  const provider = new OllamaModelProvider();
  vi.stubEnv('OLLAMA_HOST', first.url);
  const local = provider.getModel('llama3');
  vi.stubEnv('OLLAMA_API_KEY', 'env');
  const cloud = provider.getModel('gpt-oss:120b-cloud');
  const again = provider.getModel('llama3');
  vi.stubEnv('OLLAMA_HOST', other.url);
  const moved = provider.getModel('llama3');

  expect(cloud.model).toBe('gpt-oss:120b');
  await new Asker(local, first).ask();
  await new Asker(again, first).ask();
  await new Asker(moved, other).ask();
  expect(first.sent.map(({ body }) => body.model)).toEqual(['llama3', 'llama3']);
});

test('a client of the application is used', async () => {
  await using server = await ollamaServer(whole('a'), whole('b'));
  const client = new Ollama({ host: server.url, headers: { 'X-Own': '1' } });
  const provider = new OllamaModelProvider({ ollamaClient: client });
  await new Asker(provider.getModel('llama3'), server).ask();
  await new Asker(new OllamaModel('llama3', client), server).ask();
  expect(server.sent.map(({ headers }) => headers['x-own'])).toEqual(['1', '1']);
});

test('a client of the application may be one of the cloud', () => {
  const client = new Ollama({ host: CLOUD });
  expect(new OllamaModelProvider({ ollamaClient: client }).getModel('glm-5:cloud').model).toBe(
    'glm-5',
  );
});

test.each([undefined, ''])('a model has a name, not %j', (name) => {
  expect(() => new OllamaModelProvider().getModel(name)).toThrow(
    expect.objectContaining({ code: 'missing-model' }),
  );
});
