/** From snapshots to documents, and back in the same language. */
import { describe, expect, test } from 'vitest';
import {
  canonical,
  type StateOptions,
  toNative,
  toPortable,
  validate,
} from '../../src/state/index.js';
import { list, type Obj, obj } from '../../src/state/json.js';
import { withoutSecrets } from '../../src/state/secrets.js';
import { corpus, hasExternal, scenarios, snapshot, snapshots } from './material.js';

function changed(name: string, change: (native: Obj) => void): Obj {
  const native = snapshot(name);
  change(native);
  return native;
}

/** Through the document and back, by way of its JSON text. */
function roundTrip(native: Obj): Obj {
  const { document } = toPortable(native);
  validate(document);
  return toNative(JSON.parse(JSON.stringify(document))).document;
}

function sameAgain(native: Obj): void {
  expect(canonical(roundTrip(native))).toBe(canonical(withoutSecrets(native).native));
}

function blockers(native: Obj, options?: StateOptions): string[] {
  return (toPortable(native, options).document.cannot_cross ?? []).map(({ code }) => code);
}

describe('there and back', () => {
  test.each(snapshots())('%s', (_name, native) => {
    sameAgain(native);
  });

  test('a document that was sorted on the way still gives the same snapshot', () => {
    const { document } = toPortable(snapshot('nested'));
    const { document: native } = toNative(JSON.parse(canonical(document)));
    expect(canonical(native)).toBe(canonical(withoutSecrets(snapshot('nested')).native));
  });

  test('fields of a newer SDK are kept where they were', () => {
    const native = changed('parallel', (state) => {
      state.futureField = { deep: [1, { 'a/b': null }] };
      obj(obj(list(state.generatedItems)[0]).rawItem).futureKey = 'kept';
      obj(state.context).futureMap = {};
    });
    sameAgain(native);
  });

  test.runIf(hasExternal)('the scenario pairs', () => {
    for (const [, native] of scenarios('.ts.json')) {
      sameAgain(native);
    }
  });

  test.runIf(hasExternal).each(['typescript-states.jsonl.gz', 'typescript-states-older.jsonl.gz'])(
    'one snapshot in seven of %s',
    (name) => {
      const refused = new Set<unknown>();
      for (const [index, { state, id }] of corpus(name).entries()) {
        if (index % 7 === 0) {
          try {
            expect(canonical(roundTrip(obj(state))), String(id)).toBe(
              canonical(withoutSecrets(obj(state)).native),
            );
          } catch (error) {
            const { code } = error as { code?: unknown };
            refused.add(code ?? error);
          }
        }
      }
      expect(
        [...refused].filter((code) => code !== 'malformed' && code !== 'unknown-schema'),
      ).toEqual([]);
    },
    60_000,
  );
});

describe('what is never kept', () => {
  const SECRET = 'sk-secret';
  const native = changed('hosted-mcp', (state) => {
    state.trace = {
      object: 'trace',
      id: 'trace_1',
      workflow_name: 'w',
      group_id: null,
      metadata: {},
      tracing_api_key: SECRET,
    };
    for (const response of [list(state.modelResponses)[0], state.lastModelResponse]) {
      obj(response).providerData = { body: SECRET };
    }
    const [request] = list(obj(state.lastProcessedResponse).mcpApprovalRequests);
    obj(obj(obj(request).mcpTool).providerData).headers = { authorization: SECRET };
  });

  test('is in no part of the document, and named', () => {
    const { document, lossy } = toPortable(native);
    expect(JSON.stringify(document)).not.toContain(SECRET);
    expect([...lossy].sort()).toEqual([
      '/lastModelResponse/providerData',
      '/lastProcessedResponse/mcpApprovalRequests/0/mcpTool/providerData/headers',
      '/modelResponses/0/providerData',
      '/trace/tracing_api_key',
    ]);
  });

  test('nor in a run inside it', () => {
    const outer = changed('nested', (state) => {
      const runs = obj(state.pendingAgentToolRuns);
      for (const [key, text] of Object.entries(runs)) {
        const inner = JSON.parse(String(text));
        inner.modelResponses[0].providerData = { body: SECRET };
        runs[key] = JSON.stringify(inner);
      }
    });
    const { document, lossy } = toPortable(outer);
    expect(JSON.stringify(document)).not.toContain(SECRET);
    expect(lossy).toContainEqual(
      expect.stringMatching(/^\/pendingAgentToolRuns\/.*\/modelResponses\/0\/providerData$/),
    );
  });
});

describe('what cannot be read', () => {
  const code = (wanted: string, pointer?: string) =>
    expect.objectContaining({ code: wanted, ...(pointer !== undefined && { pointer }) });

  test.each([null, 'text', []])('%s is malformed', (value) => {
    expect(() => toPortable(value as never)).toThrowError(code('malformed'));
  });

  test.each([
    '$schemaVersion',
    'currentTurn',
    'currentAgent',
    'originalInput',
    'modelResponses',
    'context',
    'toolUseTracker',
    'maxTurns',
    'noActiveAgentRun',
    'inputGuardrailResults',
    'outputGuardrailResults',
    'generatedItems',
    'trace',
  ])('a snapshot without %s is malformed, and the message names it', (key) => {
    const native = snapshot('weather');
    delete native[key];
    const at = key === 'context' ? '/context' : `/${key}`;
    expect(() => toPortable(native)).toThrowError(code('malformed', at));
    expect(() => toPortable(native)).toThrowError(new RegExp(key.replace('$', '\\$')));
  });

  test.each([
    ['a call without arguments', '/generatedItems/0/rawItem/arguments', 'arguments'],
    ['a call without an id', '/generatedItems/0/rawItem/callId', 'callId'],
  ])('%s is malformed', (_name, pointer, key) => {
    const native = changed('weather', (state) => {
      delete obj(obj(list(state.generatedItems)[0]).rawItem)[key];
    });
    expect(() => toPortable(native)).toThrowError(code('malformed', pointer));
  });

  test('a kind of run item from the future is malformed', () => {
    const native = changed('weather', (state) => {
      obj(list(state.generatedItems)[0]).type = 'dream_item';
    });
    expect(() => toPortable(native)).toThrowError(code('malformed', '/generatedItems/0/type'));
  });

  test('a snapshot of Python is foreign, whatever its number', () => {
    const native = { $schemaVersion: '1.22', current_turn: 1 };
    expect(() => toPortable(native)).toThrowError(code('foreign-writer'));
  });

  test.each(['1.23', '2.0', '0.1', '1', '1.x'])('schema %s is unknown', (version) => {
    const native = changed('weather', (state) => {
      state.$schemaVersion = version;
    });
    expect(() => toPortable(native)).toThrowError(code('unknown-schema', '/$schemaVersion'));
  });
});

describe('facts', () => {
  test('of a run that waits', () => {
    const { document } = toPortable(snapshot('weather'));
    expect(document).toMatchObject({
      format: 'timestep.run_state',
      version: '1',
      writer: {
        port: '@timestep-ai/timestep',
        sdk: '@openai/agents',
        sdk_version: '0.20.0',
        sdk_schema: '1.22',
        language: 'typescript',
      },
      status: 'interrupted',
      current_turn: 1,
      input: 'Weather in Oslo?',
      response: { start: 0, count: 1, tools_used: ['get_weather'] },
      decisions: [],
      context: null,
      context_type: 'none',
      session: { persisted_items: 0 },
    });
    const item = {
      type: 'function_call',
      id: 'fc_call_1',
      call_id: 'call_1',
      name: 'get_weather',
      arguments: '{"city":"Oslo"}',
      status: 'completed',
    };
    expect(document.items).toEqual([{ type: 'tool_call_item', item, agent: 'assistant' }]);
    expect(document.interruptions).toEqual([
      { item, agent: 'assistant', tool_name: 'get_weather' },
    ]);
    expect(document.cannot_cross).toBeUndefined();
  });

  test('of an output: what the tool returned only where the item does not say it', () => {
    const { document } = toPortable(snapshot('parallel'));
    const output = document.items.find(({ type }) => type === 'tool_call_output_item');
    expect(output).toMatchObject({ executed: true, item: { type: 'function_call_output' } });
    expect(output).not.toHaveProperty('output');
    expect(output?.item).not.toHaveProperty('status');
  });

  test('of a nested run: inside the call, with its interruption outside too', () => {
    const { document } = toPortable(snapshot('nested'));
    const [nested] = Object.values(document.response?.nested_runs ?? {});
    expect(nested).toMatchObject({ status: 'interrupted', current_agent: 'weather_agent' });
    expect(nested).not.toHaveProperty('decisions');
    expect(document.interruptions).toEqual(nested?.interruptions);
  });

  test('of hosted calls: under the names Python gives them', () => {
    const { document } = toPortable(snapshot('hosted-mcp'));
    expect(document.items.map(({ type }) => type)).toEqual([
      'mcp_list_tools_item',
      'mcp_approval_request_item',
    ]);
  });

  test('of a final output', () => {
    const { document } = toPortable(snapshot('completed'));
    expect(document).toMatchObject({ status: 'completed', final_output: expect.any(String) });
  });

  test('of staged input, a conversation, a trace and a context', () => {
    const native = changed('weather', (state) => {
      state.pendingInput = [{ type: 'message', role: 'user', content: 'And Bergen?' }];
      state.conversationId = 'conv_1';
      state.reasoningItemIdPolicy = 'omit';
      state.maxTurns = null;
      obj(state.context).context = { userId: 1 };
      obj(state.context).toolInput = { a: 1 };
      state.trace = {
        object: 'trace',
        id: 'trace_1',
        workflow_name: 'w',
        group_id: 'g',
        metadata: { a: 1 },
      };
    });
    expect(toPortable(native).document).toMatchObject({
      pending_input: [{ role: 'user', content: 'And Bergen?' }],
      conversation: { conversation_id: 'conv_1' },
      reasoning_item_id_policy: 'omit',
      max_turns: null,
      context: { userId: 1 },
      context_type: 'mapping',
      tool_input: { a: 1 },
      trace: { id: 'trace_1', workflow_name: 'w', group_id: 'g', metadata: { a: 1 } },
    });
    sameAgain(native);
  });

  test('a trace that was off is none', () => {
    const native = changed('weather', (state) => {
      state.trace = {
        object: 'trace',
        id: 'no-op',
        workflow_name: 'w',
        group_id: null,
        metadata: {},
      };
    });
    expect(toPortable(native).document).not.toHaveProperty('trace');
  });
});

describe('status', () => {
  const step = (currentStep: unknown) => (state: Obj) => {
    if (currentStep === undefined) {
      delete state.currentStep;
    } else {
      state.currentStep = currentStep;
    }
  };

  test.each<[string, string, (state: Obj) => void]>([
    ['run_again', 'weather', step({ type: 'next_step_run_again' })],
    ['completed', 'weather', step({ type: 'next_step_final_output', output: 'x' })],
    ['completed', 'completed', step(undefined)],
  ])('%s', (status, name, change) => {
    expect(toPortable(changed(name, change)).document.status).toBe(status);
  });

  test('not_started: no step, no turn, no response', () => {
    const native = changed('weather', (state) => {
      Object.assign(state, { currentTurn: 0, modelResponses: [], generatedItems: [] });
      for (const key of ['currentStep', 'lastModelResponse', 'lastProcessedResponse']) {
        delete state[key];
      }
      delete state.currentResponseGeneratedItemOwnership;
    });
    expect(toPortable(native).document.status).toBe('not_started');
    expect(blockers(native)).toEqual([]);
    sameAgain(native);
  });
});

/** Every reason a snapshot can give against crossing, with the field that gives it. */
const BLOCKED: [string, string, (state: Obj) => void][] = [
  ['step-missing', 'weather', (state) => delete state.currentStep],
  [
    'handoff-step',
    'weather',
    (state) => {
      state.currentStep = { type: 'next_step_handoff', newAgent: { name: 'assistant' } };
    },
  ],
  [
    'response-accepted',
    'weather',
    (state) => {
      obj(obj(state.currentStep).data).responseAccepted = true;
    },
  ],
  [
    'duplicate-agent',
    'weather',
    (state) => {
      obj(obj(list(state.generatedItems)[0]).agent).identity = 'assistant#2';
    },
  ],
  ...[
    'pendingSessionWrite',
    'pendingSessionHistoryTransaction',
    'pendingLegacyCompactionSessionItems',
    'currentTurnBlockedSessionStartIndex',
    'currentTurnDeferredSessionItemIndexes',
    'currentTurnExecutedWithSessionBinding',
  ].map((field): [string, string, (state: Obj) => void] => [
    'pending-session-write',
    'weather',
    (state) => {
      state[field] = { any: 1 };
    },
  ]),
  [
    'sandbox-state',
    'weather',
    (state) => {
      state.sandbox = { backendId: 'local' };
    },
  ],
  [
    'call-in-flight',
    'weather',
    (state) => {
      state.pendingAgentToolRuns = { '["bare","ask"]:call_9': '{}' };
    },
  ],
  [
    'call-in-flight',
    'nested',
    (state) => {
      delete state.lastProcessedResponse;
      state.currentStep = { type: 'next_step_run_again' };
    },
  ],
  [
    'ambiguous-call',
    'weather',
    (state) => {
      state.ambiguousToolInvocationCallIds = [{ agentIdentity: 'assistant', callIds: ['call_1'] }];
    },
  ],
  [
    'ambiguous-call',
    'parallel',
    (state) => {
      const [first, second] = list(state.generatedItems).map((item) => obj(obj(item).rawItem));
      if (first && second) {
        second.callId = first.callId;
      }
    },
  ],
  [
    'unknown-call',
    'weather',
    (state) => {
      const call = { type: 'custom_tool_call', call_id: 'call_x', name: 'run', input: '' };
      list(obj(list(state.modelResponses)[0]).output).push({ type: 'unknown', providerData: call });
    },
  ],
  [
    'mcp-binding-unknown',
    'weather',
    (state) => {
      obj(list(obj(state.lastProcessedResponse).functions)[0]).mcpToolBinding = 'unknown';
    },
  ],
  ['guardrails-unknown', 'weather', (state) => delete state.initialInputGuardrailsCompleted],
];

describe('cannot_cross', () => {
  test.each(BLOCKED)('%s (%s)', (code, name, change) => {
    const native = changed(name, change);
    expect(blockers(native)).toContain(code);
    sameAgain(native);
  });

  test.each([
    'weather',
    'parallel',
    'nested',
    'handoff-pending',
    'hosted-mcp',
    'always',
  ])('nothing binds %s', (name) => {
    expect(blockers(snapshot(name))).toEqual([]);
  });

  test.each([
    [
      'session input that was stored alone',
      { currentTurnSessionInputItems: [{ role: 'user', content: 'Hi' }] },
    ],
    ['the mark of a settled session write', { currentTurnSessionWriteCompactedItemCount: 1 }],
  ])('%s binds nothing', (_what, fields) => {
    const native = changed('weather', (state) => Object.assign(state, fields));
    expect(blockers(native)).toEqual([]);
  });

  test('what binds a nested run binds the whole', () => {
    const native = changed('nested', (state) => {
      const runs = obj(state.pendingAgentToolRuns);
      for (const [key, text] of Object.entries(runs)) {
        runs[key] = JSON.stringify({ ...JSON.parse(String(text)), sandbox: {} });
      }
    });
    const [entry] = toPortable(native).document.cannot_cross ?? [];
    expect(entry).toMatchObject({ code: 'sandbox-state' });
    expect(entry?.pointer).toMatch(/^\/pendingAgentToolRuns\/.*\/sandbox$/);
  });
});

describe('snapshots of schema 1.20 and older', () => {
  const old = snapshots().filter(([name]) => /^0\.1[67]/.test(name));

  test.each(old)('%s says nothing of its guardrails', (_name, native) => {
    expect(blockers(native)).toEqual(['guardrails-unknown']);
  });

  test.each(old)('%s crosses where the caller vouches for both', (_name, native) => {
    const both = { assumeInputGuardrailsCompleted: true, assumeNoLocalMcp: true };
    expect(blockers(native, both)).toEqual([]);
    expect(blockers(native, { assumeInputGuardrailsCompleted: true })).toEqual([
      'mcp-binding-unknown',
    ]);
    expect(blockers(native, { assumeNoLocalMcp: true })).toEqual(['guardrails-unknown']);
  });

  test.each(old)('%s gets what the caller vouches for, at home too', (_name, native) => {
    const { document } = toPortable(native);
    const { document: loaded } = toNative(document, undefined, {
      assumeInputGuardrailsCompleted: true,
      assumeNoLocalMcp: true,
    });
    expect(loaded.initialInputGuardrailsCompleted).toBe(true);
    const functions = list(obj(loaded.lastProcessedResponse).functions);
    expect(functions.map((call) => obj(call).mcpToolBinding)).toEqual(functions.map(() => null));
    expect(toNative(document).document.initialInputGuardrailsCompleted).toBeUndefined();
  });
});
