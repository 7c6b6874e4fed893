/** Documents into live run states of the real SDK, and back. */
import { Agent, Runner, type RunState, tool } from '@openai/agents';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { PortableRunState } from '../../src/state/document.js';
import {
  canonical,
  dumpRunState,
  loadRunState,
  toNative,
  toPortable,
} from '../../src/state/index.js';
import { type Obj, obj, objs } from '../../src/state/json.js';
import { selfCheck } from '../../src/state/sdk.js';
import { type Model, scripted } from '../model.js';
import { fromPython, snapshot } from './material.js';

const models: Model[] = [];
afterEach(async () => {
  await Promise.all(models.splice(0).map((each) => each[Symbol.asyncDispose]()));
});

async function answering(...turns: number[]): Promise<Model> {
  const model = await scripted(turns);
  models.push(model);
  return model;
}

function cityTool(name: string, calls: string[]) {
  return tool({
    name,
    description: name,
    parameters: z.object({ city: z.string() }),
    needsApproval: true,
    execute: ({ city }) => {
      calls.push(city);
      return `${city} is sunny`;
    },
  });
}

function assistant(calls: string[] = []): Agent {
  return new Agent({ name: 'assistant', model: 'gpt-x', tools: [cityTool('get_weather', calls)] });
}

function nestedAgents(calls: string[] = []): Agent {
  const weather = new Agent({
    name: 'weather_agent',
    model: 'gpt-x',
    tools: [cityTool('get_weather', calls)],
  });
  return new Agent({
    name: 'orch',
    model: 'gpt-x',
    tools: [weather.asTool({ toolName: 'ask_weather', toolDescription: 'ask' })],
  });
}

function handoffAgents({ target = 'weather_agent', toolName = 'transfer_to_weather_agent' } = {}) {
  const weather = new Agent({ name: target, tools: [cityTool('get_weather', [])] });
  return new Agent({
    name: 'triage',
    tools: [cityTool('get_weather', [])],
    handoffs: [Object.assign(Object.create(null), handoffTo(weather, toolName))],
  });
}

function handoffTo(agent: Agent, toolName: string) {
  return {
    agent,
    agentName: agent.name,
    toolName,
    toolDescription: '',
    inputJsonSchema: { type: 'object', properties: {}, required: [], additionalProperties: false },
    strictJsonSchema: true,
    onInvokeHandoff: async () => agent,
    isEnabled: async () => true,
    getHandoffAsFunctionTool: () => ({}),
  };
}

const code = (wanted: string) => expect.objectContaining({ code: wanted });

function decide(state: RunState<unknown, Agent>, approve: boolean): void {
  for (const interruption of state.getInterruptions()) {
    if (approve) {
      state.approve(interruption);
    } else {
      state.reject(interruption, { message: 'no' });
    }
  }
}

describe('a run of Python goes on', () => {
  test('approved: the tool runs once', async () => {
    const { provider, requests } = await answering(2);
    const calls: string[] = [];
    const state = await loadRunState<unknown, Agent>(fromPython('weather'), assistant(calls));
    decide(state, true);
    const result = await new Runner({ modelProvider: provider }).run(assistant(calls), state);
    expect(calls).toEqual(['Oslo']);
    expect(result.finalOutput).toBe('It is sunny in Oslo.');
    const input = objs(requests[0]?.input);
    expect(input.map(({ type, role }) => type ?? role)).toEqual([
      'user',
      'function_call',
      'function_call_output',
    ]);
  });

  test('decided before it crossed: nothing is asked again', async () => {
    const { provider } = await answering(2);
    const calls: string[] = [];
    const agent = assistant(calls);
    const state = await loadRunState<unknown, Agent>(fromPython('always'), agent);
    const result = await new Runner({ modelProvider: provider }).run(agent, state);
    expect(result.interruptions).toEqual([]);
    expect(calls).toEqual(['Oslo']);
  });

  test.each(['parallel', 'weather', 'always'])('%s is restored whole', async (name) => {
    const document = fromPython(name);
    const agent = assistant();
    agent.tools = [...agent.tools, cityTool('get_time', [])];
    const state = await loadRunState<unknown, Agent>(document, agent);
    expect(state.getInterruptions().map(({ rawItem }) => obj(rawItem).callId)).toEqual(
      document.interruptions.map(({ item }) => item.call_id),
    );
  });

  test('with a run inside a tool, whose decisions are outside', async () => {
    const document = fromPython('nested');
    const state = await loadRunState<unknown, Agent>(document, nestedAgents());
    decide(state, false);
    const dumped = dumpRunState(state).document;
    expect(dumped.decisions).toMatchObject([
      { tool: { agent: 'weather_agent' }, call_id: 'call_1', decision: 'reject', message: 'no' },
    ]);
    expect(Object.keys(dumped.response?.nested_runs ?? {})).toEqual(['call_ask']);
  });

  test('with the context the caller gives, the very object', async () => {
    const context = { user: 'ada' };
    const document = { ...fromPython('weather'), context_type: 'omitted' as const };
    const state = await loadRunState<unknown, Agent>(document, assistant(), { context });
    expect((state as unknown as { _context: { context: unknown } })._context.context).toBe(context);
    expect(state.usage.requests).toBe(1);
  });
});

describe('a pending handoff finds its agent', () => {
  function names(agent: Agent, change: (document: PortableRunState) => void = () => {}) {
    const document = structuredClone(fromPython('handoff-pending'));
    change(document);
    const { document: native } = toNative(document, agent);
    const [handoff] = objs(obj(native.lastProcessedResponse).handoffs);
    const call = objs(native.generatedItems).find(({ type }) => type === 'handoff_call_item');
    return {
      tool: obj(handoff?.handoff).toolName,
      target: obj(handoff?.targetAgent).name,
      call: obj(call?.rawItem).name,
    };
  }

  test('by the exact name', () => {
    expect(names(handoffAgents())).toEqual({
      tool: 'transfer_to_weather_agent',
      target: 'weather_agent',
      call: 'transfer_to_weather_agent',
    });
  });

  test('by the name without case and separators', () => {
    const agent = handoffAgents({
      target: 'Weather Agent',
      toolName: 'transfer_to_Weather_Agent',
    });
    expect(names(agent)).toEqual({
      tool: 'transfer_to_Weather_Agent',
      target: 'Weather Agent',
      call: 'transfer_to_Weather_Agent',
    });
  });

  test('by the recorded target', () => {
    const agent = handoffAgents({ toolName: 'pass_on' });
    const recorded = names(agent, (document) => {
      const [entry] = Object.values(document.response?.handoffs ?? {});
      Object.assign(entry ?? {}, { target_agent: 'weather_agent' });
    });
    expect(recorded).toEqual({ tool: 'pass_on', target: 'weather_agent', call: 'pass_on' });
  });

  test('and loads', async () => {
    await loadRunState(fromPython('handoff-pending'), triage());
    const { document } = toPortable(snapshot('handoff-pending'));
    await loadRunState(document, triage());
  });

  test('a handoff of the past stays as it was', async () => {
    const { document } = toNative(fromPython('handoff'), triage());
    const call = objs(document.generatedItems).find(({ type }) => type === 'handoff_call_item');
    expect(obj(call?.rawItem).name).toBe('transfer_to_weather_agent');
  });
});

/** Agents of which the SDK makes the handoff itself. */
function triage(): Agent {
  const weather = new Agent({ name: 'weather_agent', tools: [cityTool('get_weather', [])] });
  return new Agent({
    name: 'triage',
    tools: [cityTool('get_weather', [])],
    handoffs: [weather],
  });
}

describe('the live agents', () => {
  test.each<[string, string, string, () => Agent]>([
    ['agent-missing', 'weather', '/current_agent', () => new Agent({ name: 'other' })],
    [
      'agent-missing',
      'handoff',
      '/current_agent',
      () => new Agent({ name: 'triage', tools: [cityTool('get_weather', [])] }),
    ],
    ['tool-missing', 'weather', '/items/0', () => new Agent({ name: 'assistant' })],
    [
      'handoff-missing',
      'handoff-pending',
      '/items/1',
      () => new Agent({ name: 'triage', tools: [cityTool('get_weather', [])] }),
    ],
    [
      'ambiguous-agent',
      'weather',
      '/current_agent',
      () =>
        new Agent({
          name: 'assistant',
          tools: [cityTool('get_weather', [])],
          handoffs: [new Agent({ name: 'assistant' })],
        }),
    ],
  ])('%s (%s)', async (wanted, name, pointer, build) => {
    const refusal = loadRunState(fromPython(name), build());
    await expect(refusal).rejects.toMatchObject({ code: wanted, pointer });
  });

  test('an agent behind a tool counts, and its absence too', async () => {
    await loadRunState(fromPython('nested'), nestedAgents());
    const other = new Agent({ name: 'other', tools: [cityTool('get_weather', [])] });
    const orch = new Agent({
      name: 'orch',
      tools: [other.asTool({ toolName: 'ask_weather', toolDescription: 'ask' })],
    });
    await expect(loadRunState(fromPython('nested'), orch)).rejects.toMatchObject({
      code: 'agent-missing',
    });
  });

  test.each([
    ['a tool for a shell_call', { type: 'shell_call', call_id: 'c', action: { commands: [] } }],
    [
      'an apply_patch_call',
      {
        type: 'apply_patch_call',
        call_id: 'c',
        operation: { type: 'delete_file', path: 'a' },
      },
    ],
  ])('%s must be there', async (_name, item) => {
    const document = structuredClone(fromPython('weather'));
    document.items = [{ type: 'tool_call_item', item, agent: 'assistant' }];
    document.interruptions = [{ item, agent: 'assistant' }];
    await expect(loadRunState(document, assistant())).rejects.toMatchObject({
      code: 'tool-missing',
    });
  });

  test('a hosted MCP server must be there', async () => {
    const { document } = toPortable(snapshot('hosted-mcp'));
    await expect(loadRunState(document, assistant())).rejects.toMatchObject({
      code: 'tool-missing',
    });
  });

  test('whether a local MCP server serves a call must be known', async () => {
    const agent = new Agent({ name: 'assistant' });
    agent.mcpServers = [{ name: 'docs' } as never];
    await expect(loadRunState(fromPython('weather'), agent)).rejects.toMatchObject({
      code: 'mcp-binding-unknown',
    });
  });
});

describe('the same language', () => {
  test.each([
    'weather',
    'parallel',
    'always',
    'approved',
    'rejected',
    'completed',
  ])('%s is restored and saved as it was', async (name) => {
    const agent = assistant();
    agent.tools = [...agent.tools, cityTool('get_time', [])];
    const { document } = toPortable(snapshot(name));
    const state = await loadRunState<unknown, Agent>(document, agent);
    const again = dumpRunState(state).document;
    expect(again.items).toEqual(document.items);
    expect(again.decisions).toEqual(document.decisions);
    expect(again.interruptions).toEqual(document.interruptions);
    expect(again.status).toBe(document.status);
  });

  test('decisions that another writer added are honoured', async () => {
    const { provider } = await answering(2);
    const { document } = toPortable(snapshot('weather'));
    const decided: PortableRunState = {
      ...document,
      decisions: toPortable(snapshot('approved')).document.decisions,
      residue: {
        typescript: { patch: document.residue?.typescript?.patch ?? [], decisions: [] },
      },
    };
    const calls: string[] = [];
    const agent = assistant(calls);
    const state = await loadRunState<unknown, Agent>(decided, agent);
    await new Runner({ modelProvider: provider }).run(agent, state);
    expect(calls).toEqual(['Oslo']);
    const { document: native } = toNative(decided);
    expect(canonical(obj(native.context).functionApprovals)).toBe(
      canonical(obj(snapshot('approved').context).functionApprovals),
    );
    expect(canonical(obj(native.context).approvalInvocations)).toBe(
      canonical(obj(snapshot('approved').context).approvalInvocations),
    );
  });
});

describe('saved after loading', () => {
  test('unchanged, it is the loaded document', async () => {
    const document = fromPython('weather');
    const state = await loadRunState<unknown, Agent>(document, assistant());
    expect(dumpRunState(state).document).toEqual(document);
  });

  test('with decisions added, the other residue stays and remembers those before', async () => {
    const document = fromPython('weather');
    const state = await loadRunState<unknown, Agent>(document, assistant());
    decide(state, false);
    const saved = dumpRunState(state).document;
    expect(saved).toEqual({
      ...document,
      decisions: [
        {
          tool: {
            kind: 'function',
            agent: 'assistant',
            key: { kind: 'bare', name: 'get_weather' },
          },
          scope: 'call',
          call_id: 'call_1',
          decision: 'reject',
          message: 'no',
        },
      ],
      residue: { python: { ...document.residue?.python, decisions: [] } },
    });
    const again = await loadRunState<unknown, Agent>(saved, assistant());
    expect(dumpRunState(again).document).toEqual(saved);
  });

  test('advanced, it is written anew and the old residue is gone', async () => {
    const { provider } = await answering(2);
    const agent = assistant();
    const state = await loadRunState<unknown, Agent>(fromPython('weather'), agent);
    decide(state, true);
    const result = await new Runner({ modelProvider: provider }).run(agent, state);
    const { document } = dumpRunState(result.state);
    expect(document).toMatchObject({ status: 'completed', writer: { language: 'typescript' } });
    expect(Object.keys(document.residue ?? {})).toEqual(['typescript']);
  });
});

describe('loading fails', () => {
  test('in the words of the SDK', async () => {
    const { document } = toPortable(snapshot('weather'));
    document.residue?.typescript?.patch.push({ op: 'replace', path: '/maxTurns', value: 'many' });
    await expect(loadRunState(document, assistant())).rejects.toMatchObject({
      code: 'load-failed',
      name: 'LoadError',
      message: expect.stringMatching(/maxTurns/),
    });
  });

  test('where the SDK dropped something without a word', async () => {
    const { document } = toPortable(snapshot('weather'));
    document.residue?.typescript?.patch.push(
      { op: 'remove', path: '/currentResponseGeneratedItemOwnership' },
      { op: 'add', path: '/currentStep/data/interruptions/1', value: { rawItem: { type: 'x' } } },
    );
    await expect(loadRunState(document, assistant())).rejects.toMatchObject({
      code: 'self-check-failed',
    });
  });

  test('where a run inside a tool could not go on later', async () => {
    const native = snapshot('nested');
    const runs = obj(native.pendingAgentToolRuns);
    for (const [key, text] of Object.entries(runs)) {
      runs[key] = JSON.stringify({ ...JSON.parse(String(text)), maxTurns: 'many' });
    }
    const { document } = toPortable(snapshot('nested'));
    document.residue?.typescript?.patch.push({
      op: 'replace',
      path: '/pendingAgentToolRuns',
      value: runs,
    });
    await expect(loadRunState(document, nestedAgents())).rejects.toMatchObject({
      code: 'load-failed',
    });
  });

  test('not for a guardrail result without outputInfo, which newer zod refuses', async () => {
    const native = snapshot('weather');
    const output = { tripwireTriggered: false };
    native.inputGuardrailResults = [{ guardrail: { type: 'input', name: 'g' }, output }];
    const { document } = toPortable(native);
    const state = await loadRunState<unknown, Agent>(document, assistant());
    const [result] = objs(obj(state.toJSON()).inputGuardrailResults);
    expect(result?.output).toEqual({ ...output, outputInfo: null });
    expect(objs(toNative(document).document.inputGuardrailResults)[0]?.output).toEqual(output);
  });

  test.each<[string, (native: Obj) => void]>([
    [
      'history items',
      (native) => objs(native.generatedItems).length && pop(native, 'generatedItems'),
    ],
    [
      'current agent',
      (native) => {
        native.currentAgent = { name: 'other' };
      },
    ],
    [
      'interruptions',
      (native) => {
        obj(obj(native.currentStep).data).interruptions = [];
      },
    ],
    [
      'functions',
      (native) => {
        obj(native.lastProcessedResponse).functions = [];
      },
    ],
    [
      'completed calls',
      (native) => {
        native.completedToolInvocations = [
          { agentIdentity: 'assistant', invocations: { call_9: 'x' } },
        ];
      },
    ],
    [
      'nested runs',
      (native) => {
        native.pendingAgentToolRuns = { x: '{}' };
      },
    ],
  ])('where the restored %s differ from the written', async (what, change) => {
    const { document } = toNative(fromPython('weather'));
    const state = await loadRunState<unknown, Agent>(fromPython('weather'), assistant());
    expect(() => selfCheck(state, document)).not.toThrow();
    const altered = structuredClone(document);
    change(altered);
    expect(() => selfCheck(state, altered)).toThrowError(code('self-check-failed'));
    expect(() => selfCheck(state, altered)).toThrowError(new RegExp(`^${what}`));
  });
});

function pop(native: Obj, key: string): void {
  native[key] = objs(native[key]).slice(1);
}
