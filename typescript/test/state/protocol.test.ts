/** Items both ways, against the SDK's own converter. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deepEqual, isObj, list, type Obj, obj } from '../../src/state/json.js';
import { approvalRequest, toProtocol, toWire } from '../../src/state/protocol/items.js';
import { type Converter, converter } from './converter.js';
import { corpus, hasExternal } from './material.js';

let sdk: Converter;
beforeAll(async () => {
  sdk = await converter();
});
afterAll(async () => {
  await sdk[Symbol.asyncDispose]();
});

const plain = (value: unknown): Obj => JSON.parse(JSON.stringify(value));

/** One item of each kind, as the service sends it. */
const WIRE: Record<string, Obj> = {
  message: {
    type: 'message',
    id: 'msg_1',
    role: 'assistant',
    status: 'completed',
    phase: 'final_answer',
    content: [
      { type: 'output_text', text: 'hi', annotations: [{ type: 'url_citation', url: 'u' }] },
      { type: 'refusal', refusal: 'no' },
    ],
    extra: { kept: true },
  },
  'function call': {
    type: 'function_call',
    id: 'fc_1',
    call_id: 'call_1',
    name: 'find',
    namespace: 'crm',
    arguments: '{"a":1}',
    status: 'completed',
    caller: { type: 'program', caller_id: 'prog_1' },
    created_by: 'someone',
  },
  reasoning: {
    type: 'reasoning',
    id: 'rs_1',
    summary: [{ type: 'summary_text', text: 'why' }],
    content: [{ type: 'reasoning_text', text: 'raw' }],
    encrypted_content: 'ENC',
    status: 'completed',
  },
  'computer call': {
    type: 'computer_call',
    id: 'cu_1',
    call_id: 'call_c',
    status: 'completed',
    action: { type: 'click', x: 1, y: 2, button: 'left' },
    pending_safety_checks: [{ id: 's', code: 'c', message: 'm' }],
  },
  'shell call': {
    type: 'shell_call',
    id: 'sh_1',
    call_id: 'call_s',
    status: 'completed',
    action: { commands: ['ls'], timeout_ms: 10, max_output_length: 20 },
    environment: { type: 'local' },
  },
  'shell output': {
    type: 'shell_call_output',
    id: 'sho_1',
    call_id: 'call_s',
    max_output_length: 20,
    output: [
      { stdout: 'a', stderr: '', outcome: { type: 'exit', exit_code: 3 } },
      { stdout: '', stderr: 'b', outcome: { type: 'timeout' } },
    ],
  },
  'patch call': {
    type: 'apply_patch_call',
    id: 'ap_1',
    call_id: 'call_p',
    status: 'completed',
    operation: { type: 'update_file', path: 'a', diff: '@@', move_to: 'b' },
  },
  'patch output': {
    type: 'apply_patch_call_output',
    id: 'apo_1',
    call_id: 'call_p',
    status: 'failed',
    output: 'no',
  },
  'web search': {
    type: 'web_search_call',
    id: 'ws_1',
    status: 'completed',
    action: { type: 'search', query: 'q' },
  },
  'file search': {
    type: 'file_search_call',
    id: 'fs_1',
    status: 'completed',
    queries: ['q'],
    results: [{ file_id: 'f', attributes: { someKey: 1 } }],
  },
  'code interpreter': {
    type: 'code_interpreter_call',
    id: 'ci_1',
    status: 'completed',
    code: '1',
    container_id: 'cntr',
    outputs: [{ type: 'logs', logs: '1' }],
  },
  'image generation': {
    type: 'image_generation_call',
    id: 'ig_1',
    status: 'completed',
    result: 'AA',
  },
  'MCP tools': {
    type: 'mcp_list_tools',
    id: 'mcpl_1',
    server_label: 'srv',
    tools: [{ name: 'find', input_schema: { properties: { inputQuery: {} } } }],
  },
  'MCP request': {
    type: 'mcp_approval_request',
    id: 'mcpr_1',
    server_label: 'srv',
    name: 'find',
    arguments: '{}',
  },
  'MCP call': {
    type: 'mcp_call',
    id: 'mcp_1',
    server_label: 'srv',
    name: 'find',
    arguments: '{}',
    output: 'found',
    error: null,
  },
  program: { type: 'program', id: 'p_1', call_id: 'prog_1', code: 'x', fingerprint: 'f' },
  'program output': {
    type: 'program_output',
    id: 'po_1',
    call_id: 'prog_1',
    result: 'ok',
    status: 'completed',
    extra: 1,
  },
  compaction: { type: 'compaction', id: 'cmp_1', encrypted_content: 'ENC', created_by: 'x' },
  'tool search call': {
    type: 'tool_search_call',
    id: 'tsc_1',
    status: 'completed',
    arguments: { paths: ['crm'] },
    call_id: null,
    execution: 'server',
  },
  'tool search output': {
    type: 'tool_search_output',
    id: 'tso_1',
    status: 'completed',
    call_id: null,
    execution: 'server',
    tools: [
      {
        type: 'namespace',
        name: 'crm',
        tools: [
          {
            type: 'function',
            name: 'find',
            defer_loading: true,
            output_schema: { type: 'object' },
          },
          { type: 'tool_reference', function_name: 'other' },
        ],
      },
    ],
  },
  'item reference': { type: 'item_reference', id: 'msg_0' },
  'custom tool call': {
    type: 'custom_tool_call',
    id: 'ctc_1',
    call_id: 'call_x',
    name: 'run',
    input: 'print(1)',
  },
};

/** Keys that are known to differ from `convertToOutputItem`, and why. */
const PROTOCOL_DIFFERENCES: Record<string, string[]> = {
  // The SDK's runner writes outputs without providerData, its converter with the bare type.
  apply_patch_call_output: ['providerData'],
  shell_call_output: ['providerData', 'output', 'status'],
  // As the runner writes it: text as {type: "text"}, the tool's name from its call.
  function_call_output: ['providerData', 'output', 'name', 'namespace', 'status', 'type', 'callId'],
  // The converter has no case for these; the runner writes them so.
  mcp_approval_response: ['type', 'name', 'status', 'providerData'],
  computer_call_output: ['type', 'providerData', 'callId', 'output'],
  // Null is no status for the SDK's own schema.
  function_call: ['status'],
  message: ['status'],
};

function differences(ours: Obj, theirs: Obj): string[] {
  return [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].filter(
    (key) => !deepEqual(ours[key], theirs[key]),
  );
}

describe('from the wire', () => {
  test.each(Object.entries(WIRE))('%s, as the SDK converts it', async (_name, wire) => {
    const theirs = await sdk.toProtocol(wire);
    const ours = plain(toProtocol(wire));
    const type = String(wire.type);
    const allowed = ours.providerData === undefined ? (PROTOCOL_DIFFERENCES[type] ?? []) : [];
    expect(differences(ours, obj(theirs)).filter((key) => !allowed.includes(key))).toEqual([]);
  });

  test.runIf(hasExternal)('item shapes of the Python SDK', async () => {
    const odd: unknown[] = [];
    for (const { item, level } of corpus('python-items.jsonl')) {
      const wire = obj(item);
      const theirs = level === 'raw' && wire.type !== undefined ? await sdk.toProtocol(wire) : wire;
      if (theirs === wire || theirs instanceof Error) {
        continue;
      }
      const allowed = PROTOCOL_DIFFERENCES[String(wire.type)] ?? [];
      const found = differences(plain(toProtocol(wire)), theirs);
      const left = found.filter((key) => !allowed.includes(key));
      if (left.length > 0) {
        odd.push({ wire, left });
      }
    }
    expect(odd).toEqual([]);
  });

  test('what the SDK cannot convert stays whole in an unknown item', () => {
    for (const wire of [
      { type: 'apply_patch_call', call_id: 'c' },
      { type: 'computer_call', call_id: 'c', action: { type: 'dance' } },
      { type: 'computer_call_output', call_id: 'c', output: { file_id: 'f' } },
      { role: 'developer', content: 'be brief' },
      { role: 'system', content: [{ type: 'input_text', text: 'a' }] },
      { role: 'user', content: [{ type: 'input_video' }] },
      { type: 'constructor', id: 'x' },
      { type: 'compaction' },
    ]) {
      const item = toProtocol(wire);
      expect(item).toMatchObject({ type: 'unknown', providerData: wire });
      expect(toWire(item)).toEqual(wire);
    }
  });

  test('a shell output has no status on the wire', () => {
    const wire = { type: 'shell_call_output', call_id: 'c', output: [] };
    expect(toWire(toProtocol({ ...wire, status: 'completed' }))).toEqual(wire);
  });

  test('a function result takes its name from the call, or else its id', () => {
    const wire = { type: 'function_call_output', call_id: 'call_1', output: 'x' };
    const calls = { get: () => ({ name: 'find', namespace: 'crm' }) };
    expect(toProtocol(wire, { calls })).toMatchObject({ name: 'find', namespace: 'crm' });
    expect(toProtocol(wire)).toMatchObject({ name: 'call_1', status: 'completed' });
    expect(toProtocol({ ...wire, status: 'incomplete' })).toMatchObject({ status: 'incomplete' });
  });

  test('null never becomes a value', () => {
    const wire = { type: 'function_call', id: null, call_id: 'c', name: 'n', arguments: '{}' };
    const item = toProtocol({ ...wire, status: null, namespace: null, caller: null });
    for (const key of ['id', 'status', 'namespace', 'caller']) {
      expect(item).not.toHaveProperty(key);
    }
  });

  test('an approval request waits under the name of its tool', () => {
    expect(approvalRequest(WIRE['MCP request'] ?? {})).toMatchObject({
      type: 'hosted_tool_call',
      name: 'find',
      status: 'in_progress',
      id: 'mcpr_1',
    });
  });
});

/** Keys of a wire item that `getInputItems` leaves out, and the document keeps. */
const WIRE_EXTRAS: Record<string, string[]> = {
  computer_call: ['pending_safety_checks'],
  computer_call_output: ['acknowledged_safety_checks'],
  compaction: ['created_by'],
  mcp_call: ['output'],
  mcp_approval_response: ['id'],
  mcp_approval_request: ['id', 'name', 'arguments', 'server_label'],
  image_generation_call: ['result'],
};

/** Keys that `getInputItems` makes up, or changes on the way to the service. */
function replayed(type: unknown, key: string, theirs: unknown, ours: Obj): boolean {
  switch (key) {
    case 'status':
      // Replayed as completed or in progress where there is none; an output has none in a document.
      return type === 'function_call_output' || ours.status === undefined;
    case 'action':
      // The first of a batch, repeated.
      return type === 'computer_call' && deepEqual(theirs, list(ours.actions)[0]);
    case 'result':
      return type === 'image_generation_call' && theirs === null;
    case 'outputs':
      return type === 'code_interpreter_call' && list(theirs).length === 0;
    case 'id':
      // A placeholder is no fact; an old request is known by the id of its item.
      return theirs === 'FAKE_ID' || (type === 'mcp_approval_request' && ours.item_id === ours.id);
    default:
      return false;
  }
}

/** Objects, but no lists, with the keys the SDK would give them on replay. */
function snaked(value: unknown): unknown {
  return isObj(value)
    ? Object.fromEntries(
        Object.entries(value).map(([key, entry]) => [
          key.replace(/([A-Z])/g, '_$1').toLowerCase(),
          snaked(entry),
        ]),
      )
    : value;
}

function wireDifferences(item: Obj, theirs: Obj): string[] {
  const ours = plain(toWire(item));
  const type = ours.type;
  const extra = [
    ...(WIRE_EXTRAS[String(type)] ?? []),
    ...Object.keys(obj(snaked(item.providerData))),
  ];
  return differences(obj(snaked(ours)), obj(snaked(theirs))).filter((key) =>
    theirs[key] === undefined ? !extra.includes(key) : !replayed(type, key, theirs[key], ours),
  );
}

describe('to the wire', () => {
  test.each(Object.entries(WIRE))('%s, there and back', (_name, wire) => {
    expect(plain(toWire(toProtocol(wire)))).toEqual(wire);
  });

  test.each(Object.entries(WIRE))('%s, as the SDK sends it', async (_name, wire) => {
    const item = toProtocol(wire);
    expect(wireDifferences(item, obj(await sdk.toWire(item)))).toEqual([]);
  });

  test.each<[string, Obj, Obj]>([
    [
      'user parts',
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'a', promptCacheBreakpoint: { mode: 'explicit' } },
          { type: 'input_image', image: { id: 'f' }, detail: 'high' },
          { type: 'input_image', image: 'https://x/y.png' },
          { type: 'input_file', file: 'data:text/plain;base64,AA', filename: 'a.txt' },
          { type: 'input_file', file: { url: 'https://x/a.pdf' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'a', prompt_cache_breakpoint: { mode: 'explicit' } },
          { type: 'input_image', file_id: 'f', detail: 'high' },
          { type: 'input_image', image_url: 'https://x/y.png', detail: 'auto' },
          { type: 'input_file', file_data: 'data:text/plain;base64,AA', filename: 'a.txt' },
          { type: 'input_file', file_url: 'https://x/a.pdf' },
        ],
      },
    ],
    [
      'an image as older tools returned it',
      {
        type: 'function_call_result',
        callId: 'c',
        name: 'n',
        status: 'completed',
        output: { type: 'image', image: { data: 'AA', mediaType: 'image/png' } },
      },
      {
        type: 'function_call_output',
        call_id: 'c',
        output: [{ type: 'input_image', image_url: 'data:image/png;base64,AA' }],
      },
    ],
    [
      'a placeholder id',
      { type: 'function_call', id: 'FAKE_ID', callId: 'c', name: 'n', arguments: '{}' },
      { type: 'function_call', call_id: 'c', name: 'n', arguments: '{}' },
    ],
  ])('%s', async (_name, item, wire) => {
    expect(plain(toWire(item))).toEqual(wire);
    expect(wireDifferences(item, obj(await sdk.toWire(item)))).toEqual([]);
  });

  test.runIf(hasExternal)('item shapes of the TypeScript SDK', async () => {
    const odd: unknown[] = [];
    for (const { item, level } of corpus('typescript-items.jsonl')) {
      const theirs = level === 'raw' ? await sdk.toWire(obj(item)) : undefined;
      if (theirs === undefined || theirs instanceof Error) {
        continue;
      }
      const found = wireDifferences(obj(item), theirs);
      if (found.length > 0) {
        odd.push({ item, theirs, found });
      }
    }
    expect(odd).toEqual([]);
  });
});
