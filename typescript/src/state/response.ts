/**
 * The model response being processed: which items belong to it, and what its calls need.
 */
import type { PortableRunState, RunItem } from './document.js';
import { isPlaceholder } from './interruptions.js';
import { deepEqual, hasKeys, isObj, type Obj, obj, objs, str, text } from './json.js';
import { runItemToPortable } from './runItems.js';

/** The response of a document. */
export type Response = NonNullable<PortableRunState['response']>;

/** The position of a sequence in a list, the last one where there are more. */
function lastIndexOf(items: readonly unknown[], sequence: readonly unknown[]): number {
  for (let start = items.length - sequence.length; start >= 0; start -= 1) {
    if (sequence.every((entry, offset) => deepEqual(entry, items[start + offset]))) {
      return start;
    }
  }
  return -1;
}

function bindings(processed: Obj): Response['mcp_bindings'] {
  const found: NonNullable<Response['mcp_bindings']> = {};
  for (const { toolCall, mcpToolBinding: binding } of objs(processed.functions)) {
    const callId = text(obj(toolCall).callId);
    if (callId !== undefined && isObj(binding)) {
      found[callId] = {
        server: str(binding.serverName) ?? '',
        tool: str(binding.toolName) ?? '',
        index: typeof binding.serverIndex === 'number' ? binding.serverIndex : null,
      };
    }
  }
  return hasKeys(found) ? found : undefined;
}

function handoffs(processed: Obj): Response['handoffs'] {
  const found: NonNullable<Response['handoffs']> = {};
  for (const { toolCall, handoff, targetAgent } of objs(processed.handoffs)) {
    const callId = text(obj(toolCall).callId);
    if (callId !== undefined) {
      const entry: { tool_name: string; target_agent?: string } = {
        tool_name: str(obj(handoff).toolName) ?? str(obj(toolCall).name) ?? '',
      };
      const target = text(obj(targetAgent).name) ?? text(obj(handoff).agentName);
      if (target !== undefined) {
        entry.target_agent = target;
      }
      found[callId] = entry;
    }
  }
  return hasKeys(found) ? found : undefined;
}

/**
 * The processed response of a snapshot.
 *
 * @param nativeItems the snapshot's history, and `items` the same without placeholders.
 */
export function responseToPortable(
  processed: Obj,
  pointer: string,
  nativeItems: readonly Obj[],
  items: readonly RunItem[],
): Response {
  const newItems = objs(processed.newItems);
  const own = newItems.filter((item) => !isPlaceholder(item));
  const history = nativeItems.filter((item) => !isPlaceholder(item));
  const start = own.length === 0 ? items.length : lastIndexOf(history, own);
  const response: Response = {
    ...(start >= 0
      ? { start, count: own.length }
      : {
          items: own.map((item, index) => runItemToPortable(item, `${pointer}/newItems/${index}`)),
        }),
    tools_used: Array.isArray(processed.toolsUsed)
      ? processed.toolsUsed.filter((name): name is string => typeof name === 'string')
      : [],
  };
  const mcp = bindings(processed);
  if (mcp) {
    response.mcp_bindings = mcp;
  }
  const pending = handoffs(processed);
  if (pending) {
    response.handoffs = pending;
  }
  return response;
}

/** The run items of a response. */
export function itemsOfResponse(response: Response | null, items: readonly RunItem[]): RunItem[] {
  if (!response) {
    return [];
  }
  const start = response.start ?? 0;
  return response.items ?? items.slice(start, start + (response.count ?? 0));
}
