import { describe, expect, test } from 'vitest';
import { toPortable } from '../../src/state/index.js';
import { fingerprint } from '../../src/state/invocations.js';
import type { Obj } from '../../src/state/json.js';
import { ledger } from '../../src/state/ledger.js';
import { hasExternal, scenarios, snapshot } from './material.js';

const agent = { name: 'a' };

function run(callId: string, output: Obj = {}): Obj[] {
  return [
    {
      type: 'tool_call_item',
      rawItem: { type: 'function_call', callId, name: 'find', arguments: '{"n":1.50}' },
      agent,
    },
    {
      type: 'tool_call_output_item',
      rawItem: { type: 'function_call_result', callId, name: 'find', ...output },
      agent,
    },
  ];
}

const none = () => undefined;

describe('fingerprint', () => {
  const of = (text: string) =>
    JSON.parse(fingerprint('f', { type: 'function_call', arguments: text })).payload.value;
  const number = (value: string) => `\u0000openai-agents-json:number:${value}`;

  test.each([
    ['1', '1e0'],
    ['2.50', '25e-1'],
    ['-0.0', '-0'],
    ['0', '0'],
    ['1e16', '1e16'],
    ['100', '1e2'],
    ['9007199254740993', '9007199254740993e0'],
  ])('%s is %s, digit by digit', (text, wanted) => {
    expect(of(`{"n":${text}}`)).toEqual({ n: number(wanted) });
  });

  test('strings stay, even those that look like tokens', () => {
    expect(of('{"s":"1","t":"a\\"2"}')).toEqual({ s: '1', t: 'a"2' });
    const token = number('1e0');
    expect(of(JSON.stringify({ s: token }))).toEqual({
      s: `\u0000openai-agents-json:string:${token}`,
    });
  });

  test('text that is no JSON is kept raw', () => {
    const payload = JSON.parse(
      fingerprint('f', { type: 'function_call', arguments: '{bad' }),
    ).payload;
    expect(payload).toEqual({ format: 'raw', value: '{bad' });
  });

  test('the order of keys does not matter', () => {
    const one = fingerprint('shell', { type: 'shell_call', action: { a: 1, b: [{ c: 1, d: 2 }] } });
    const two = fingerprint('shell', { action: { b: [{ d: 2, c: 1 }], a: 1 }, type: 'shell_call' });
    expect(one).toBe(two);
  });

  test('both names of the computer tool are one', () => {
    const item = { type: 'computer_call', action: { type: 'wait' } };
    expect(fingerprint('computer_use_preview', item)).toBe(fingerprint('computer', item));
  });
});

describe('ledger', () => {
  test('a call and its output are the evidence', () => {
    const { completedToolInvocations, completedToolInvocationEvidence } = ledger(run('c1'), none);
    expect(completedToolInvocations).toEqual([
      { agentIdentity: 'a', invocations: { c1: expect.stringContaining('15e-1') } },
    ]);
    expect(completedToolInvocationEvidence).toMatchObject([
      { invocations: { c1: { items: [{ generatedItemIndex: 0 }, { generatedItemIndex: 1 }] } } },
    ]);
  });

  test.each([
    ['an output without a call', run('c1').slice(1)],
    ['an output of another name', run('c1', { name: 'other' })],
    ['an output of another caller', run('c1', { caller: { type: 'program', callerId: 'p' } })],
    [
      'two calls of one id',
      [
        ...run('c1').slice(0, 1),
        {
          type: 'tool_call_item',
          rawItem: { type: 'function_call', callId: 'c1', name: 'find', arguments: '{}' },
          agent,
        },
      ],
    ],
  ])('%s is ambiguous', (_name, items) => {
    expect(ledger(items, none)).toMatchObject({
      completedToolInvocations: [],
      ambiguousToolInvocationCallIds: [{ agentIdentity: 'a', callIds: ['c1'] }],
    });
  });

  test('a shell call is finished only where its tool is known', () => {
    const items = [
      {
        type: 'tool_call_item',
        rawItem: { type: 'shell_call', callId: 's1', action: { commands: [] } },
        agent,
      },
      {
        type: 'tool_call_output_item',
        rawItem: { type: 'shell_call_output', callId: 's1', output: [] },
        agent,
      },
    ];
    expect(ledger(items, none).completedToolInvocations).toEqual([]);
    expect(ledger(items, () => 'shell').completedToolInvocations).toHaveLength(1);
  });

  test('a handoff belongs to the agent that made it', () => {
    const raw = { callId: 'h1', name: 'transfer_to_b' };
    const items = [
      {
        type: 'handoff_call_item',
        rawItem: { type: 'function_call', arguments: '{}', ...raw },
        agent,
      },
      {
        type: 'handoff_output_item',
        rawItem: { type: 'function_call_result', ...raw },
        sourceAgent: agent,
        targetAgent: { name: 'b' },
      },
    ];
    expect(ledger(items, none).completedToolInvocations).toMatchObject([
      { agentIdentity: 'a', invocations: { h1: expect.stringContaining('handoff:transfer_to_b') } },
    ]);
  });

  test('an answered MCP request is finished', () => {
    const request = {
      type: 'mcp_approval_request',
      id: 'm1',
      server_label: 'srv',
      name: 'find',
      arguments: '{}',
    };
    const hosted = (name: string, providerData: Obj) => ({
      type: 'tool_call_item',
      rawItem: { type: 'hosted_tool_call', name, providerData },
      agent,
    });
    const items = [
      hosted('mcp_approval_request', request),
      hosted('mcp_approval_response', { approval_request_id: 'm1', approve: true }),
    ];
    expect(ledger(items, none).completedToolInvocations).toMatchObject([
      { invocations: { m1: expect.stringContaining('hosted_mcp') } },
    ]);
  });

  const ledgerPaths = (native: Obj) =>
    (toPortable(native).document.residue?.typescript?.patch ?? [])
      .map(({ path }) => path)
      .filter((path) => /^\/(completed|ambiguous)ToolInvocation/.test(path));

  test.each(['parallel', 'handoff'])('is what the SDK wrote for %s', (name) => {
    expect(ledgerPaths(snapshot(name))).toEqual([]);
  });

  test.runIf(hasExternal)('is what the SDK wrote for the scenario pairs', () => {
    const odd = scenarios('.ts.json').filter(([, native]) => ledgerPaths(native).length > 0);
    expect(odd.map(([name]) => name)).toEqual([]);
  });
});
