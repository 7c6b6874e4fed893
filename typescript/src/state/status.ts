/**
 * Where a run stands.
 */
import type { PortableRunState, RunItem } from './document.js';
import { list, type Obj, obj, str } from './json.js';

type Status = PortableRunState['status'];

/** Calls that need an output in the history before the model is asked again. */
const CALLS = new Set<unknown>([
  'function_call',
  'computer_call',
  'shell_call',
  'apply_patch_call',
  'custom_tool_call',
  'local_shell_call',
]);

/** Ids of the calls of a history that have no output there. */
export function unanswered(items: readonly RunItem[]): Set<string> {
  const open = new Set<string>();
  for (const { item } of items) {
    const callId = str(item.call_id);
    if (callId !== undefined) {
      if (CALLS.has(item.type)) {
        open.add(callId);
      } else {
        open.delete(callId);
      }
    }
    if (item.type === 'mcp_approval_request' && typeof item.id === 'string') {
      open.add(item.id);
    } else if (item.type === 'mcp_approval_response') {
      open.delete(str(item.approval_request_id) ?? '');
    }
  }
  return open;
}

/** What a snapshot's current step says; `missing` where unanswered calls would be skipped. */
export function statusOf(
  native: Obj,
  items: readonly RunItem[],
  responseItems: readonly RunItem[],
): { status: Status; missing: boolean } {
  switch (obj(native.currentStep).type) {
    case 'next_step_interruption':
      return { status: 'interrupted', missing: false };
    case 'next_step_run_again':
    case 'next_step_handoff':
      return { status: 'run_again', missing: false };
    case 'next_step_final_output':
      return { status: 'completed', missing: false };
  }
  if (
    native.currentTurn === 0 &&
    list(native.modelResponses).length === 0 &&
    responseItems.length === 0
  ) {
    return { status: 'not_started', missing: false };
  }
  const open = unanswered(items);
  const missing = responseItems.some(
    ({ item }) =>
      open.has(str(item.call_id) ?? '') ||
      (item.type === 'mcp_approval_request' && open.has(str(item.id) ?? '')),
  );
  return { status: 'completed', missing };
}
