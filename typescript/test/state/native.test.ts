/** Documents of Python taken over: what is refused, and what is written. */
import { describe, expect, test } from 'vitest';
import type { PortableRunState, RunItem } from '../../src/state/document.js';
import { type StateOptions, toNative, toPortable } from '../../src/state/index.js';
import { list, type Obj, obj, objs } from '../../src/state/json.js';
import { foreign, fromPython, snapshot } from './material.js';

function changed(name: string, change: (document: PortableRunState) => void): PortableRunState {
  const document = structuredClone(fromPython(name));
  change(document);
  return document;
}

function native(document: PortableRunState, options?: StateOptions): Obj {
  return toNative(document, undefined, options).document;
}

const code = (wanted: string, pointer?: string) =>
  expect.objectContaining({ code: wanted, ...(pointer !== undefined && { pointer }) });

function pending(item: Obj, agent = 'assistant'): (document: PortableRunState) => void {
  return (document) => {
    document.items = [{ type: 'tool_call_item', item, agent }];
    document.interruptions = [{ item, agent }];
  };
}

describe('refused', () => {
  test('a completed run', () => {
    expect(() => native(fromPython('completed'))).toThrowError(code('run-completed', '/status'));
  });

  test.each([
    'step-missing',
    'response-accepted',
    'duplicate-agent',
    'pending-session-write',
    'terminal-unrecoverable',
    'sandbox-state',
    'call-in-flight',
    'ambiguous-call',
    'handoff-step',
    'unknown-call',
    'mcp-binding-unknown',
    'guardrails-unknown',
  ])('what the document binds with %s', (bound) => {
    const entry = { code: bound, pointer: '/there', message: 'so' };
    const document = changed('weather', (state) => {
      state.cannot_cross = [entry];
    });
    expect(() => native(document)).toThrowError(code(bound, '/there'));
  });

  test('a missing step before a completed run', () => {
    const document = changed('completed', (state) => {
      state.cannot_cross = [{ code: 'step-missing', pointer: '/current_step', message: 'so' }];
    });
    expect(() => native(document)).toThrowError(code('step-missing'));
  });

  test('a reason this release does not know', () => {
    const document = changed('weather', (state) => {
      state.cannot_cross = [{ code: 'from-the-future', pointer: '', message: 'so' }];
    });
    expect(() => native(document)).toThrowError(/from-the-future/);
  });

  test('unknown guardrails only while the caller does not vouch for both', () => {
    const document = changed('weather', (state) => {
      state.cannot_cross = [{ code: 'guardrails-unknown', pointer: '', message: 'so' }];
    });
    expect(() => native(document, { assumeInputGuardrailsCompleted: true })).toThrowError(
      code('guardrails-unknown'),
    );
    const both = { assumeInputGuardrailsCompleted: true, assumeNoLocalMcp: true };
    expect(native(document, both).initialInputGuardrailsCompleted).toBe(true);
  });

  test.each([
    { type: 'custom_tool_call', call_id: 'c', name: 'run', input: '' },
    { type: 'local_shell_call', call_id: 'c', action: { type: 'exec', command: ['ls'] } },
    { type: 'computer_call', call_id: 'c', action: { type: 'dance' } },
  ])('an approval of a $type TypeScript cannot show', (item) => {
    const document = changed('weather', pending(item));
    expect(() => native(document)).toThrowError(code('unsupported-approval', '/interruptions/0'));
  });

  test('a waiting call of no response, which would never run', () => {
    const document = changed('weather', (state) => {
      state.response = null;
    });
    expect(() => native(document)).toThrowError(code('unsupported-approval', '/interruptions/0'));
  });

  test.each([
    { type: 'custom_tool_call', call_id: 'c', name: 'run', input: '' },
    { type: 'local_shell_call', call_id: 'c', action: { type: 'exec', command: ['ls'] } },
  ])('a $type that waits', (item) => {
    const document = changed('weather', (state) => {
      state.items.push({ type: 'tool_call_item', item, agent: 'assistant' });
      state.response = { ...state.response, tools_used: [], start: 0, count: 2 };
    });
    expect(() => native(document)).toThrowError(code('unsupported-item', '/items/1'));
  });

  test('a decision on a request without server and tool', () => {
    const document = changed('weather', (state) => {
      state.decisions = [
        {
          tool: { kind: 'mcp_request', request_id: 'mcpr_1' },
          scope: 'call',
          call_id: 'mcpr_1',
          decision: 'approve',
        },
      ];
    });
    expect(() => native(document)).toThrowError(code('ambiguous-approval', '/decisions/0'));
  });

  test('a context that was left out, unless the caller gives it', () => {
    const document = changed('weather', (state) => {
      state.context_type = 'omitted';
    });
    expect(() => native(document)).toThrowError(code('context-omitted', '/context'));
    expect(obj(native(document, { context: { a: 1 } }).context).context).toEqual({ a: 1 });
  });

  test('the same inside a nested run', () => {
    const document = changed('nested', (state) => {
      const [nested] = Object.values(state.response?.nested_runs ?? {});
      Object.assign(nested ?? {}, { context_type: 'omitted' });
    });
    expect(() => native(document)).toThrowError(
      code('context-omitted', '/response/nested_runs/call_ask/context'),
    );
  });

  test.each([2 ** 53, -(2 ** 53), 1e21])('%d, which JavaScript may have rounded', (number) => {
    const document = changed('weather', (state) => {
      state.context = { list: [{ id: number }] };
      state.context_type = 'mapping';
    });
    expect(() => native(document)).toThrowError(code('unsafe-integer', '/context/list/0/id'));
  });

  test('numbers JavaScript holds exactly are none of these', () => {
    const document = changed('weather', (state) => {
      state.context = { max: 2 ** 53 - 1, part: 0.5, text: '9007199254740993' };
      state.context_type = 'mapping';
    });
    expect(obj(native(document).context).context).toEqual(document.context);
  });

  test('damage, before anything else', () => {
    const document = changed('completed', (state) => {
      state.current_turn = -1;
    });
    expect(() => native(document)).toThrowError(code('malformed', '/current_turn'));
    expect(() => toNative(snapshot('weather'))).toThrowError(code('not-a-run-state'));
  });
});

describe('what both SDKs would fail at without a word', () => {
  test('the current step is always there', () => {
    const state = native(fromPython('weather'));
    expect(state.currentStep).toMatchObject({ type: 'next_step_interruption' });
    const again = changed('weather', (document) => {
      document.status = 'run_again';
      document.interruptions = [];
    });
    expect(native(again).currentStep).toEqual({ type: 'next_step_run_again' });
  });

  test.each([
    'weather',
    'parallel',
    'handoff',
    'handoff-pending',
    'always',
  ])('every waiting call of %s has its placeholder and its function', (name) => {
    const document = fromPython(name);
    const state = native(document);
    const ids = document.interruptions.map(({ item }) => item.call_id);
    const placeholders = objs(state.generatedItems).filter(
      ({ type }) => type === 'tool_approval_item',
    );
    expect(placeholders.map(({ rawItem }) => obj(rawItem).callId)).toEqual(ids);
    const functions = objs(obj(state.lastProcessedResponse).functions);
    expect(functions.map(({ toolCall }) => obj(toolCall).callId)).toEqual(
      expect.arrayContaining(ids),
    );
  });

  test('a call that no local MCP server serves says so', () => {
    const functions = objs(obj(native(fromPython('weather')).lastProcessedResponse).functions);
    expect(functions).toEqual([expect.objectContaining({ mcpToolBinding: null })]);
  });

  test('a call of a local MCP server names it', () => {
    const document = changed('weather', (state) => {
      state.response = {
        ...state.response,
        tools_used: [],
        mcp_bindings: { call_1: { server: 'docs', tool: 'find', index: null } },
      };
    });
    const [first] = objs(obj(native(document).lastProcessedResponse).functions);
    expect(first?.mcpToolBinding).toEqual({
      serverName: 'docs',
      toolName: 'find',
      serverIndex: null,
    });
  });

  test('hosted requests wait as such', () => {
    const { document } = toPortable(snapshot('hosted-mcp'));
    const state = native(foreign(document));
    const processed = obj(state.lastProcessedResponse);
    expect(list(processed.mcpApprovalRequests)).toHaveLength(1);
    expect(processed).toEqual(obj(snapshot('hosted-mcp').lastProcessedResponse));
  });

  test('input guardrails count as completed once a turn was taken', () => {
    expect(native(fromPython('weather')).initialInputGuardrailsCompleted).toBe(true);
  });

  test('outputInfo is always written', () => {
    const document = changed('weather', (state) => {
      const result = { name: 'g', tripwire_triggered: false, output_info: null };
      state.guardrails.input = [result];
      state.guardrails.output = [{ ...result, agent: 'assistant', agent_output: 'x' }];
    });
    const state = native(document);
    for (const key of ['inputGuardrailResults', 'outputGuardrailResults']) {
      expect(obj(objs(state[key])[0]?.output)).toEqual({
        tripwireTriggered: false,
        outputInfo: null,
      });
    }
  });
});

describe('written', () => {
  test('null is left out where the SDK knows no null', () => {
    const state = native(fromPython('weather'));
    const nulls = Object.entries(state).filter(([, value]) => value === null);
    expect(nulls.map(([key]) => key)).toEqual(['trace']);
    expect(obj(state.context).context).toEqual({});
  });

  test('ownership, where every placeholder is behind the response', () => {
    expect(native(fromPython('parallel')).currentResponseGeneratedItemOwnership).toEqual({
      generatedItemStartIndex: 0,
      generatedItemEndIndexExclusive: 6,
      interruptionGeneratedItemIndexes: [4, 5],
      toolOutputGuardrailResultStartIndex: 0,
    });
    expect(native(fromPython('nested'))).not.toHaveProperty(
      'currentResponseGeneratedItemOwnership',
    );
  });

  test('placeholders of calls that were decided are gone', () => {
    const document = changed('parallel', (state) => {
      state.interruptions = state.interruptions.slice(1);
    });
    const types = objs(native(document).generatedItems).map(({ type }) => type);
    expect(types.filter((type) => type === 'tool_approval_item')).toHaveLength(1);
  });

  test.each([
    [0, 0],
    [1, 1],
    [3, 3],
    [4, 6],
  ])('a session that holds %i items of the response stands at %i', (persisted, index) => {
    const document = changed('parallel', (state) => {
      state.session.persisted_items = persisted;
    });
    const state = native(document);
    expect(state.currentTurnPersistedItemCount).toBe(index);
    expect(toPortable(state).document.session.persisted_items).toBe(persisted);
  });

  test('a trace comes with a span, because the SDK takes it up only then', () => {
    const document = changed('weather', (state) => {
      state.trace = { id: 'trace_1', workflow_name: 'w' };
    });
    const state = native(document);
    expect(state.trace).toEqual({
      object: 'trace',
      id: 'trace_1',
      workflow_name: 'w',
      group_id: null,
      metadata: {},
    });
    expect(state.currentAgentSpan).toMatchObject({
      object: 'trace.span',
      trace_id: 'trace_1',
      span_data: { type: 'agent', name: 'assistant' },
    });
    expect(obj(state.currentAgentSpan).id).toMatch(/^span_[0-9a-f]{24}$/);
    expect(native(document)).toEqual(state);
  });

  test('items TypeScript has no kind for travel as unknown and come back as they were', () => {
    const history: RunItem[] = [
      {
        type: 'tool_call_item',
        item: { type: 'custom_tool_call', call_id: 'x', name: 'run', input: '' },
        agent: 'assistant',
      },
      {
        type: 'tool_call_output_item',
        item: { type: 'custom_tool_call_output', call_id: 'x', output: 'ok' },
        agent: 'assistant',
        executed: true,
      },
      {
        type: 'input_item',
        item: { role: 'developer', content: 'be brief' },
        agent: 'assistant',
        input_id: 'in_1',
      },
    ];
    const document = changed('weather', (state) => {
      state.items = [...history, ...state.items];
      state.response = { ...state.response, tools_used: [], start: 3, count: 1 };
    });
    const { document: state, lossy } = toNative(document);
    const items = objs(state.generatedItems).slice(0, 3);
    expect(items.map(({ type, rawItem }) => [type, obj(rawItem).type])).toEqual([
      ['input_item', 'unknown'],
      ['input_item', 'unknown'],
      ['input_item', 'unknown'],
    ]);
    expect(lossy).toEqual(expect.arrayContaining(['/items/0/item', '/items/2/item']));
    expect(toPortable(state).document.items.slice(0, 3)).toEqual(history);
  });

  test('only outputs of tools that run here say that they ran', () => {
    const output = (type: string): RunItem => ({
      type: 'tool_call_output_item',
      item: { type, call_id: 'p', result: 'ok', output: 'ok' },
      agent: 'assistant',
      executed: true,
    });
    const document = changed('weather', (state) => {
      state.items.unshift(output('program_output'), output('function_call_output'));
      state.response = { ...state.response, tools_used: [], start: 2, count: 1 };
    });
    const items = objs(native(document).generatedItems);
    expect(items[0]).not.toHaveProperty('executionStatus');
    expect(items[1]).toHaveProperty('executionStatus', 'executed');
  });

  test('usage: null and what is no number do not reach the SDK', () => {
    const document = changed('weather', (state) => {
      state.usage.input_tokens_details = { cached_tokens: 4 };
      state.usage.entries = [];
    });
    const usage = obj(obj(native(document).context).usage);
    expect(usage.inputTokensDetails).toEqual([{ cached_tokens: 4 }]);
    expect(usage).not.toHaveProperty('requestUsageEntries');
  });

  test('a deferred tool keeps the key its call does not tell', () => {
    const key = { kind: 'deferred_top_level' as const, name: 'get_weather' };
    const document = changed('weather', (state) => {
      for (const entry of [...state.items, ...state.interruptions]) {
        entry.tool_key = key;
      }
    });
    const state = native(document);
    const keys = objs(state.generatedItems).map(({ functionToolStateKey }) => functionToolStateKey);
    expect(keys).toEqual([
      '["deferred_top_level","get_weather"]',
      '["deferred_top_level","get_weather"]',
    ]);
    expect(toPortable(state).document.interruptions).toEqual(document.interruptions);
  });

  test('what else does not arrive is named', () => {
    const document = changed('weather', (state) => {
      state.context = { a: 1 };
      state.context_type = 'typed';
      state.decisions = [
        {
          tool: { kind: 'function', agent: 'assistant', key: { kind: 'bare', name: 'gone' } },
          scope: 'call',
          call_id: 'call_gone',
          decision: 'approve',
        },
      ];
    });
    expect(toNative(document).lossy).toEqual(['/context', '/residue/python', '/decisions/0']);
    expect(toNative(foreign(fromPython('weather'))).lossy).toEqual([]);
  });
});
