/** Answers of Ollama, whole, against a server on the wire. */
import { ModelBehaviorError } from '@openai/agents';
import { expect, test } from 'vitest';
import { OllamaError } from '../../src/errors.js';
import { asker, output } from './ask.js';
import { called, DONE, json, whole } from './server.js';

const MINTED = (number: number) => `call_${number.toString(16).padStart(24, '0')}`;

const message = (text: string, logprobs: unknown[] = []) => ({
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text, providerData: { annotations: [], logprobs } }],
});

const call = (callId: string, name: string, args: string) => ({
  type: 'function_call',
  callId,
  name,
  arguments: args,
});

test('text and usage', async () => {
  await using asking = await asker([whole('Hello')]);
  const answer = await asking.ask();
  expect(output(answer)).toEqual([message('Hello')]);
  expect(answer.usage).toMatchObject({
    requests: 1,
    inputTokens: 5,
    outputTokens: 3,
    totalTokens: 8,
    inputTokensDetails: [{ cached_tokens: 0, cache_write_tokens: 0 }],
    outputTokensDetails: [{ reasoning_tokens: 0 }],
  });
  expect(answer.responseId).toBeUndefined();
  expect(answer.rawUsage).toBeUndefined();
});

test('absent counts are zero and cached ones are kept', async () => {
  await using asking = await asker([
    whole('a', { done: { done: true, eval_count: 2 } }),
    whole('b', { done: { ...DONE, prompt_eval_cached_count: 4 } }),
  ]);
  expect((await asking.ask()).usage).toMatchObject({ inputTokens: 0, totalTokens: 2 });
  expect((await asking.ask()).usage.inputTokensDetails).toEqual([
    { cached_tokens: 4, cache_write_tokens: 0 },
  ]);
});

test('raw usage is what the server said', async () => {
  await using asking = await asker([whole('a', { done: { ...DONE, eval_duration: 1234567890 } })]);
  const answer = await asking.ask({ modelSettings: { preserveRawUsage: true } });
  expect(answer.rawUsage).toEqual({
    prompt_eval_count: 5,
    eval_count: 3,
    eval_duration: 1234567890,
  });
});

test('reasoning, then message, then calls', async () => {
  const tool_calls = [called('add', { a: 1 }, { id: 'call_abcdefgh' })];
  await using asking = await asker([whole('Adding', { thinking: 'hm', tool_calls })]);
  const answer = await asking.ask();
  expect(output(answer)).toEqual([
    { type: 'reasoning', content: [], rawContent: [{ type: 'reasoning_text', text: 'hm' }] },
    message('Adding'),
    call('call_abcdefgh', 'add', '{"a":1}'),
  ]);
  // The wire form of reasoning, which the portable state and openai-agents read.
  expect(answer.output[0]?.providerData).toMatchObject({
    content: [{ type: 'reasoning_text', text: 'hm' }],
  });
});

test.each(['', ' ', '\n\n'])('white space %j before calls is no message', async (content) => {
  await using asking = await asker([whole(content, { tool_calls: [called('now', {})] })]);
  expect(output(await asking.ask())).toEqual([call(MINTED(1), 'now', '{}')]);
});

test('white space alone is a message', async () => {
  await using asking = await asker([whole(' ')]);
  expect(output(await asking.ask())).toEqual([message(' ')]);
});

test('inline thoughts stay in the text', async () => {
  const text = 'Use <think>x</think> tags';
  await using asking = await asker([whole(text)]);
  expect(output(await asking.ask())).toEqual([message(text)]);
});

test.each([
  [
    '{"city":"Zürich","nested":{"a":[1,{"b":null}]}}',
    '{"city":"Zürich","nested":{"a":[1,{"b":null}]}}',
  ],
  ['{ "id" : 12345678901234567890 }', '{"id":12345678901234567890}'],
  [
    '{"a":[-9007199254740993],"b":0.12345678901234567,"c":"12345678901234567890"}',
    '{"a":[-9007199254740993],"b":0.12345678901234566,"c":"12345678901234567890"}',
  ],
  ['{"":""}', '{"":""}'],
  ['null', '{}'],
  ['"{\\"a\\": 12345678901234567890}"', '{"a":12345678901234567890}'],
  ['"text"', '{"value":"text"}'],
  ['"[1]"', '{"value":"[1]"}'],
  ['[1,2]', '{"value":[1,2]}'],
  ['7', '{"value":7}'],
])('arguments %s are compact JSON of an object', async (args, expected) => {
  const calls = `[{"function":{"name":"f","arguments":${args}}}]`;
  await using asking = await asker([
    json(`{"message":{"role":"assistant","content":"","tool_calls":${calls}},"done":true}`),
  ]);
  expect(output(await asking.ask())).toEqual([call(MINTED(1), 'f', expected)]);
});

test('missing, empty and repeated ids are made anew', async () => {
  const tool_calls = [
    called('f', {}),
    called('f', {}, { id: '' }),
    called('f', {}, { id: 'call_a' }),
    called('f', {}, { id: 'call_a' }),
  ];
  await using asking = await asker([whole('', { tool_calls })]);
  expect(output(await asking.ask())).toEqual(
    [MINTED(1), MINTED(2), 'call_a', MINTED(3)].map((id) => call(id, 'f', '{}')),
  );
});

test('an id of the history is not used again', async () => {
  const tool_calls = [called('f', {}, { id: 'call_a' })];
  await using asking = await asker([whole('', { tool_calls })]);
  const answer = await asking.ask({
    input: [
      { role: 'user', content: 'Hi' },
      { type: 'function_call', callId: 'call_a', name: 'f', arguments: '{}' },
      {
        type: 'function_call_result',
        callId: 'call_a',
        name: 'f',
        status: 'completed',
        output: 'done',
      },
    ],
  });
  expect(output(answer)).toEqual([call(MINTED(1), 'f', '{}')]);
});

test('made ids are 24 hexadecimal digits', async () => {
  await using asking = await asker([whole('', { tool_calls: [called('f', {})] })], {
    newId: undefined,
  });
  const [item] = output(await asking.ask());
  expect(item).toMatchObject({ callId: expect.stringMatching(/^call_[0-9a-f]{24}$/) });
});

test('log probabilities are on the text', async () => {
  const logprobs = [
    {
      token: 'é',
      logprob: -0.5,
      bytes: [195, 169],
      top_logprobs: [{ token: 'a', logprob: -1 }],
    },
  ];
  await using asking = await asker([whole('é', { logprobs })]);
  expect(output(await asking.ask())).toEqual([
    message('é', [
      {
        token: 'é',
        logprob: -0.5,
        bytes: [195, 169],
        top_logprobs: [{ token: 'a', logprob: -1, bytes: [97] }],
      },
    ]),
  ]);
});

test('length with text is an answer, and without is an error', async () => {
  const done = { ...DONE, done_reason: 'length' };
  await using asking = await asker([whole('Once', { done }), whole('', { thinking: 'hm', done })]);
  expect(output(await asking.ask())).toEqual([message('Once')]);
  await expect(asking.ask()).rejects.toThrow(ModelBehaviorError);
});

test.each(['load', 'unload'])('a model that was only %sed has not answered', async (reason) => {
  await using asking = await asker([whole('', { done: { done: true, done_reason: reason } })]);
  await expect(asking.ask()).rejects.toMatchObject({
    name: 'OllamaError',
    code: 'ollama-not-run',
    retryable: false,
    message: `The server only ${reason}ed the model and answered nothing.`,
  });
});

test('an answer that is not done is an error', async () => {
  await using asking = await asker([whole('Half', { done: { done: false } })]);
  const asked = asking.ask();
  await expect(asked).rejects.toBeInstanceOf(OllamaError);
  await expect(asked).rejects.toMatchObject({ code: 'ollama-stream-ended', retryable: true });
});

test('no reason with text is an answer', async () => {
  await using asking = await asker([whole('Hello', { done: { done: true } })]);
  expect(output(await asking.ask())).toEqual([message('Hello')]);
});
