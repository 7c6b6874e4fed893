/** Why the transport goes around parts of the client. A test that fails here is good news. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ollama } from 'ollama';
import manifest from 'ollama/package.json' with { type: 'json' };
import { afterEach, expect, test, vi } from 'vitest';
import * as transport from '../../src/models/ollama/client.js';
import { chunk, DONE, json, lines, ollamaServer, streamed, whole } from './server.js';

const GONE = 'the client does it right now: src/models/ollama/client.ts may leave it to chat()';
const MESSAGES = [{ role: 'user', content: 'Hi' }];
const END = { ...chunk(), ...DONE };

afterEach(() => {
  vi.restoreAllMocks();
});

async function* theirs(client: Ollama) {
  yield* await client.chat({ model: 'm', messages: MESSAGES, stream: true });
}

async function drain(chunks: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const each of chunks) {
    all.push(each);
  }
  return all;
}

test('the release is one whose protected names are known', () => {
  expect(manifest.version).toMatch(/^0\.6\./);
  const client = new Ollama({ host: 'http://127.0.0.1:1/' }) as unknown as Record<string, unknown>;
  expect(client.fetch).toBeTypeOf('function');
  expect(client.ongoingStreamedRequests).toEqual([]);
  expect(transport.hostOf(client as unknown as Ollama)).toBe('http://127.0.0.1:1');
});

test('the client still sends a local file for an image', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'timestep-'));
  const path = join(folder, 'secret');
  await writeFile(path, 'secret');
  await using server = await ollamaServer(whole('a'));
  const client = new Ollama({ host: server.url });
  await client.chat({ model: 'm', messages: [{ role: 'user', content: '', images: [path] }] });
  await rm(folder, { recursive: true });
  const [image] = server.sent[0]?.body.messages[0].images ?? [];
  expect(image, GONE).toBe(Buffer.from('secret').toString('base64'));
});

test('the client still writes into requests, and the transport does not', async () => {
  await using server = await ollamaServer(whole('a'), whole('b'));
  const client = new Ollama({ host: server.url });
  const payload = () => ({
    model: 'm',
    messages: [{ role: 'user', content: '', images: [new Uint8Array([1])] }],
  });
  const [given, ours] = [payload(), payload()];
  await client.chat(given);
  expect(given, GONE).not.toEqual(payload());
  await transport.chat(client, ours);
  expect(ours).toEqual(payload());
  expect(server.sent[1]?.body).toEqual(server.sent[0]?.body);
});

test('the client still cannot cancel a whole answer', async () => {
  await using server = await ollamaServer({ pieces: [], after: 'hang' });
  const controller = new AbortController();
  const client = new Ollama({ host: server.url });
  const request = { model: 'm', messages: MESSAGES, signal: controller.signal };
  const asked = client.chat(request).then(
    () => 'answered',
    () => 'cancelled',
  );
  setTimeout(() => {
    controller.abort();
    client.abort();
  }, 50);
  const waited = new Promise((resolve) => setTimeout(resolve, 300, 'waiting'));
  expect(await Promise.race([asked, waited]), GONE).toBe('waiting');
});

test('abort of the client still ends every stream, and ours are their own', async () => {
  await using server = await ollamaServer(
    { ...streamed([chunk('a')]), after: 'hang' },
    { ...streamed([chunk('a')]), after: 'hang' },
  );
  const client = new Ollama({ host: server.url });
  const stream = transport.stream(client, { model: 'm', messages: MESSAGES });
  await stream.next();
  const other = theirs(client);
  await other.next();
  client.abort();
  await expect(other.next(), GONE).rejects.toThrow();
  const next = stream.next().catch(() => 'ended');
  const waited = new Promise((resolve) => setTimeout(resolve, 100, 'waiting'));
  expect(await Promise.race([next, waited])).toBe('waiting');
});

test('the client still keeps a stream that did not end, and none of ours', async () => {
  const cut = streamed([chunk('a')]);
  await using server = await ollamaServer(cut, cut);
  const client = new Ollama({ host: server.url });
  const { ongoingStreamedRequests } = client as unknown as { ongoingStreamedRequests: unknown[] };
  const ours = transport.stream(client, { model: 'm', messages: MESSAGES });
  await expect(drain(ours)).rejects.toMatchObject({ code: 'ollama-stream-ended' });
  expect(ongoingStreamedRequests).toHaveLength(0);
  await expect(drain(theirs(client))).rejects.toThrow();
  expect(ongoingStreamedRequests, GONE).toHaveLength(1);
});

test('an error in a stream of the client is still a plain one', async () => {
  await using server = await ollamaServer(streamed([{ error: 'boom' }]));
  const error = await drain(theirs(new Ollama({ host: server.url }))).catch((reason) => reason);
  expect(error.constructor, GONE).toBe(Error);
  expect(Object.keys(error), GONE).toEqual([]);
});

test('a line that is no JSON is still passed over', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  const reply = lines(['<html>\n', '\n', `${JSON.stringify(END)}\n`]);
  await using server = await ollamaServer(reply, reply);
  const client = new Ollama({ host: server.url });
  expect(await drain(theirs(client)), GONE).toHaveLength(1);
  expect(warn).toHaveBeenCalledTimes(2);
  const ours = transport.stream(client, { model: 'm', messages: MESSAGES });
  await expect(drain(ours)).rejects.toMatchObject({ code: 'ollama-stream-failed' });
  expect(warn).toHaveBeenCalledTimes(2);
});

test('a refusal in plain text is still written to the console', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  const reply = { ...json('Bad', 502), contentType: 'text/plain' };
  await using server = await ollamaServer(reply);
  await expect(drain(theirs(new Ollama({ host: server.url })))).rejects.toThrow('Bad');
  expect(log, GONE).toHaveBeenCalled();
});

test('the client still rounds large integers', async () => {
  const answer =
    '{"message":{"role":"assistant","content":"","tool_calls":' +
    '[{"function":{"name":"f","arguments":{"id":12345678901234567890}}}]},"done":true}';
  await using server = await ollamaServer(json(answer));
  const client = new Ollama({ host: server.url });
  const { message } = await client.chat({ model: 'm', messages: MESSAGES });
  const args = JSON.stringify(message.tool_calls?.[0]?.function.arguments);
  expect(args, GONE).not.toBe('{"id":12345678901234567890}');
});

test('the client still does not read OLLAMA_HOST', async () => {
  vi.stubEnv('OLLAMA_HOST', 'http://10.0.0.1:1');
  expect(transport.hostOf(new Ollama()), GONE).toBe('http://127.0.0.1:11434');
  vi.unstubAllEnvs();
});

test('something else than a client is refused', async () => {
  const client = { chat: async () => ({}) } as unknown as Ollama;
  await expect(transport.chat(client, { model: 'm' })).rejects.toThrow('ollamaClient');
});
