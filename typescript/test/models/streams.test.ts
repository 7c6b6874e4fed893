/** Streamed answers as events of a model. */
import {
  Agent,
  tool as functionTool,
  ModelBehaviorError,
  type protocol,
  Runner,
  setTracingDisabled,
} from '@openai/agents';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { OllamaModelProvider } from '../../src/models/index.js';
import { type Asker, asker, output, response } from './ask.js';
import { called, chunk, DONE, lines, ollamaServer, streamed, whole } from './server.js';

setTracingDisabled(true);

const END = { ...chunk(), ...DONE };

const types = (events: protocol.StreamEvent[]) =>
  events.map(({ type }) => type).filter((type) => type !== 'model');

const deltas = (events: protocol.StreamEvent[]) =>
  events.flatMap((event) => (event.type === 'output_text_delta' ? event.delta : []));

test('text is sent as it comes', async () => {
  await using asking = await asker([
    streamed([...['', 'He', 'llo', ' ', 'you'].map((text) => chunk(text)), END]),
  ]);
  const events = await asking.stream();
  expect(types(events)).toEqual([
    'response_started',
    ...Array(4).fill('output_text_delta'),
    'response_done',
  ]);
  expect(deltas(events)).toEqual(['He', 'llo', ' ', 'you']);
  expect(output(events)).toMatchObject([{ content: [{ text: 'Hello you' }] }]);
  expect(response(events)).toMatchObject({
    id: expect.stringMatching(/^resp_[0-9a-f]{24}$/),
    usage: { requests: 1, inputTokens: 5, outputTokens: 3, totalTokens: 8 },
  });
  expect(response(events).rawUsage).toBeUndefined();
  expect(asking.body.stream).toBe(true);
});

test('the chunks are passed on as they came', async () => {
  await using asking = await asker([streamed([chunk('a'), END])]);
  const events = await asking.stream();
  expect(events.flatMap((event) => (event.type === 'model' ? [event.event] : []))).toEqual([
    chunk('a'),
    END,
  ]);
});

const CALLS = [called('f', { x: { y: '\u2028' } }, { id: 'call_a' }), called('f', { x: 2 })];
const CHUNKS = [
  chunk('', { thinking: 'Hm' }),
  chunk('', { thinking: ', ø' }),
  chunk('\n'),
  chunk('Wait', { thinking: '!' }),
  chunk('.'),
  ...CALLS.map((call) => chunk('', { tool_calls: [call] })),
  END,
];

test.each([
  undefined,
  1,
  7,
  100,
  10_000,
])('split every %s bytes, the items are those of the whole answer', async (split) => {
  await using streaming = await asker([streamed(CHUNKS, split)]);
  await using asking = await asker([whole('\nWait.', { thinking: 'Hm, ø!', tool_calls: CALLS })]);
  const events = await streaming.stream();
  expect(deltas(events)).toEqual(['\nWait', '.']);
  expect(output(events)).toEqual(output(await asking.ask()));
});

test('the done chunk may carry content and calls', async () => {
  const tool_calls = [called('f', {}, { id: 'call_a' })];
  const last = { ...chunk('b', { thinking: 't', tool_calls }), ...DONE };
  await using asking = await asker([streamed([chunk('a'), last])]);
  const items = output(await asking.stream());
  expect(items).toMatchObject([
    { type: 'message', content: [{ text: 'ab' }] },
    { type: 'reasoning' },
    { type: 'function_call', callId: 'call_a' },
  ]);
});

test('calls of one index are not merged', async () => {
  const calls = ['a', 'b'].map((name) => ({
    id: `call_${name}`,
    function: { index: 0, name: 'f', arguments: { x: name } },
  }));
  await using asking = await asker([
    streamed([...calls.map((call) => chunk('', { tool_calls: [call] })), END]),
  ]);
  expect(output(await asking.stream())).toMatchObject([
    { arguments: '{"x":"a"}' },
    { arguments: '{"x":"b"}' },
  ]);
});

test('equal calls without ids are several', async () => {
  const part = chunk('', { tool_calls: [called('f', {})] });
  await using asking = await asker([streamed([part, part, part, END])]);
  const items = output(await asking.stream()) as { callId: string; arguments: string }[];
  expect(new Set(items.map(({ callId }) => callId)).size).toBe(3);
  expect(items.map((item) => item.arguments)).toEqual(['{}', '{}', '{}']);
});

test.each(['', '\n \t'])('white space %j before calls is no message', async (blank) => {
  const call = chunk(blank, { tool_calls: [called('f', {}, { id: 'call_a' })] });
  await using asking = await asker([streamed([chunk(blank), call, END])]);
  const events = await asking.stream();
  expect(types(events)).toEqual(['response_started', 'response_done']);
  expect(output(events)).toHaveLength(1);
});

test('white space alone is a message', async () => {
  await using asking = await asker([streamed([chunk('\n'), END])]);
  const events = await asking.stream();
  expect(deltas(events)).toEqual(['\n']);
  expect(output(events)).toMatchObject([{ content: [{ text: '\n' }] }]);
});

test('log probabilities are on the message', async () => {
  const scored = (text: string, token: string) => ({
    ...chunk(text),
    logprobs: [{ token, logprob: -1 }],
  });
  await using asking = await asker([
    streamed([scored('a', 'a'), scored('', 'b'), scored('bc', 'c'), END]),
  ]);
  const [item] = output(await asking.stream()) as { content: { providerData: object }[] }[];
  expect(item?.content[0]?.providerData).toMatchObject({
    logprobs: [{ token: 'a' }, { token: 'b' }, { token: 'c' }],
  });
});

test('length with text completes, and without is an error', async () => {
  const cut = { ...chunk(), ...DONE, done_reason: 'length' };
  await using asking = await asker([
    streamed([chunk('a'), cut]),
    streamed([chunk('', { thinking: 't' }), cut]),
  ]);
  expect((await asking.stream()).at(-1)?.type).toBe('response_done');
  await expect(asking.stream()).rejects.toThrow(ModelBehaviorError);
});

test('blank lines and a missing last line feed are nothing', async () => {
  const [a, end] = [chunk('a'), END].map((each) => JSON.stringify(each)) as [string, string];
  await using asking = await asker([lines(['\n\r\n', a, '\n\n', end])]);
  expect(output(await asking.stream())).toMatchObject([{ content: [{ text: 'a' }] }]);
});

test('NDJSON under another name is read as it is', async () => {
  await using asking = await asker([
    { ...streamed([chunk('a'), END]), contentType: 'application/json' },
  ]);
  expect(output(await asking.stream())).toHaveLength(1);
});

/** The types of the events until the error, and the error. */
async function failing(asking: Asker): Promise<[string[], unknown]> {
  const seen: string[] = [];
  try {
    for await (const event of asking.events()) {
      seen.push(event.type);
    }
  } catch (error) {
    return [seen, error];
  }
  throw new Error('the stream did not fail');
}

test('an error line ends the stream', async () => {
  const line = { error: 'an error was encountered while running the model' };
  await using asking = await asker([streamed([chunk('a'), line, chunk('b'), END])]);
  const [seen, error] = await failing(asking);
  expect(error).toMatchObject({
    name: 'OllamaError',
    code: 'ollama-stream-failed',
    status: undefined,
    body: line,
    message: line.error,
  });
  expect(seen).toEqual(['response_started', 'model', 'output_text_delta']);
});

test.each([
  ['nothing', []],
  ['text', [chunk('a')]],
  ['a reason', [{ ...chunk('a'), done_reason: 'stop' }]],
])('a stream that just ends after %s is an error', async (_name, chunks) => {
  await using asking = await asker([streamed(chunks)]);
  const [seen, error] = await failing(asking);
  expect(error).toMatchObject({ code: 'ollama-stream-ended', retryable: true });
  expect(seen).not.toContain('response_done');
});

test('a line that is no JSON is an error', async () => {
  await using asking = await asker([lines(['<html>\n'])]);
  const [seen, error] = await failing(asking);
  expect(error).toMatchObject({ code: 'ollama-stream-failed', body: '<html>' });
  expect(seen).toEqual([]);
});

test('a server that only loads the model has not answered', async () => {
  await using asking = await asker([streamed([{ ...chunk(), done: true, done_reason: 'load' }])]);
  expect((await failing(asking))[1]).toMatchObject({ code: 'ollama-not-run' });
});

test('leaving the stream closes the connection', async () => {
  await using asking = await asker([{ ...streamed([chunk('a')]), after: 'hang' }]);
  for await (const event of asking.events()) {
    if (event.type === 'output_text_delta') {
      break;
    }
  }
  await asking.server.closed;
});

test.each([false, true])('aborting closes the connection (stream: %s)', async (stream) => {
  await using asking = await asker([{ pieces: [new Uint8Array([32])], after: 'hang' }]);
  const controller = new AbortController();
  const { signal } = controller;
  const answer = stream ? asking.stream({ signal }) : asking.ask({ signal });
  setTimeout(() => controller.abort(new Error('enough')), 50);
  await expect(answer).rejects.toThrow('enough');
  await asking.server.closed;
});

test('an aborted signal sends nothing', async () => {
  await using asking = await asker([]);
  const signal = AbortSignal.abort();
  await expect(asking.ask({ signal })).rejects.toMatchObject({ name: 'AbortError' });
  expect(asking.server.sent).toEqual([]);
});

test('a done stream that is not closed is cut', async () => {
  await using asking = await asker([{ ...streamed([chunk('a'), END]), after: 'hang' }]);
  expect(output(await asking.stream())).toHaveLength(1);
  await asking.server.closed;
});

test('a connection is used again', async () => {
  await using asking = await asker([
    streamed([chunk('a'), END]),
    whole('b'),
    streamed([chunk('c'), END]),
  ]);
  for (const ask of [() => asking.stream(), () => asking.ask(), () => asking.stream()]) {
    await ask();
    await new Promise((resolve) => setTimeout(resolve, 30)); // fetch frees it a little later
  }
  expect(asking.server.connections()).toBe(1);
});

test.each([undefined, 5])('a streamed run goes through its tools (split: %s)', async (split) => {
  const ran: string[] = [];
  const weather = functionTool({
    name: 'weather',
    description: 'The weather in a city.',
    parameters: z.object({ city: z.string() }),
    execute: ({ city }) => {
      ran.push(city);
      return `${city} is sunny`;
    },
  });
  const calls = ['Oslo', 'Oslo', 'Rome'].map((city) => called('weather', { city }));
  await using server = await ollamaServer(
    streamed(
      [
        chunk('', { thinking: 'Hm' }),
        ...calls.map((call) => chunk('', { tool_calls: [call] })),
        END,
      ],
      split,
    ),
    streamed([chunk('Sun'), chunk('ny'), END], split),
  );
  const modelProvider = new OllamaModelProvider({ baseUrl: server.url });
  const agent = new Agent({ name: 'Weather', model: 'llama3', tools: [weather] });
  const result = await new Runner({ modelProvider }).run(agent, 'Hi', { stream: true });
  const names: string[] = [];
  for await (const event of result) {
    if (event.type === 'run_item_stream_event') {
      names.push(event.name);
    }
  }
  expect(result.finalOutput).toBe('Sunny');
  expect(ran).toEqual(['Oslo', 'Oslo', 'Rome']);
  expect(names[0]).toBe('reasoning_item_created');
  const [, , ...rest] = server.sent[1]?.body.messages ?? [];
  expect(rest).toMatchObject([
    { role: 'tool', content: 'Oslo is sunny', tool_name: 'weather' },
    { role: 'tool', content: 'Oslo is sunny', tool_name: 'weather' },
    { role: 'tool', content: 'Rome is sunny', tool_name: 'weather' },
  ]);
  expect(server.sent[1]?.body.messages[1]).toMatchObject({ role: 'assistant', thinking: 'Hm' });
});

test('the usage of a streamed run counts', async () => {
  await using server = await ollamaServer(streamed([chunk('a'), END]));
  const modelProvider = new OllamaModelProvider({ baseUrl: server.url });
  const agent = new Agent({
    name: 'A',
    model: 'llama3',
    modelSettings: { preserveRawUsage: true },
  });
  const result = await new Runner({ modelProvider }).run(agent, 'Hi', { stream: true });
  await result.completed;
  expect(result.state.usage).toMatchObject({ requests: 1, inputTokens: 5, outputTokens: 3 });
  expect(result.rawResponses[0]?.rawUsage).toEqual({ prompt_eval_count: 5, eval_count: 3 });
});
