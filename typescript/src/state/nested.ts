/**
 * Unfinished runs of agents used as tools. TypeScript keeps each as a JSON string under the key
 * of its tool and call.
 */
import type { NestedRun, RunItem } from './document.js';
import { type Obj, str } from './json.js';
import { keyOfWire, legacyKey, stateKey } from './toolKeys.js';

/** A function call that may have a run inside it. */
export interface NestedCall {
  callId: string;
  /** Key of its run. */
  key: string;
  /** The key older accessors use for it, where it differs. */
  alias?: string;
}

/** The function calls of a response. */
export function nestedCalls(items: readonly RunItem[]): NestedCall[] {
  return items.flatMap(({ type, item, tool_key }) => {
    const callId = str(item.call_id);
    const key = tool_key ?? (item.type === 'function_call' ? keyOfWire(item) : undefined);
    if (type !== 'tool_call_item' || !key || callId === undefined) {
      return [];
    }
    return [{ callId, key: `${stateKey(key)}:${callId}`, alias: `${legacyKey(key)}:${callId}` }];
  });
}

/** The two fields of a snapshot that hold its nested runs. */
export function nestedToNative(
  items: readonly RunItem[],
  runs: Readonly<Record<string, NestedRun>>,
  generate: (run: NestedRun) => Obj,
): { pendingAgentToolRuns: Obj; pendingAgentToolRunAliases: Obj } {
  const pendingAgentToolRuns: Obj = {};
  const pendingAgentToolRunAliases: Obj = {};
  for (const { callId, key, alias } of nestedCalls(items)) {
    const run = runs[callId];
    if (run) {
      pendingAgentToolRuns[key] = JSON.stringify(generate(run));
      if (alias) {
        pendingAgentToolRunAliases[alias] = key;
      }
    }
  }
  return { pendingAgentToolRuns, pendingAgentToolRunAliases };
}
