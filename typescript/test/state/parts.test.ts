/** Usage, guardrails, keys and placeholders: the small parts of a snapshot. */
import { describe, expect, test } from 'vitest';
import type { RunItem } from '../../src/state/document.js';
import { guardrailsToNative, guardrailsToPortable } from '../../src/state/guardrails.js';
import { type Interruption, place } from '../../src/state/interruptions.js';
import { wireOf } from '../../src/state/runItems.js';
import { keyOfCall, legacyKey, parseStateKey, stateKey } from '../../src/state/toolKeys.js';
import { usageToNative, usageToPortable } from '../../src/state/usage.js';

describe('usage', () => {
  const native = {
    requests: 2,
    inputTokens: 20,
    outputTokens: 10,
    totalTokens: 30,
    inputTokensDetails: [{ cached_tokens: 4 }, { cached_tokens: 1 }],
    outputTokensDetails: [{ reasoning_tokens: 2 }, {}],
    requestUsageEntries: [4, 1].map((cached) => ({
      inputTokens: 10,
      outputTokens: 5,
      totalTokens: 15,
      inputTokensDetails: { cached_tokens: cached },
      outputTokensDetails: cached === 4 ? { reasoning_tokens: 2 } : {},
      endpoint: 'responses.create',
    })),
  };

  test('details are added up, and taken apart by the entries', () => {
    const usage = usageToPortable(native);
    expect(usage.input_tokens_details).toEqual({ cached_tokens: 5 });
    expect(usage.entries[0]).not.toHaveProperty('endpoint');
    expect(usageToNative(usage, 'responses.create')).toEqual(native);
  });

  test('what is no number counts for nothing', () => {
    const details = [{ cached_tokens: null, cache_write_tokens: 1, text: 'x' }];
    const usage = usageToPortable({ inputTokensDetails: details, requests: '2' });
    expect(usage).toMatchObject({ requests: 0, input_tokens_details: { cache_write_tokens: 1 } });
  });

  test('entries that do not add up leave the sum whole', () => {
    const usage = usageToPortable({ ...native, inputTokensDetails: [{ cached_tokens: 9 }] });
    expect(usageToNative(usage, undefined)).toMatchObject({
      inputTokensDetails: [{ cached_tokens: 9 }],
    });
  });
});

describe('guardrails', () => {
  const tool = (type: 'tool_input' | 'tool_output', behavior: object) => ({
    guardrail: { type, name: type },
    output: { outputInfo: { a: 1 }, behavior },
  });
  const native = {
    inputGuardrailResults: [
      {
        guardrail: { type: 'input', name: 'in' },
        output: { tripwireTriggered: true, outputInfo: { someKey: 1 } },
      },
    ],
    outputGuardrailResults: [
      {
        guardrail: { type: 'output', name: 'out' },
        agentOutput: 'x',
        agent: { name: 'a' },
        output: { tripwireTriggered: false, outputInfo: null },
      },
    ],
    toolInputGuardrailResults: [
      tool('tool_input', { type: 'rejectContent', message: 'no' }),
      tool('tool_input', { type: 'throwException' }),
    ],
    toolOutputGuardrailResults: [tool('tool_output', { type: 'allow' })],
  };

  test('there and back, outcomes by their shared names', () => {
    const guardrails = guardrailsToPortable(native);
    expect(guardrails.tool_input.map(({ behavior }) => behavior.type)).toEqual([
      'reject_content',
      'raise_exception',
    ]);
    expect(guardrails.input).toEqual([
      { name: 'in', tripwire_triggered: true, output_info: { someKey: 1 } },
    ]);
    expect(guardrailsToNative(guardrails, 'a')).toEqual(native);
  });
});

describe('tool keys', () => {
  test.each([
    ['find', undefined, '["bare","find"]', 'find'],
    ['find', 'crm', '["namespaced","crm","find"]', 'crm.find'],
    ['find', 'find', '["deferred_top_level","find"]', 'find'],
  ])('%s in %s', (name, namespace, state, legacy) => {
    const key = keyOfCall(name, namespace);
    expect(stateKey(key)).toBe(state);
    expect(parseStateKey(state)).toEqual(key);
    expect(legacyKey(key)).toBe(legacy);
  });

  test.each([
    'find',
    '["bare"]',
    '["bare",""]',
    '["other","x"]',
    '[1',
    '{}',
    undefined,
  ])('%s is no key', (value) => {
    expect(parseStateKey(value)).toBeUndefined();
  });
});

describe('placeholders', () => {
  const call = (id: string, type = 'function_call'): RunItem => ({
    type: 'tool_call_item',
    item: { type, call_id: id, name: 'find', arguments: '{}' },
    agent: 'a',
  });
  const output = (id: string): RunItem => ({
    type: 'tool_call_output_item',
    item: { type: 'function_call_output', call_id: id, output: '' },
    agent: 'a',
  });
  const waits = ({ item, agent }: RunItem): Interruption => ({ item, agent });
  const names = (items: RunItem[], count: number, own: RunItem[]) =>
    place(items, 0, count, own.map(waits)).map((entry) =>
      'item' in entry
        ? entry.item
        : `${entry.interruption.item.call_id ?? entry.interruption.item.id}`,
    );

  test('stand where the output will be', () => {
    const [a, b, c] = [call('a'), call('b'), call('c')];
    expect(names([a, b, c, output('a'), output('c')], 3, [b])).toEqual([0, 1, 2, 3, 'b', 4]);
    expect(names([a, b, c, output('b')], 3, [a, c])).toEqual([0, 1, 2, 'a', 3, 'c']);
  });

  test('functions come before computer, shell and patches', () => {
    const [shell, find] = [call('s', 'shell_call'), call('f')];
    expect(names([shell, find, output('s')], 2, [find])).toEqual([0, 1, 'f', 2]);
    expect(names([shell, find], 2, [shell, find])).toEqual([0, 1, 'f', 's']);
  });

  test('a hosted request is followed by its own', () => {
    const request = (id: string): RunItem => ({
      type: 'mcp_approval_request_item',
      item: { type: 'mcp_approval_request', id },
      agent: 'a',
    });
    const items = [request('m1'), request('m2')];
    expect(names(items, 2, items)).toEqual([0, 'm1', 1, 'm2']);
  });
});

test('of the data of a provider only the model that thought is kept', () => {
  const data = { providerData: { provider_data: { model: 'x', response_id: 'y' } } };
  const call = { type: 'function_call', callId: 'c', name: 'n', arguments: '{}', ...data };
  expect(wireOf(call, '')).not.toHaveProperty('provider_data');
  expect(wireOf({ type: 'reasoning', content: [], ...data }, '')).toMatchObject({
    provider_data: { model: 'x' },
  });
  const unknown = { providerData: { provider_data: { response_id: 'y' } } };
  expect(wireOf({ type: 'reasoning', content: [], ...unknown }, '')).not.toHaveProperty(
    'provider_data',
  );
});
