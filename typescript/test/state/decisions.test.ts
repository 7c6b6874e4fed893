import { describe, expect, test } from 'vitest';
import { type Call, type Calls, collectCalls } from '../../src/state/calls.js';
import { DecisionWriter, decisionsOfContext } from '../../src/state/decisions.js';
import type { Decision } from '../../src/state/document.js';
import { toPortable } from '../../src/state/index.js';
import type { Obj } from '../../src/state/json.js';
import { obj } from '../../src/state/json.js';
import { fromPython, snapshot } from './material.js';

const KEY = { kind: 'bare' as const, name: 'find' };
const FUNCTION = { kind: 'function' as const, agent: 'a', key: KEY };
const MCP = { kind: 'mcp' as const, server_label: 'srv', name: 'find' };
const SHELL = { kind: 'native' as const, name: 'shell' };

function call(item: Obj, order: number, extra: Partial<Call> = {}): Call {
  return { agent: 'a', item, order, waiting: false, ...extra };
}

const CALLS: Calls = new Map([
  [
    'c1',
    call({ type: 'function_call', call_id: 'c1', name: 'find', arguments: '{}' }, 0, { key: KEY }),
  ],
  [
    'c2',
    call({ type: 'function_call', call_id: 'c2', name: 'find', arguments: '{}' }, 1, { key: KEY }),
  ],
  ['s1', call({ type: 'shell_call', call_id: 's1', action: { commands: ['ls'] } }, 2)],
  [
    'm1',
    call(
      {
        type: 'mcp_approval_request',
        id: 'm1',
        server_label: 'srv',
        name: 'find',
        arguments: '{}',
      },
      3,
    ),
  ],
]);

function context(decisions: Decision[], minor?: number): Obj {
  const written: Obj = { approvals: {}, approvalInvocations: [] };
  new DecisionWriter(written, CALLS, minor).write(decisions);
  return written;
}

/** Every kind of decision, and the record TypeScript keeps of it. */
const RECORDS: [string, Decision[], Obj][] = [
  [
    'one approval',
    [{ tool: FUNCTION, scope: 'call', call_id: 'c1', decision: 'approve' }],
    { approved: ['c1'], rejected: [] },
  ],
  [
    'one rejection with its reason',
    [{ tool: FUNCTION, scope: 'call', call_id: 'c1', decision: 'reject', message: 'no' }],
    { approved: [], rejected: ['c1'], messages: { c1: 'no' } },
  ],
  [
    'a standing approval',
    [{ tool: FUNCTION, scope: 'always', decision: 'approve' }],
    { approved: true, rejected: [] },
  ],
  [
    'a standing rejection, its reason and one of a call',
    [
      { tool: FUNCTION, scope: 'call', call_id: 'c2', decision: 'reject', message: 'not this' },
      { tool: FUNCTION, scope: 'always', decision: 'reject', message: 'never' },
    ],
    {
      approved: false,
      rejected: true,
      messages: { c2: 'not this' },
      stickyRejectMessage: 'never',
    },
  ],
  [
    'an exception to a standing rejection',
    [
      { tool: FUNCTION, scope: 'always', decision: 'reject' },
      { tool: FUNCTION, scope: 'call', call_id: 'c1', decision: 'approve' },
    ],
    { approved: ['c1'], rejected: true },
  ],
  [
    'both',
    [
      { tool: FUNCTION, scope: 'call', call_id: 'c1', decision: 'approve' },
      { tool: FUNCTION, scope: 'call', call_id: 'c2', decision: 'reject' },
    ],
    { approved: ['c1'], rejected: ['c2'] },
  ],
];

const sorted = (decisions: readonly Decision[]) =>
  [...decisions].sort((left, right) => (JSON.stringify(left) < JSON.stringify(right) ? -1 : 1));

describe('decisions', () => {
  test.each(RECORDS)('%s', (_name, decisions, record) => {
    const written = context(decisions);
    expect(written.functionApprovals).toEqual([
      { agentIdentity: 'a', approvals: { '["bare","find"]': record } },
    ]);
    expect(sorted(decisionsOfContext(written, CALLS, 22))).toEqual(sorted(decisions));
  });

  test('a decision on a call binds its fingerprint', () => {
    const written = context([
      { tool: FUNCTION, scope: 'call', call_id: 'c1', decision: 'approve' },
    ]);
    expect(written.approvalInvocations).toEqual([
      {
        agentIdentity: 'a',
        invocations: {
          c1: '{"caller":{"type":"direct"},"payload":{"format":"json","value":{}},"toolName":"[\\"bare\\",\\"find\\"]","type":"function_call"}',
        },
        approvals: {},
      },
    ]);
  });

  test('built-in and hosted tools are kept twice, and read once', () => {
    const decisions: Decision[] = [
      { tool: SHELL, scope: 'call', call_id: 's1', decision: 'approve' },
      { tool: MCP, scope: 'call', call_id: 'm1', decision: 'reject', message: 'no' },
    ];
    const written = context(decisions);
    expect(written.approvals).toEqual({ shell: { approved: ['s1'], rejected: [] } });
    const key = '["hosted_mcp","srv","find"]';
    const rejection = { approved: [], rejected: ['m1'], messages: { m1: 'no' } };
    expect(written.hostedMcpApprovals).toEqual({ [key]: rejection });
    const [scoped] = written.approvalInvocations as Obj[];
    expect(scoped?.approvals).toEqual({
      shell: { approved: ['s1'], rejected: [] },
      [key]: rejection,
    });
    expect(Object.keys(obj(scoped?.invocations))).toEqual(['s1', 'm1']);
    expect(sorted(decisionsOfContext(written, CALLS, 22))).toEqual(sorted(decisions));
  });

  test('what only the scoped records say is read too', () => {
    const approvals = { shell: { approved: ['s9'], rejected: [] } };
    const found = decisionsOfContext(
      { approvals: {}, approvalInvocations: [{ agentIdentity: 'a', invocations: {}, approvals }] },
      CALLS,
      22,
    );
    expect(found).toEqual([{ tool: SHELL, scope: 'call', call_id: 's9', decision: 'approve' }]);
  });

  test('a call that is not there cannot be decided on', () => {
    const gone: Decision = { tool: FUNCTION, scope: 'call', call_id: 'gone', decision: 'approve' };
    const written: Obj = { approvals: {}, approvalInvocations: [] };
    expect(new DecisionWriter(written, CALLS).write([gone])).toEqual([gone]);
    expect(written.functionApprovals).toBeUndefined();
  });

  test('of two standing decisions the approval stays', () => {
    const written = context([
      { tool: FUNCTION, scope: 'always', decision: 'approve' },
      { tool: FUNCTION, scope: 'always', decision: 'reject', message: 'never' },
    ]);
    const [record] = written.functionApprovals as Obj[];
    expect(obj(obj(record?.approvals)['["bare","find"]'])).toMatchObject({ approved: true });
  });
});

test('a later standing decision replaces the one before', () => {
  const written: Obj = { approvals: {}, approvalInvocations: [] };
  const writer = new DecisionWriter(written, CALLS);
  writer.write([{ tool: SHELL, scope: 'always', decision: 'approve' }]);
  writer.write([{ tool: SHELL, scope: 'always', decision: 'reject', message: 'never' }]);
  expect(written.approvals).toEqual({
    shell: { approved: false, rejected: true, stickyRejectMessage: 'never' },
  });
  writer.write([{ tool: SHELL, scope: 'always', decision: 'approve' }]);
  expect(written.approvals).toEqual({ shell: { approved: true, rejected: [] } });
});

describe('old records, kept by name', () => {
  const approvals = {
    find: { approved: ['c1'], rejected: [] },
    shell: { approved: true, rejected: [] },
    other: { approved: true, rejected: [] },
  };

  test('find their tool by the call, or by a call of that name', () => {
    const calls = new Map(CALLS);
    calls.set('s1', call({ type: 'shell_call', call_id: 's1' }, 2, { name: 'shell' }));
    expect(sorted(decisionsOfContext({ approvals }, calls, 15))).toEqual(
      sorted([
        { tool: FUNCTION, scope: 'call', call_id: 'c1', decision: 'approve' },
        { tool: SHELL, scope: 'always', decision: 'approve' },
        { tool: { kind: 'function_name', name: 'other' }, scope: 'always', decision: 'approve' },
      ]),
    );
  });

  test('with owners, what is left by name is built in', () => {
    expect(decisionsOfContext({ approvals: { other: approvals.other } }, CALLS, 22)).toEqual([
      { tool: { kind: 'native', name: 'other' }, scope: 'always', decision: 'approve' },
    ]);
  });

  test('bare names have a place of their own', () => {
    const legacyFunctionApprovals = { find: { approved: true, rejected: [] } };
    const decisions = decisionsOfContext({ approvals: {}, legacyFunctionApprovals }, CALLS, 22);
    expect(decisions).toEqual([
      { tool: { kind: 'function_name', name: 'find' }, scope: 'always', decision: 'approve' },
    ]);
    expect(context(decisions).legacyFunctionApprovals).toEqual(legacyFunctionApprovals);
  });

  test('are written so into an old snapshot', () => {
    const decisions: Decision[] = [
      { tool: FUNCTION, scope: 'call', call_id: 'c1', decision: 'approve' },
      { tool: MCP, scope: 'call', call_id: 'm1', decision: 'approve' },
    ];
    expect(context(decisions, 15)).toEqual({
      approvals: { find: { approved: ['c1', 'm1'], rejected: [] } },
      approvalInvocations: [],
    });
  });
});

test('calls of nested runs count as calls of the whole', () => {
  const calls = collectCalls(fromPython('nested'));
  expect(calls.get('call_1')).toMatchObject({ agent: 'weather_agent', waiting: true });
  expect(calls.get('call_ask')).toMatchObject({ agent: 'orch', waiting: false });
});

test.each(['approved', 'rejected', 'always'])('the snapshot %s', (name) => {
  const { document } = toPortable(snapshot(name));
  expect(document.decisions).toHaveLength(1);
  const paths = document.residue?.typescript?.patch.map(({ path }) => path) ?? [];
  expect(paths.filter((path) => path.startsWith('/context'))).toEqual([]);
});
