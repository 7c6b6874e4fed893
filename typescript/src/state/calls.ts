/**
 * Every call of a run and of the runs nested in it, by id.
 */
import type { NestedRun, PortableRunState, ToolKey, WireItem } from './document.js';
import { approvalId } from './interruptions.js';
import { text } from './json.js';
import { keyOfWire } from './toolKeys.js';

/** What a run at any level has. */
export type Run = Omit<NestedRun, 'final_output'> & Pick<PortableRunState, 'final_output'>;

/** One call. */
export interface Call {
  agent: string;
  item: WireItem;
  /** How its function tool is looked up. */
  key?: ToolKey;
  /** Name of its built-in or hosted tool. */
  name?: string;
  /** Whether it waits for a decision. */
  waiting: boolean;
  /** Place in the order of calls. */
  order: number;
}

/** Calls by id; the newest one where an id was used twice. */
export type Calls = ReadonlyMap<string, Call>;

/** Collects the calls of a run, nested runs included. */
export function collectCalls(run: Run): Calls {
  const calls = new Map<string, Call>();
  addCalls(run, calls);
  return calls;
}

function addCalls(run: Run, calls: Map<string, Call>): void {
  const add = (item: WireItem, agent: string, key: ToolKey | undefined, waiting: boolean) => {
    const id = approvalId(item);
    if (id === undefined) {
      return;
    }
    const before = calls.get(id);
    calls.set(id, {
      agent,
      item,
      key: key ?? before?.key ?? (item.type === 'function_call' ? keyOfWire(item) : undefined),
      waiting,
      order: before?.order ?? calls.size,
    });
  };
  for (const { type, item, agent, tool_key } of run.items) {
    if (type === 'tool_call_item' || type === 'mcp_approval_request_item') {
      add(item, agent, tool_key, false);
    }
  }
  for (const nested of Object.values(run.response?.nested_runs ?? {})) {
    addCalls(nested, calls);
  }
  for (const { item, agent, tool_key, tool_name } of run.interruptions) {
    add(item, agent, tool_key, true);
    const call = calls.get(approvalId(item) ?? '');
    if (call && text(tool_name)) {
      call.name = tool_name;
    }
  }
}
