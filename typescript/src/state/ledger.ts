/**
 * Which calls are finished, as @openai/agents 0.20.0 records it (`inferCompletedToolInvocations`):
 * a fingerprint for each and the two history items that prove it. It is made from the history and
 * never stored in a document.
 */
import { callIdOf, canonicalCaller, fingerprint, mcpRequest } from './invocations.js';
import { deepEqual, type Obj, obj, str, text } from './json.js';
import { stateKeyOfCall } from './toolKeys.js';

/** Finds the name of a built-in tool for a call that has no approval. */
export type LocalToolName = (agent: string, callType: string) => string | undefined;

interface Pending {
  call: Obj;
  /** Undefined where the tool's name is not known; such a call is never recorded. */
  toolName: string | undefined;
  index: number;
}

interface Completed {
  fingerprint: string;
  items: [number, number];
}

/** The three fields a snapshot keeps about finished calls. */
export interface Ledger {
  completedToolInvocations: Obj[];
  completedToolInvocationEvidence: Obj[];
  ambiguousToolInvocationCallIds: Obj[];
}

const LOCAL_CALLS = new Set<unknown>([
  'function_call',
  'computer_call',
  'shell_call',
  'apply_patch_call',
]);

/** Outputs by the call they answer. */
const OUTPUTS = new Map<unknown, string>([
  ['function_call_result', 'function_call'],
  ['computer_call_result', 'computer_call'],
  ['shell_call_output', 'shell_call'],
  ['apply_patch_call_output', 'apply_patch_call'],
]);

class Recorder {
  readonly pending = new Map<string, Map<string, Pending>>();
  readonly completed = new Map<string, Map<string, Completed>>();
  readonly ambiguous = new Map<string, Set<string>>();
  readonly approvals = new Map<string, string>();

  open(agent: string, callId: string, entry: Pending): void {
    if (!this.ambiguous.get(agent)?.has(callId)) {
      inner(this.pending, agent).set(callId, entry);
    }
  }

  waiting(agent: string, callId: string): Pending | undefined {
    return this.pending.get(agent)?.get(callId);
  }

  blame(agent: string, callId: string): void {
    const calls = this.ambiguous.get(agent) ?? new Set();
    this.ambiguous.set(agent, calls.add(callId));
    this.pending.get(agent)?.delete(callId);
  }

  close(agent: string, callId: string, output: Obj, index: number): void {
    const call = this.waiting(agent, callId);
    if (!call || call.toolName === undefined || !answers(call.call, output)) {
      this.blame(agent, callId);
      return;
    }
    this.pending.get(agent)?.delete(callId);
    if (!this.ambiguous.get(agent)?.has(callId)) {
      inner(this.completed, agent).set(callId, {
        fingerprint: fingerprint(call.toolName, call.call),
        items: [call.index, index],
      });
    }
  }
}

function inner<T>(outer: Map<string, Map<string, T>>, agent: string): Map<string, T> {
  const existing = outer.get(agent);
  if (existing) {
    return existing;
  }
  const created = new Map<string, T>();
  outer.set(agent, created);
  return created;
}

function answers(call: Obj, output: Obj): boolean {
  if (!deepEqual(canonicalCaller(call), canonicalCaller(output))) {
    return false;
  }
  if (call.type === 'hosted_tool_call') {
    return true;
  }
  return (
    OUTPUTS.get(output.type) === call.type &&
    (call.type !== 'function_call' ||
      (output.name === call.name && output.namespace === call.namespace))
  );
}

function recordCall(
  recorder: Recorder,
  item: Obj,
  raw: Obj,
  index: number,
  localName: LocalToolName,
): void {
  const agent = str(obj(item.agent).name) ?? '';
  const data = obj(raw.providerData);
  if (raw.type === 'hosted_tool_call') {
    if (raw.name === 'mcp_approval_response') {
      const requestId = text(data.approval_request_id);
      if (requestId !== undefined) {
        recorder.close(agent, requestId, raw, index);
      }
      return;
    }
    const request = mcpRequest(raw);
    if (raw.name === 'mcp_approval_request' && request?.requestId && text(data.name)) {
      recorder.open(agent, request.requestId, {
        call: raw,
        toolName: request.toolName,
        index,
      });
    }
    return;
  }
  const callId = callIdOf(raw);
  if (!LOCAL_CALLS.has(raw.type) || callId === undefined) {
    return;
  }
  const previous = recorder.waiting(agent, callId);
  if (previous && fingerprint('', previous.call) !== fingerprint('', raw)) {
    recorder.blame(agent, callId);
    return;
  }
  const toolName =
    raw.type === 'function_call'
      ? (str(item.functionToolStateKey) ?? stateKeyOfCall(raw))
      : (recorder.approvals.get(callId) ?? localName(agent, String(raw.type)));
  recorder.open(agent, callId, { call: raw, toolName, index });
}

function record(recorder: Recorder, item: Obj, index: number, localName: LocalToolName): void {
  const raw = obj(item.rawItem);
  const callId = callIdOf(raw);
  switch (item.type) {
    case 'tool_call_item':
      recordCall(recorder, item, raw, index, localName);
      break;
    case 'handoff_call_item':
      if (callId !== undefined) {
        const agent = str(obj(item.agent).name) ?? '';
        const toolName = `handoff:${str(raw.name) ?? ''}`;
        recorder.open(agent, callId, { call: raw, toolName, index });
      }
      break;
    case 'tool_approval_item':
      if (callId !== undefined && LOCAL_CALLS.has(raw.type)) {
        const agent = str(obj(item.agent).name) ?? '';
        const toolName = str(item.functionToolStateKey) ?? str(item.toolName) ?? '';
        recorder.approvals.set(callId, toolName);
        recorder.open(agent, callId, { call: raw, toolName, index });
      }
      break;
    case 'handoff_output_item':
      if (callId !== undefined) {
        recorder.close(str(obj(item.sourceAgent).name) ?? '', callId, raw, index);
      }
      break;
    case 'tool_call_output_item':
      if (callId !== undefined && OUTPUTS.has(raw.type)) {
        recorder.close(str(obj(item.agent).name) ?? '', callId, raw, index);
      }
      break;
  }
}

/**
 * The ledger of a history of native run items, placeholders included.
 *
 * @param approvalOf the placeholder that proves a call in place of the item at an index, where the
 * call once waited for a decision.
 */
export function ledger(
  items: readonly Obj[],
  localName: LocalToolName,
  approvalOf: (index: number) => Obj | undefined = () => undefined,
): Ledger {
  const recorder = new Recorder();
  items.forEach((item, index) => {
    record(recorder, item, index, localName);
  });
  const result: Ledger = {
    completedToolInvocations: [],
    completedToolInvocationEvidence: [],
    ambiguousToolInvocationCallIds: [],
  };
  for (const [agentIdentity, calls] of recorder.completed) {
    const invocations: Obj = {};
    const evidence: Obj = {};
    for (const [callId, { fingerprint, items: places }] of calls) {
      invocations[callId] = fingerprint;
      evidence[callId] = {
        fingerprint,
        items: places.map((generatedItemIndex) => {
          const item = approvalOf(generatedItemIndex);
          return item ? { item } : { generatedItemIndex };
        }),
      };
    }
    result.completedToolInvocations.push({ agentIdentity, invocations });
    result.completedToolInvocationEvidence.push({ agentIdentity, invocations: evidence });
  }
  for (const [agentIdentity, callIds] of recorder.ambiguous) {
    result.ambiguousToolInvocationCallIds.push({ agentIdentity, callIds: [...callIds].sort() });
  }
  return result;
}
