/** Cassettes of the suite through the real clients. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { openCassette } from '../../src/testing/index.js';
import { chunk, ollamaServer, streamed } from '../models/server.js';

const FOLDER = new URL('../../../cassettes/', import.meta.url);
const NOWHERE = 'http://127.0.0.1:9';
const ASKED = { model: 'gpt-x', input: 'Weather?' };
const MESSAGES = [{ role: 'user', content: 'Hi' }];

const file = (name: string) => fileURLToPath(new URL(`${name}.yaml`, FOLDER));

function client(fetcher: typeof fetch): OpenAI {
  return new OpenAI({ apiKey: 'none', baseURL: `${NOWHERE}/v1`, fetch: fetcher });
}

test.each([undefined, 1, 7])('whole and streamed answers, split at %s bytes', async (split) => {
  const cassette = await openCassette(file('weather'), split === undefined ? {} : { split });
  const openai = client(cassette.fetch);
  const called = await openai.responses.create(ASKED);
  expect(called.output[0]?.type).toBe('function_call');
  expect(cassette.unused).toEqual([2]);
  const types: string[] = [];
  for await (const event of await openai.responses.create({ ...ASKED, stream: true })) {
    types.push(event.type);
  }
  expect(types.at(-1)).toBe('response.completed');
  expect(cassette.unused).toEqual([]);
});

test.each([undefined, 1, 7])('lines of Ollama, split at %s bytes', async (split) => {
  const cassette = await openCassette(
    file('ollama-text-stream'),
    split === undefined ? {} : { split },
  );
  const ollama = new Ollama({ host: NOWHERE, fetch: cassette.fetch });
  let text = '';
  for await (const line of await ollama.chat({
    model: 'llama3',
    messages: MESSAGES,
    stream: true,
  })) {
    text += line.message.content;
  }
  const { interactions } = parse(await readFile(file('ollama-text-stream'), 'utf8'));
  const whole = interactions
    .map((each: { response: { body: { string: string } } }) => each.response.body.string)
    .find((body: string) => body.trim().split('\n').length === 1);
  expect(text).toBe(JSON.parse(whole).message.content);
});

test('what was not recorded is an error that no client retries', async () => {
  const cassette = await openCassette(file('weather'));
  await expect(
    client(cassette.fetch).chat.completions.create({ model: 'gpt-x', messages: [] }),
  ).rejects.toMatchObject({
    status: 400,
    code: 'cassette-miss',
    message: expect.stringContaining('the path is /chat/completions, recorded is /responses'),
  });
  const ollama = new Ollama({ host: NOWHERE, fetch: cassette.fetch });
  await expect(ollama.chat({ model: 'llama3', messages: MESSAGES })).rejects.toThrow(
    'POST /api/chat is not in the cassette: the path is',
  );
});

test('a body that differs is named', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'cassette-')), 'one.yaml');
  const first = parse(await readFile(file('weather'), 'utf8')).interactions[0];
  const body = JSON.stringify({ ...ASKED, input: 'Weather in Rome?' });
  await writeFile(
    path,
    JSON.stringify({ interactions: [{ ...first, request: { ...first.request, body } }] }),
  );
  const cassette = await openCassette(path);
  await expect(client(cassette.fetch).responses.create(ASKED)).rejects.toThrow('in Rome?');
  await client(cassette.fetch).responses.create({ ...ASKED, input: 'Weather in Rome?' });
});

test('an absent file is an error, unless it is to be recorded', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'cassette-')), 'none.yaml');
  await expect(openCassette(path)).rejects.toMatchObject({ code: 'ENOENT' });
  await using server = await ollamaServer(
    streamed([chunk('Hi '), chunk('you 🌦'), { ...chunk(), done: true, done_reason: 'stop' }]),
  );
  const cassette = await openCassette(path, { record: 'once' });
  const headers = { authorization: 'Bearer secret-key' };
  const ollama = new Ollama({ host: server.url, fetch: cassette.fetch, headers });
  for await (const _ of await ollama.chat({ model: 'm', messages: MESSAGES, stream: true })) {
    // Only the recording counts.
  }
  await cassette.save();
  expect(server.sent[0]?.headers.authorization).toBe('Bearer secret-key');
  const text = await readFile(path, 'utf8');
  expect(text).not.toContain('secret-key');
  const [{ response }] = parse(text).interactions;
  const { string, chunks } = response.body as { string: string; chunks: number[] };
  // Pieces that follow each other quickly may arrive as one.
  expect(chunks.length).toBeGreaterThan(1);
  expect(chunks.reduce((total, size) => total + size)).toBe(Buffer.byteLength(string));
});
