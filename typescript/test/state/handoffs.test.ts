/** Handoffs of a response that were passed over, which the SDKs keep in different ways. */
import { expect, test } from 'vitest';
import type { PortableRunState, RunItem, WireItem } from '../../src/state/document.js';
import { toNative } from '../../src/state/index.js';
import { objs } from '../../src/state/json.js';
import { foreign, fromPython } from './material.js';

function call(callId: string, name: string): WireItem {
  return { type: 'function_call', call_id: callId, name, arguments: '{}', status: 'completed' };
}

function afterTwoHandoffs(): PortableRunState {
  const document = foreign(fromPython('weather'));
  const agent = document.current_agent;
  const answer = (callId: string): WireItem => ({
    type: 'function_call_output',
    call_id: callId,
    output: 'done',
  });
  const past: RunItem[] = [
    { type: 'handoff_call_item', item: call('h_1', 'transfer_to_weather'), agent },
    { type: 'handoff_call_item', item: call('h_2', 'transfer_to_time'), agent },
    { type: 'tool_call_output_item', item: answer('h_2'), agent },
    {
      type: 'handoff_output_item',
      item: answer('h_1'),
      agent,
      source_agent: agent,
      target_agent: agent,
    },
  ];
  const { response } = document;
  return {
    ...document,
    items: [...past, ...document.items],
    response: response && { ...response, start: (response.start ?? 0) + past.length },
  };
}

test('a handoff call that has the output of a tool is a tool call', () => {
  const native = toNative(afterTwoHandoffs()).document;
  expect(objs(native.generatedItems).map(({ type }) => type)).toEqual([
    'handoff_call_item',
    'tool_call_item',
    'tool_call_output_item',
    'handoff_output_item',
    'tool_call_item',
    'tool_approval_item',
  ]);
  const finished = objs(native.completedToolInvocations)[0]?.invocations;
  expect(Object.keys(finished as object)).toEqual(['h_2', 'h_1']);
});
