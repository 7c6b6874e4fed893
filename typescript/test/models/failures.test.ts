/** Refusals and broken connections, as one typed error. */
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { Agent, Runner, retryPolicies, setTracingDisabled } from '@openai/agents';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { OllamaError } from '../../src/errors.js';
import { consumeResult, OllamaModelProvider, runAgent } from '../../src/index.js';
import { asker, request } from './ask.js';
import { chunk, failed, json, lines, ollamaServer, streamed, whole } from './server.js';

setTracingDisabled(true);

afterEach(() => {
  vi.restoreAllMocks();
});

/** A port where nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe.each([false, true])('stream: %s', (stream) => {
  test.each([
    [400, 'registry.ollama.ai/library/gemma3:1b does not support tools', false],
    [400, 'the input length exceeds the context length', false],
    [401, 'unauthorized', false],
    [403, 'this model requires a subscription', false],
    [404, "model 'x' not found", false],
    [429, 'you have reached your session usage limit', true],
    [500, "error parsing tool call: raw='{' err=unexpected end", true],
    [500, 'model runner has unexpectedly stopped', false],
    [502, 'bad gateway', true],
    [503, 'server busy, please try again', true],
  ])('a refusal keeps status and text: %s %s', async (status, text, retryable) => {
    await using asking = await asker([failed(status, text)]);
    const asked = stream ? asking.stream() : asking.ask();
    await expect(asked).rejects.toBeInstanceOf(OllamaError);
    await expect(asked).rejects.toMatchObject({
      code: 'ollama-refused',
      status,
      message: text,
      retryable,
      body: { error: text },
    });
  });

  test('no server is a question, and no secret is told', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const baseUrl = `http://ada:secret@${address}`;
    const provider = new OllamaModelProvider({ baseUrl, apiKey: 'secret' });
    const model = provider.getModel('llama3');
    const asked = stream
      ? model.getStreamedResponse(request()).next()
      : model.getResponse(request());
    await expect(asked).rejects.toMatchObject({
      code: 'ollama-unreachable',
      status: undefined,
      retryable: true,
      message: `No connection. Is Ollama running at http://${address}?`,
    });
    const error = await asked.catch((reason: unknown) => reason);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('secret');
  });

  test('a connection that breaks is an early end', async () => {
    await using asking = await asker([{ ...lines(['{']), after: 'break' }]);
    const asked = stream ? asking.stream() : asking.ask();
    await expect(asked).rejects.toMatchObject({ code: 'ollama-stream-ended', retryable: true });
  });
});

test('an answer that is no HTTP any more is an early end', async () => {
  const server = createNetServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nnot a size');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const provider = new OllamaModelProvider({ baseUrl: `http://127.0.0.1:${port}` });
  const asked = provider.getModel('llama3').getResponse(request());
  await expect(asked).rejects.toMatchObject({ code: 'ollama-stream-ended', retryable: true });
  server.close();
});

test.each([
  [
    failed(401, { error: { message: 'Unauthorized', type: 'api_error' } }),
    'Unauthorized',
    { error: { message: 'Unauthorized', type: 'api_error' } },
  ],
  [{ ...json('<h1>Bad</h1>\n', 502), contentType: 'text/html' }, '<h1>Bad</h1>', '<h1>Bad</h1>\n'],
  [json('', 500), 'HTTP status 500', ''],
  [
    failed(401, { error: 'unauthorized', signin_url: 'https://ollama.com/connect' }),
    'unauthorized',
    { error: 'unauthorized', signin_url: 'https://ollama.com/connect' },
  ],
])('other forms of errors', async (reply, message, body) => {
  const log = vi.spyOn(console, 'log');
  await using asking = await asker([reply]);
  await expect(asking.ask()).rejects.toMatchObject({ message, body });
  expect(log).not.toHaveBeenCalled();
});

test('an error in a whole answer is an error', async () => {
  await using asking = await asker([failed(200, 'boom')]);
  await expect(asking.ask()).rejects.toMatchObject({
    code: 'ollama-stream-failed',
    message: 'boom',
  });
});

test('a whole answer that is no JSON is an error', async () => {
  await using asking = await asker([json('<html>')]);
  await expect(asking.ask()).rejects.toMatchObject({
    code: 'ollama-stream-failed',
    body: '<html>',
  });
});

test('an error of an own fetch is passed on', async () => {
  const { Ollama } = await import('ollama');
  const own = new Error('no such recording');
  const fetch = () => Promise.reject(own);
  const ollamaClient = new Ollama({ host: 'http://127.0.0.1:1', fetch });
  const model = new OllamaModelProvider({ ollamaClient }).getModel('llama3');
  await expect(model.getResponse(request())).rejects.toBe(own);
});

test('the runner is advised whether to ask again', () => {
  const model = new OllamaModelProvider().getModel('llama3');
  const advice = (error: Error) =>
    model.getRetryAdvice({ error, attempt: 1, stream: false, request: request() });

  const busy = new OllamaError('busy', 'ollama-refused', { status: 503, retryable: true });
  expect(advice(busy)).toMatchObject({
    suggested: true,
    replaySafety: 'safe',
    normalized: { statusCode: 503, isNetworkError: false },
  });
  expect(advice(new OllamaError('gone', 'ollama-refused', { status: 404 }))?.suggested).toBe(false);
  const away = new OllamaError('away', 'ollama-unreachable', { retryable: true });
  expect(advice(away)?.normalized).toMatchObject({ isNetworkError: true });
  expect(advice(new Error('no'))).toBeUndefined();
});

test('the runner asks again where it is told to', async () => {
  const retry = {
    maxRetries: 1,
    backoff: { initialDelayMs: 0, jitter: false },
    policy: retryPolicies.providerSuggested(),
  };
  const agent = new Agent({ name: 'A', model: 'llama3', modelSettings: { retry } });
  await using server = await ollamaServer(failed(503, 'busy'), whole('Hi'), failed(404, 'gone'));
  const runner = new Runner({ modelProvider: new OllamaModelProvider({ baseUrl: server.url }) });
  expect((await runner.run(agent, 'Hi')).finalOutput).toBe('Hi');
  await expect(runner.run(agent, 'Hi')).rejects.toThrow('gone');
});

test('a streamed run raises the error', async () => {
  await using server = await ollamaServer(streamed([chunk('a'), { error: 'boom' }]));
  const modelProvider = new OllamaModelProvider({ baseUrl: server.url });
  const agent = new Agent({ name: 'A', model: 'llama3' });
  const result = await runAgent(agent, 'Hi', { stream: true, modelProvider });
  await expect(consumeResult(result)).rejects.toMatchObject({
    code: 'ollama-stream-failed',
    message: 'boom',
  });
});
