/** Output schemas: as a format, as a prompt, and asked for once more. */
import { Agent, ModelBehaviorError, type ModelRequest } from '@openai/agents';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { consumeResult, OllamaModelProvider, runAgent } from '../../src/index.js';
import { Asker, asker, output, response, tool } from './ask.js';
import { called, chunk, DONE, ollamaServer, streamed, whole } from './server.js';

const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string' } },
  required: ['name'],
  additionalProperties: false,
};
const OUTPUT: ModelRequest['outputType'] = {
  type: 'json_schema',
  name: 'City',
  strict: true,
  schema: SCHEMA as never,
};
const OSLO = '{"name":"Oslo"}';
const END = { ...chunk(), ...DONE };

function isPrompted(body: { messages: { role: string; content: string }[] }): boolean {
  const [first] = body.messages;
  return first?.role === 'system' && first.content.endsWith(JSON.stringify(SCHEMA));
}

test('a schema is the format', async () => {
  await using asking = await asker([whole(OSLO)]);
  await asking.ask({ outputType: OUTPUT });
  expect(asking.body.format).toEqual(SCHEMA);
  expect(asking.body.messages).toEqual([{ role: 'user', content: 'Hi' }]);
});

test('with tools the schema is a prompt', async () => {
  await using asking = await asker([whole(OSLO)]);
  const answer = await asking.ask({
    outputType: OUTPUT,
    tools: [tool('f')],
    systemInstructions: 'Be kind',
  });
  expect(output(answer)).toMatchObject([{ content: [{ text: OSLO }] }]);
  expect(answer.usage.requests).toBe(1);
  expect(asking.body).not.toHaveProperty('format');
  expect(asking.body.messages[0].content).toMatch(/^Be kind\n\n/);
  expect(isPrompted(asking.body)).toBe(true);
});

test.each([
  ['no JSON', 'It is Oslo'],
  ['other JSON', '{"city":"Oslo"}'],
])('an answer that does not fit is asked for once more: %s', async (_name, said) => {
  await using asking = await asker([
    whole(said, { thinking: 'Hm' }),
    whole(OSLO, { thinking: '!' }),
  ]);
  const answer = await asking.ask({ outputType: OUTPUT, tools: [tool('f')] });
  expect(output(answer)).toMatchObject([
    { rawContent: [{ text: 'Hm!' }] },
    { content: [{ text: OSLO }] },
  ]);
  expect(answer.usage).toMatchObject({ requests: 2, inputTokens: 10, outputTokens: 6 });
  const [{ tools, ...one }, { format, ...two }] = asking.bodies;
  expect(tools).toHaveLength(1);
  expect(format).toEqual(SCHEMA);
  expect(one).toEqual(two);
});

test('a streamed answer that does not fit is not shown', async () => {
  await using asking = await asker([
    streamed([chunk('', { thinking: 'Hm' }), chunk('It is Oslo'), END]),
    streamed([chunk('', { thinking: '!' }), chunk(OSLO.slice(0, 5)), chunk(OSLO.slice(5)), END]),
  ]);
  const events = await asking.stream({ outputType: OUTPUT, tools: [tool('f')] });
  expect(output(events)).toMatchObject([
    { rawContent: [{ text: 'Hm!' }] },
    { content: [{ text: OSLO }] },
  ]);
  expect(response(events).usage).toMatchObject({ requests: 2, inputTokens: 10 });
  expect(events.flatMap((each) => (each.type === 'output_text_delta' ? each.delta : []))).toEqual([
    OSLO,
  ]);
});

test('images are bytes in the second request too', async () => {
  const PNG = Buffer.from('\x89PNG\r\n', 'latin1').toString('base64');
  const content = [{ type: 'input_image' as const, image: `data:image/png;base64,${PNG}` }];
  await using asking = await asker([whole('no'), whole(OSLO)]);
  await asking.ask({
    input: [{ role: 'user', content }],
    outputType: OUTPUT,
    tools: [tool('f')],
  });
  expect(asking.bodies.map(({ messages }) => messages[1].images)).toEqual([[PNG], [PNG]]);
});

test('a schema in another dialect is left to the SDK', async () => {
  const tuple = { ...SCHEMA, properties: { name: { type: 'array', items: [{}] } } };
  const outputType = { ...OUTPUT, schema: tuple } as unknown as typeof OUTPUT;
  await using asking = await asker([whole(OSLO)]);
  const answer = await asking.ask({ outputType, tools: [tool('f')] });
  expect(answer.usage.requests).toBe(1);
});

test('calls are an answer', async () => {
  const tool_calls = [called('f', {}, { id: 'call_a' })];
  await using asking = await asker([whole('Let me see', { tool_calls })]);
  const answer = await asking.ask({ outputType: OUTPUT, tools: [tool('f')] });
  expect(output(answer)).toMatchObject([{ type: 'message' }, { type: 'function_call' }]);
});

test('always sends the format with the tools', async () => {
  await using asking = await asker([whole('no')], { structuredOutput: 'always' });
  await asking.ask({ outputType: OUTPUT, tools: [tool('f')] });
  expect(asking.body.format).toEqual(SCHEMA);
  expect(asking.body.tools).toHaveLength(1);
  expect(isPrompted(asking.body)).toBe(false);
});

test('prompt never sends a format', async () => {
  await using asking = await asker([whole(`\`\`\`json\n${OSLO}\n\`\`\``)]);
  const modelSettings = { providerData: { structuredOutput: 'prompt' } };
  const answer = await asking.ask({ outputType: OUTPUT, modelSettings });
  expect(asking.body).not.toHaveProperty('format');
  expect(isPrompted(asking.body)).toBe(true);
  expect(output(answer)).toMatchObject([{ content: [{ text: OSLO }] }]);
});

test.each([
  [`\`\`\`json\n${OSLO}\n\`\`\``, OSLO],
  [`\n\`\`\`\n${OSLO}\n\`\`\`\n`, OSLO],
  [OSLO, OSLO],
  [`Here: \`\`\`json\n${OSLO}\n\`\`\``, `Here: \`\`\`json\n${OSLO}\n\`\`\``],
])('the cloud has a prompt and loses its fence: %j', async (said, text) => {
  await using server = await ollamaServer(
    whole(said),
    streamed([chunk(said.slice(0, 4)), chunk(said.slice(4)), END]),
  );
  const provider = new OllamaModelProvider({ baseUrl: server.url, structuredOutput: 'always' });
  const asking = new Asker(provider.getModel('glm-5:cloud'), server);
  const parts = { outputType: OUTPUT, tools: [tool('f')] };
  expect((await asking.ask(parts)).output).toMatchObject([{ content: [{ text }] }]);
  const events = await asking.stream(parts);
  expect(response(events).output).toMatchObject([{ content: [{ text }] }]);
  for (const body of asking.bodies) {
    expect(body).not.toHaveProperty('format');
    expect(isPrompted(body)).toBe(true);
  }
});

test('a fence without a schema stays', async () => {
  await using asking = await asker([whole('```json\n{}\n```')]);
  expect(output(await asking.ask())).toMatchObject([{ content: [{ text: '```json\n{}\n```' }] }]);
});

test.each([false, true])('an answer that never fits fails the run (stream: %s)', async (stream) => {
  const reply = stream ? streamed([chunk('{"city":1}'), END]) : whole('{"city":1}');
  await using server = await ollamaServer(reply);
  const modelProvider = new OllamaModelProvider({ baseUrl: server.url });
  const outputType = z.object({ name: z.string() });
  const agent = new Agent({ name: 'A', model: 'glm-5:cloud', outputType });
  const run = async () => consumeResult(await runAgent(agent, 'Hi', { stream, modelProvider }));
  await expect(run()).rejects.toThrow(ModelBehaviorError);
});
