/**
 * The trace a run belongs to.
 */
import { createHash } from 'node:crypto';
import type { PortableRunState } from './document.js';
import { hasKeys, isObj, type Obj, text } from './json.js';

type Trace = NonNullable<PortableRunState['trace']>;

/** The id both SDKs give a trace when tracing is off. */
const OFF = 'no-op';

/** The trace of a snapshot; none where tracing was off. */
export function traceToPortable(value: unknown): Trace | undefined {
  if (!isObj(value) || typeof value.id !== 'string' || value.id === OFF) {
    return undefined;
  }
  const trace: Trace = { id: value.id, workflow_name: text(value.workflow_name) ?? '' };
  if (typeof value.group_id === 'string') {
    trace.group_id = value.group_id;
  }
  if (isObj(value.metadata) && hasKeys(value.metadata)) {
    trace.metadata = value.metadata;
  }
  return trace;
}

/** The trace as @openai/agents 0.20.0 writes it. */
export function traceToNative(trace: Trace | undefined): Obj | null {
  return trace
    ? {
        object: 'trace',
        id: trace.id,
        workflow_name: trace.workflow_name,
        group_id: trace.group_id ?? null,
        metadata: trace.metadata ?? {},
      }
    : null;
}

/** An agent span: @openai/agents 0.20.0 takes up a trace again only where there is one. */
export function agentSpan(trace: Trace, agent: string): Obj {
  const seed = createHash('sha256').update(`${trace.id}\n${agent}`).digest('hex');
  return {
    object: 'trace.span',
    id: `span_${seed.slice(0, 24)}`,
    trace_id: trace.id,
    parent_id: null,
    started_at: null,
    ended_at: null,
    error: null,
    span_data: { type: 'agent', name: agent },
  };
}
