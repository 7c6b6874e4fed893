/** Agents on models of Ollama, by name, and on Ollama and OpenAI in one run. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  Agent,
  BatchTraceProcessor,
  type RunState,
  setTraceProcessors,
  setTracingDisabled,
  tool,
} from '@openai/agents';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import {
  consumeResult,
  MultiModelProvider,
  OllamaModelProvider,
  runAgent,
} from '../../src/index.js';
import { dumpRunState, loadRunState } from '../../src/state/index.js';
import { called, chunk, DONE, ollamaServer, streamed, whole } from './server.js';

const END = { ...chunk(), ...DONE };

beforeEach(() => {
  vi.stubEnv('OLLAMA_API_KEY', undefined);
  setTracingDisabled(true);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

function deleteFile(deleted: string[]) {
  return tool({
    name: 'delete_file',
    description: 'Deletes a file.',
    parameters: z.object({ path: z.string() }),
    needsApproval: true,
    execute: ({ path }) => {
      deleted.push(path);
      return `deleted ${path}`;
    },
  });
}

test('an agent names its model, and that is all', async () => {
  await using server = await ollamaServer(whole('Hello'));
  vi.stubEnv('OLLAMA_HOST', server.url);
  const agent = new Agent({ name: 'A', model: 'ollama/llama3' });
  expect((await runAgent(agent, 'Hi')).finalOutput).toBe('Hello');
  expect(server.sent[0]?.body).toEqual({
    model: 'llama3',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: false,
  });
});

test('a provider in the run configuration wins, and one of its own over it', async () => {
  await using server = await ollamaServer(whole('one'), whole('two'));
  const modelProvider = new OllamaModelProvider({ baseUrl: server.url });
  const agent = new Agent({ name: 'A', model: 'llama3' });
  const { finalOutput } = await runAgent(agent, 'Hi', { runConfig: { modelProvider } });
  expect(finalOutput).toBe('one');
  const never = { getModel: () => Promise.reject(new Error('not asked')) };
  const again = await runAgent(agent, 'Hi', { modelProvider, runConfig: { modelProvider: never } });
  expect(again.finalOutput).toBe('two');
});

test('a model that is one is not looked up', async () => {
  await using server = await ollamaServer(whole('Hello'));
  const model = new OllamaModelProvider({ baseUrl: server.url }).getModel('llama3');
  expect((await runAgent(new Agent({ name: 'A', model }), 'Hi')).finalOutput).toBe('Hello');
});

test('the model of the run configuration is looked up too', async () => {
  await using server = await ollamaServer(whole('Hello'));
  vi.stubEnv('OLLAMA_HOST', server.url);
  const agent = new Agent({ name: 'A' });
  const { finalOutput } = await runAgent(agent, 'Hi', { runConfig: { model: 'ollama/llama3' } });
  expect(finalOutput).toBe('Hello');
  expect(Object.keys(server.sent[0]?.body).sort()).toEqual(['messages', 'model', 'stream']);
});

test.each([false, true])('a handoff goes through (stream: %s)', async (stream) => {
  const transfer = called('transfer_to_Bob', { '': '' });
  const replies = stream
    ? [
        streamed([chunk('', { tool_calls: [transfer] }), END]),
        streamed([chunk('I am'), chunk(' Bob'), END]),
      ]
    : [whole('', { tool_calls: [transfer] }), whole('I am Bob')];
  await using server = await ollamaServer(...replies);
  vi.stubEnv('OLLAMA_HOST', server.url);
  const bob = new Agent({ name: 'Bob', model: 'ollama/b' });
  const alice = new Agent({ name: 'Alice', model: 'ollama/a', handoffs: [bob] });
  const result = await consumeResult(await runAgent(alice, 'Hi', { stream }));
  expect([result.finalOutput, result.lastAgent?.name]).toEqual(['I am Bob', 'Bob']);
  const [first, second] = server.sent.map(({ body }) => body);
  expect(first.tools[0].function).toMatchObject({
    name: 'transfer_to_Bob',
    parameters: { type: 'object', properties: {} },
  });
  expect(second.messages[1].tool_calls[0].function).toEqual({
    index: 0,
    name: 'transfer_to_Bob',
    arguments: { '': '' },
  });
  expect(second.messages[2]).toMatchObject({
    role: 'tool',
    tool_name: 'transfer_to_Bob',
    tool_call_id: second.messages[1].tool_calls[0].id,
  });
});

test('an agent that is a tool finds its model the same way', async () => {
  const ask = called('ask_bob', { input: 'Well?' });
  await using server = await ollamaServer(
    whole('', { tool_calls: [ask] }),
    whole('Yes'),
    whole('Bob says yes'),
  );
  vi.stubEnv('OLLAMA_HOST', server.url);
  const bob = new Agent({ name: 'Bob', model: 'ollama/b' });
  const alice = new Agent({
    name: 'Alice',
    model: 'ollama/a',
    tools: [bob.asTool({ toolName: 'ask_bob', toolDescription: 'Asks Bob.' })],
  });
  expect((await runAgent(alice, 'Hi')).finalOutput).toBe('Bob says yes');
  expect(server.sent.map(({ body }) => body.model)).toEqual(['a', 'b', 'a']);
});

test.each([
  false,
  true,
])('an approval goes through the portable form (stream: %s)', async (stream) => {
  const call = called('delete_file', { path: 'a.txt' });
  const chunks = [chunk('', { thinking: 'Hm' }), chunk('', { tool_calls: [call] }), END];
  const replies = stream
    ? [streamed(chunks), streamed([chunk('Gone'), END])]
    : [whole('', { thinking: 'Hm', tool_calls: [call] }), whole('Gone')];
  await using server = await ollamaServer(...replies);
  vi.stubEnv('OLLAMA_HOST', server.url);
  const deleted: string[] = [];
  const agent = new Agent({
    name: 'A',
    model: 'ollama/llama3',
    tools: [deleteFile(deleted)],
  });
  const paused = await consumeResult(await runAgent(agent, 'Hi', { stream }));
  const { document } = await dumpRunState(paused.state);
  const text = JSON.stringify({ ...document, residue: {} });
  // The wire items are those that openai-agents writes and knows again.
  expect(text).toContain('"content":[{"type":"reasoning_text","text":"Hm"}]');
  expect(text.match(/"provider_data":\{"model":"llama3"\}/g)?.length).toBeGreaterThan(1);
  expect(text).not.toContain('FAKE_ID');

  const state = (await loadRunState(JSON.parse(text), agent)) as RunState<undefined, typeof agent>;
  const [interruption] = state.getInterruptions();
  if (interruption) {
    state.approve(interruption);
  }
  const result = await consumeResult(await runAgent(agent, state, { stream }));
  expect([result.finalOutput, deleted]).toEqual(['Gone', ['a.txt']]);
  const { messages } = server.sent[1]?.body ?? {};
  expect(messages).toMatchObject([
    { role: 'user' },
    { role: 'assistant', thinking: 'Hm', tool_calls: [{ function: { name: 'delete_file' } }] },
    { role: 'tool', content: 'deleted a.txt', tool_name: 'delete_file' },
  ]);
});

/** A server that answers a text over the Responses or the Chat Completions API. */
async function openai() {
  const bodies: { input: object[]; messages: object[] }[] = [];
  const server = createServer(async (request, response) => {
    bodies.push(JSON.parse(await text(request)));
    const content = [{ type: 'output_text', text: 'Hello', annotations: [] }];
    const message = {
      type: 'message',
      id: 'msg_1',
      role: 'assistant',
      status: 'completed',
      content,
    };
    const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
    const chat = {
      index: 0,
      finish_reason: 'stop',
      message: { role: 'assistant', content: 'Hello' },
    };
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify(
        request.url?.endsWith('/responses')
          ? { id: 'resp_1', object: 'response', output: [message], usage }
          : { id: 'chatcmpl_1', object: 'chat.completion', choices: [chat] },
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    bodies,
    url: `http://127.0.0.1:${port}/v1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test.each([true, false])('OpenAI is told only what it knows (Responses: %s)', async (responses) => {
  const call = called('transfer_to_Bob', {}, { id: 'call_a' });
  await using ollama = await ollamaServer(
    whole('Over to Bob', { thinking: 'Hm', tool_calls: [call] }),
  );
  await using cloud = await openai();
  vi.stubEnv('OLLAMA_HOST', ollama.url);
  const bob = new Agent({ name: 'Bob', model: 'gpt-x' });
  const alice = new Agent({ name: 'Alice', model: 'ollama/a', handoffs: [bob] });
  const modelProvider = new MultiModelProvider({
    openaiApiKey: 'k',
    openaiBaseUrl: cloud.url,
    openaiUseResponses: responses,
  });
  const { finalOutput } = await runAgent(alice, 'Hi', { modelProvider });
  expect(finalOutput).toBe('Hello');
  const [body] = cloud.bodies;
  const sent = JSON.stringify(body);
  for (const foreign of ['FAKE_ID', 'provider_data', 'Hm', '"model":"a"']) {
    expect(sent).not.toContain(foreign);
  }
  if (responses) {
    expect(body?.input).toMatchObject([
      { role: 'user' },
      { type: 'message', role: 'assistant', content: [{ text: 'Over to Bob' }] },
      { type: 'function_call', call_id: 'call_a', name: 'transfer_to_Bob', arguments: '{}' },
      { type: 'function_call_output', call_id: 'call_a' },
    ]);
  } else {
    expect(body?.messages).toMatchObject([
      { role: 'user' },
      { role: 'assistant', tool_calls: [{ id: 'call_a' }] },
      { role: 'tool', tool_call_id: 'call_a' },
    ]);
  }
});

test('a generation is traced, with data only where it may be', async () => {
  const spans: { data: object; error: unknown }[] = [];
  setTracingDisabled(false);
  setTraceProcessors([
    new BatchTraceProcessor(
      {
        export: async (items) => {
          for (const item of items) {
            const { spanData, error } = item as { spanData?: { type: string }; error?: unknown };
            if (spanData?.type === 'generation') {
              spans.push({ data: spanData, error });
            }
          }
        },
      },
      { scheduleDelay: 1 },
    ),
  ]);
  await using server = await ollamaServer(
    whole('a'),
    streamed([chunk('b'), END]),
    streamed([]),
    streamed([]),
  );
  const modelProvider = new OllamaModelProvider({ baseUrl: server.url });
  const agent = new Agent({ name: 'A', model: 'llama3' });
  await runAgent(agent, 'Hi', { modelProvider });
  const runConfig = { traceIncludeSensitiveData: false };
  await consumeResult(await runAgent(agent, 'Hi', { modelProvider, stream: true, runConfig }));
  const failing = await runAgent(agent, 'Hi', { modelProvider, stream: true, runConfig });
  await expect(consumeResult(failing)).rejects.toThrow('ended early');
  await expect(runAgent(agent, 'Hi', { modelProvider, runConfig })).rejects.toThrow('JSON');
  await vi.waitFor(() => expect(spans).toHaveLength(4));
  setTraceProcessors([]);

  expect(spans[0]?.data).toMatchObject({
    model: 'llama3',
    input: [{ role: 'user', content: 'Hi' }],
    output: [{ role: 'assistant', content: 'a' }],
    usage: { requests: 1, input_tokens: 5, output_tokens: 3 },
  });
  expect(spans[1]?.data).toMatchObject({ usage: { input_tokens: 5 } });
  expect(spans[1]?.data).not.toHaveProperty('input');
  expect(spans[1]?.data).not.toHaveProperty('output');
  const failed = { message: 'The model did not answer', data: { error: 'OllamaError' } };
  expect(spans.slice(2).map(({ error }) => error)).toEqual([failed, failed]);
});
