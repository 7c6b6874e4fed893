/** What the server is sent: messages, tools and settings, as parsed bodies. */
import {
  Agent,
  type AgentInputItem,
  handoff,
  type ModelRequest,
  type ModelSettings,
} from '@openai/agents';
import { expect, test } from 'vitest';
import { type OllamaMessage, toMessages } from '../../src/models/ollama/messages.js';
import { buildRequest } from '../../src/models/ollama/request.js';
import { inline, toTools } from '../../src/models/ollama/tools.js';
import { asker, request, tool } from './ask.js';
import { called, whole } from './server.js';

const PNG = Buffer.from('\x89PNG\r\n', 'latin1').toString('base64');
const USER = { role: 'user', content: 'Hi' } as const;

const call = (name: string, callId: string, args = '{}') => ({
  type: 'function_call',
  name,
  callId,
  arguments: args,
});

const result = (name: string, callId: string, output: unknown) => ({
  type: 'function_call_result',
  name,
  callId,
  status: 'completed',
  output,
});

const thought = (text: string, more: object = {}) => ({
  type: 'reasoning',
  id: 'FAKE_ID',
  content: [],
  rawContent: [{ type: 'reasoning_text', text }],
  providerData: { provider_data: { model: 'llama3' } },
  ...more,
});

const image = (url: unknown) => ({ type: 'input_image', image: url, detail: 'auto' });
const part = (text: string) => ({ type: 'input_text', text });

function messages(...items: object[]): OllamaMessage[] {
  return toMessages(undefined, items as AgentInputItem[]);
}

/** Images as base64, as the client writes them. */
function imagesOf(message: OllamaMessage | undefined): string[] | undefined {
  return message?.images?.map((each) => Buffer.from(each).toString('base64'));
}

test('a bare request invents nothing', async () => {
  await using asking = await asker([whole('Hi')]);
  await asking.ask({ input: 'Hello', systemInstructions: 'Be kind' });
  expect(asking.body).toEqual({
    model: 'llama3',
    messages: [
      { role: 'system', content: 'Be kind' },
      { role: 'user', content: 'Hello' },
    ],
    stream: false,
  });
  const [sent] = asking.server.sent;
  expect(sent?.path).toBe('/api/chat');
  expect(sent?.headers).not.toHaveProperty('authorization');
});

test('developer is system, and text parts are joined', () => {
  const wire = { role: 'developer', content: [part('B'), part('C')] };
  expect(
    messages(
      { role: 'system', content: 'A' },
      { type: 'unknown', providerData: wire },
      { role: 'user', content: [part('D '), part('E')] },
    ),
  ).toEqual([
    { role: 'system', content: 'A' },
    { role: 'system', content: 'BC' },
    { role: 'user', content: 'D E' },
  ]);
});

test('an assistant turn is one message', () => {
  const said = (content: object) => ({
    role: 'assistant',
    status: 'completed',
    content: [content],
  });
  expect(
    messages(
      USER,
      thought('Hm'),
      said({ type: 'output_text', text: 'One. ' }),
      call('f', 'call_1', '{"x":1}'),
      call('g', 'call_2'),
      said({ type: 'refusal', refusal: 'No.' }),
    ),
  ).toEqual([
    USER,
    {
      role: 'assistant',
      content: 'One. No.',
      thinking: 'Hm',
      tool_calls: [
        { id: 'call_1', function: { index: 0, name: 'f', arguments: { x: 1 } } },
        { id: 'call_2', function: { index: 1, name: 'g', arguments: {} } },
      ],
    },
  ]);
});

test('outputs keep name and id when they cross', () => {
  const sent = messages(
    USER,
    call('f', 'call_1'),
    call('g', 'call_2'),
    result('g', 'call_2', { type: 'text', text: 'two' }),
    result('call_1', 'call_1', 'one'), // as an output from another language may be named
  );
  expect(sent.slice(2)).toEqual([
    { role: 'tool', content: 'two', tool_name: 'g', tool_call_id: 'call_2' },
    { role: 'tool', content: 'one', tool_name: 'f', tool_call_id: 'call_1' },
  ]);
});

test('the last call of an id names its output', () => {
  const sent = messages(
    USER,
    call('f', 'call_1'),
    result('call_1', 'call_1', 'a'),
    call('g', 'call_1'),
    result('call_1', 'call_1', 'b'),
  );
  expect(sent.flatMap((each) => each.tool_name ?? [])).toEqual(['f', 'g']);
});

test('an output whose call was left out keeps its own name', () => {
  expect(messages(USER, result('f', 'call_1', 'a')).at(-1)?.tool_name).toBe('f');
});

test('an output in parts is one message', () => {
  const output = [part('part1'), part('part2')];
  const sent = messages(USER, call('f', 'call_1'), result('f', 'call_1', output));
  expect(sent.at(-1)?.content).toBe('part1part2');
  expect(sent).toHaveLength(3);
});

test('an image of a tool goes with its message', () => {
  const url = `data:image/png;base64,${PNG}`;
  const last = (output: unknown) =>
    messages(USER, call('f', 'call_1'), result('f', 'call_1', output)).at(-1);
  const both = last([part('see'), image(url)]);
  expect([both?.content, imagesOf(both)]).toEqual(['see', [PNG]]);
  const alone = last({ type: 'image', image: { data: PNG, mediaType: 'image/png' } });
  expect([alone?.content, imagesOf(alone)]).toEqual(['[image]', [PNG]]);
});

test.each([
  ['', {}],
  ['{broken', {}],
  ['NaN', {}],
  ['[1]', { value: [1] }],
  ['"x"', { value: 'x' }],
])('arguments %j are an object', (text, args) => {
  const sent = messages(USER, call('f', 'call_1', text));
  expect(sent[1]?.tool_calls?.[0]?.function.arguments).toEqual(args);
});

test('large integers reach the wire as they are', async () => {
  await using asking = await asker([whole('Hi')]);
  const text = '{"id":12345678901234567890,"text":"12345678901234567890"}';
  await asking.ask({ input: [USER, call('f', 'call_1', text)] as AgentInputItem[] });
  expect(asking.server.sent[0]?.text).toContain(`"arguments":${text}`);
});

test('images of a message stay with it in order', () => {
  const other = Buffer.from([0xff, 0xd8]).toString('base64');
  const [message] = messages({
    role: 'user',
    content: [
      part('a'),
      image(`data:image/png;base64,${PNG}`),
      part('b'),
      image(`data:image/jpeg;base64,${other.slice(0, 2)}\n${other.slice(2)}`),
    ],
  });
  expect(message?.content).toBe('ab');
  expect(imagesOf(message)).toEqual([PNG, other]);
});

test('images are bare base64 on the wire', async () => {
  await using asking = await asker([whole('Hi')]);
  const content = [part('see'), image(`data:image/png;base64,${PNG}`)];
  await asking.ask({ input: [{ role: 'user', content }] as AgentInputItem[] });
  expect(asking.body.messages).toEqual([{ role: 'user', content: 'see', images: [PNG] }]);
});

const user = (content: object) => ({ role: 'user', content: [content] });

test.each<[string, object]>([
  ['an image at a URL', user(image('https://example.com/a.png'))],
  ['an image at a path', user(image('/etc/hostname'))],
  ['an image in bare base64', user(image(PNG))],
  ['text for an image', user(image('data:text/plain;base64,aGk='))],
  ['an image that is not base64', user(image('data:image/png,plain'))],
  ['an image in broken base64', user(image('data:image/png;base64,a'))],
  ['an image by file id', user(image({ id: 'file_1' }))],
  ['a file', user({ type: 'input_file', file: 'data:text/plain;base64,aGk=' })],
  ['audio', user({ type: 'audio', audio: 'aGk=' })],
  ['another role', { type: 'unknown', providerData: { role: 'critic', content: 'Hm' } }],
  ['a reference', { type: 'unknown', providerData: { type: 'item_reference', id: 'msg_1' } }],
  ['compaction', { type: 'compaction', encrypted_content: 'x' }],
  [
    'a hosted call',
    {
      type: 'hosted_tool_call',
      id: 'ws_1',
      name: 'web_search_call',
      status: 'completed',
      providerData: { type: 'web_search_call' },
    },
  ],
  ['an output without its call', result('call_9', 'call_9', 'x')],
])('%s is refused before any request', async (_name, item) => {
  await using asking = await asker([]);
  const asked = asking.ask({ input: [USER, item] as AgentInputItem[] });
  await expect(asked).rejects.toMatchObject({ name: 'ModelError', code: 'unsupported-input' });
  await expect(asked).rejects.toThrow('input item 1');
  expect(asking.server.sent).toEqual([]);
});

test.each([
  [[]],
  [[{ role: 'system', content: 'Be kind' }]],
])('a request without a question is refused', (items) => {
  expect(() => toMessages('Be kind', items as AgentInputItem[])).toThrow('no message of a user');
});

test('thinking goes back with the outputs of its turn only', () => {
  const turn = [thought('Hm'), call('f', 'call_1'), result('f', 'call_1', '1')];
  expect(messages(USER, ...turn)[1]?.thinking).toBe('Hm');
  expect(messages(USER, ...turn, { role: 'user', content: 'And?' })[1]).not.toHaveProperty(
    'thinking',
  );
});

test('thinking that came over the wire goes back too', () => {
  const content = [{ type: 'reasoning_text', text: 'Hm' }];
  const providerData = { content, provider_data: { model: 'llama3' } };
  const item = thought('', { rawContent: undefined, providerData });
  expect(messages(USER, item, call('f', 'call_1'))[1]?.thinking).toBe('Hm');
});

test.each([
  ['without a model', { providerData: undefined }],
  ['sealed', { providerData: { provider_data: { model: 'gpt-x' }, encrypted_content: 'sealed' } }],
  ['a summary', { rawContent: undefined, content: [part('Hm')] }],
])('reasoning of another service is not sent: %s', (_name, foreign) => {
  expect(messages(USER, thought('Hm', foreign), call('f', 'call_1'))[1]).not.toHaveProperty(
    'thinking',
  );
});

test('reasoning of this model comes back to it', async () => {
  const tool_calls = [called('f', {}, { id: 'call_1' })];
  await using asking = await asker([whole('', { thinking: 'Hm', tool_calls }), whole('Done')]);
  const { output } = await asking.ask();
  await asking.ask({
    input: [USER, ...output, result('f', 'call_1', '1')] as AgentInputItem[],
  });
  expect(asking.bodies[1].messages[1]).toMatchObject({ thinking: 'Hm' });
});

test('tools and handoffs are functions', () => {
  const bob = handoff(new Agent({ name: 'Bob' }));
  const { toolName, toolDescription, inputJsonSchema, strictJsonSchema } = bob;
  const properties = { x: { type: 'integer' } };
  const [f, transfer] = toTools(
    [tool('f', { properties }, 'Counts')],
    [{ toolName, toolDescription, inputJsonSchema, strictJsonSchema }],
  );
  expect(f).toMatchObject({
    type: 'function',
    function: { name: 'f', description: 'Counts', parameters: { type: 'object', properties } },
  });
  expect(transfer?.function).toMatchObject({
    name: 'transfer_to_Bob',
    parameters: { type: 'object', properties: {} },
  });
});

test('a hosted tool is refused', () => {
  const hosted = { type: 'hosted_tool' as const, name: 'web_search', providerData: {} };
  expect(() => toTools([hosted], [])).toThrow(
    expect.objectContaining({
      code: 'unsupported-tool',
      message: expect.stringContaining('web_search'),
    }),
  );
});

test('one name for two is refused', () => {
  const bob = {
    toolName: 'bob',
    toolDescription: '',
    inputJsonSchema: {},
    strictJsonSchema: false,
  };
  expect(() => toTools([tool('bob')], [bob as never])).toThrow(
    expect.objectContaining({ code: 'tool-conflict' }),
  );
});

test('references are put in place', () => {
  const place = { type: 'object', properties: { city: { type: 'string' } } };
  expect(
    inline({
      type: 'object',
      properties: {
        place: { $ref: '#/$defs/Place', description: 'Where' },
        kind: { oneOf: [{ const: 'a' }, { type: 'null' }] },
        many: { type: 'array', items: { $ref: '#/$defs/Place' } },
        const: { type: 'string', default: { $ref: 'kept' } },
      },
      $defs: {
        Place: { type: 'object', properties: { city: { $ref: '#/$defs/a~1b' } } },
        'a/b': { type: 'string' },
      },
    }),
  ).toEqual({
    type: 'object',
    properties: {
      place: { ...place, description: 'Where' },
      kind: { anyOf: [{ enum: ['a'] }, { type: 'null' }] },
      many: { type: 'array', items: place },
      const: { type: 'string', default: { $ref: 'kept' } },
    },
  });
});

test('a reference into itself ends', () => {
  const node = { type: 'object', properties: { next: { $ref: '#/$defs/Node' } } };
  expect(inline({ $ref: '#/$defs/Node', $defs: { Node: node } })).toEqual({
    type: 'object',
    properties: { next: { type: 'object' } },
  });
});

test('nested schemas reach the wire', async () => {
  const parameters = {
    type: 'object',
    properties: {
      loc: { type: 'object', properties: { lat: { type: 'number' } } },
      unit: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    },
    required: [],
    additionalProperties: false,
  };
  await using asking = await asker([whole('Hi')]);
  await asking.ask({ tools: [tool('f', parameters)] });
  expect(asking.body.tools[0].function.parameters).toEqual(parameters);
});

function settingsOf(modelSettings: ModelSettings, parts: Partial<ModelRequest> = {}) {
  const options = { structuredOutput: 'auto' as const, cloud: false };
  const { attempts } = buildRequest('llama3', request({ modelSettings, ...parts }), options);
  const [{ model: _model, messages: _messages, ...rest }] = attempts;
  return rest;
}

test('every setting is an option, zero too', () => {
  expect(
    settingsOf({
      temperature: 0,
      topP: 0.5,
      frequencyPenalty: 0,
      presencePenalty: 0.25,
      maxTokens: 7,
      providerData: { seed: 0, stop: ['.'] },
    }),
  ).toEqual({
    options: {
      temperature: 0,
      top_p: 0.5,
      frequency_penalty: 0,
      presence_penalty: 0.25,
      num_predict: 7,
      seed: 0,
      stop: ['.'],
    },
  });
});

test.each([
  ['none', false],
  ['minimal', 'low'],
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high'],
  ['xhigh', 'max'],
  ['max', 'max'],
] as const)('effort %s is a level of thinking', (effort, think) => {
  expect(settingsOf({ reasoning: { effort } })).toEqual({ think });
});

test('no effort leaves thinking to the model', () => {
  expect(settingsOf({ reasoning: {} })).toEqual({});
});

test.each([
  ['auto', true],
  ['disabled', false],
] as const)('truncation %s', (truncation, truncate) => {
  expect(settingsOf({ truncation })).toEqual({ truncate });
});

test('asking for top log probabilities asks for them', () => {
  const expected = { logprobs: true, top_logprobs: 2 };
  expect(settingsOf({ providerData: { top_logprobs: 2 } })).toEqual(expected);
});

test('explicit settings win', () => {
  expect(
    settingsOf({
      temperature: 1,
      maxTokens: 5,
      reasoning: { effort: 'low' },
      providerData: {
        options: { num_predict: 9 },
        think: true,
        keep_alive: '5m',
        extra_body: { temperature: 0.5, num_ctx: 8192, format: 'json' },
      },
    }),
  ).toEqual({
    options: { temperature: 0.5, num_predict: 9, num_ctx: 8192 },
    think: true,
    keep_alive: '5m',
    format: 'json',
  });
});

test.each<ModelSettings>([
  { providerData: { num_ctz: 1 } },
  { providerData: { extraBody: { messages: [] } } },
  { providerData: { stream: true } },
  { providerData: { structuredOutput: 'never' } },
  { toolChoice: 'absent' },
])('a setting without a place is refused: %j', (settings) => {
  expect(() => settingsOf(settings)).toThrow(
    expect.objectContaining({ code: 'unsupported-setting' }),
  );
});

test('settings of other services are left out', () => {
  expect(
    settingsOf({
      store: true,
      text: { verbosity: 'low' },
      promptCacheRetention: '24h',
      contextManagement: [{ type: 'compaction' }],
      parallelToolCalls: true,
    }),
  ).toEqual({});
});

test('extra headers are headers, and an extra query a query', async () => {
  await using asking = await asker([whole('Hi')]);
  const providerData = { extra_headers: { 'X-Trace': '1', 'X-Not': null }, extraQuery: { a: 1 } };
  await asking.ask({ modelSettings: { providerData } });
  const [sent] = asking.server.sent;
  expect(sent?.headers).toMatchObject({ 'x-trace': '1' });
  expect(sent?.headers).not.toHaveProperty('x-not');
  expect(sent?.path).toBe('/api/chat?a=1');
  expect(Object.keys(sent?.body).sort()).toEqual(['messages', 'model', 'stream']);
});

test('tool choice', () => {
  const tools = [tool('f'), tool('g')];
  const names = (toolChoice?: string) => {
    const sent = settingsOf({ toolChoice }, { tools }).tools as { function: { name: string } }[];
    return sent?.map((each) => each.function.name);
  };
  expect([names(), names('auto'), names('required')]).toEqual(Array(3).fill(['f', 'g']));
  expect(names('none')).toBeUndefined();
  expect(names('g')).toEqual(['g']);
});

test('what cannot be honoured is said once', async () => {
  await using asking = await asker([whole('a'), whole('b')]);
  for (let times = 0; times < 2; times += 1) {
    await asking.ask({
      modelSettings: { toolChoice: 'required', parallelToolCalls: false },
      tools: [tool('f')],
      previousResponseId: 'resp_1',
      conversationId: 'conv_1',
      prompt: { promptId: 'pmpt_1' },
    });
  }
  expect(asking.warnings.map((warning) => warning.split(/[ :]/)[0])).toEqual([
    'toolChoice',
    'parallelToolCalls',
    'previousResponseId',
    'conversationId',
    'prompt',
  ]);
});
