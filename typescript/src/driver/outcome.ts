/** Where a run stands, in the protocol's words. */
import type { RunState, RunToolApprovalItem } from '@openai/agents';
import { type Row, row, text } from './json.js';
import { errorCode, typeName } from './protocol.js';
import type { AnyAgent } from './stubs.js';

/** A run of any agent. */
export type AnyState = RunState<unknown, AnyAgent>;

function rawOf(item: RunToolApprovalItem): Row {
  return { ...item.rawItem };
}

/** What a decision about the call refers to: its call id, or the id of a request. */
export function callId(item: RunToolApprovalItem): string {
  const raw = rawOf(item);
  return text(raw.callId) ?? text(row(raw.providerData)?.id) ?? String(raw.id);
}

/** A call that waits for a decision. */
export function interruption(item: RunToolApprovalItem): Row {
  const raw = rawOf(item);
  const data = row(raw.providerData) ?? {};
  // A hosted call is kept under one type; the wire's is in its data.
  const kind = String(raw.type === 'hosted_tool_call' ? data.type : raw.type);
  const args = raw.arguments ?? (kind === 'mcp_approval_request' ? data.arguments : undefined);
  const name = text(raw.name) ?? item.name;
  return {
    call_id: callId(item),
    tool: name ?? kind.replace(/_call$/, ''),
    agent: item.agent.name,
    kind,
    ...(typeof args === 'string' && { arguments: args }),
  };
}

/** The calls of a run that wait, in the SDK's order. */
export function interruptions(state: AnyState): Row[] {
  return state.getInterruptions().map(interruption);
}

/** The snapshot, for what the SDK tells nowhere else: turn, step and current agent. */
export function position(state: AnyState): Row {
  return state.toJSON() as unknown as Row;
}

/** The outcome of a result that ended by itself. */
export function finished(
  result: { finalOutput?: unknown; interruptions?: unknown[]; lastAgent?: AnyAgent },
  state: AnyState,
): Row {
  const snapshot = position(state);
  const outcome = {
    turn: snapshot.currentTurn,
    ...(result.lastAgent && { last_agent: result.lastAgent.name }),
  };
  if (state.getInterruptions().length > 0) {
    return { ...outcome, status: 'interrupted', interruptions: interruptions(state) };
  }
  if (row(snapshot.currentStep)?.type === 'next_step_run_again') {
    return { ...outcome, status: 'run_again' };
  }
  return { ...outcome, status: 'completed', output: result.finalOutput };
}

/** The outcome of a run that threw. */
export function failed(error: unknown, turn: unknown): Row {
  return {
    status: 'failed',
    error: {
      code: errorCode(error),
      message: error instanceof Error ? error.message : String(error),
      type: typeName(error),
    },
    turn,
  };
}
