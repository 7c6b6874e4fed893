/**
 * `lastProcessedResponse`: the calls of a response, by kind, as @openai/agents 0.20.0 keeps them.
 */
import type { Run } from './calls.js';
import type { RunItem, WireItem } from './document.js';
import { type Obj, obj, str, text } from './json.js';
import { approvalRequest, type ProtocolOptions, toProtocol } from './protocol/items.js';
import { keyOfWire } from './toolKeys.js';

/** What the processed response is made from. */
export interface ProcessedInput {
  run: Run;
  responseItems: readonly RunItem[];
  /** The native items of the response. */
  newItems: readonly Obj[];
  localTool(agent: string, callType: string): string | undefined;
  options: ProtocolOptions;
}

function functionTool(item: RunItem, name: string): Obj {
  const key = item.tool_key ?? keyOfWire(item.item);
  return {
    type: 'function',
    name,
    description: '',
    strict: true,
    deferLoading: key?.kind === 'deferred_top_level',
    timeoutBehavior: 'error_as_result',
    inputGuardrails: [],
    outputGuardrails: [],
  };
}

/** Built-in tools: the list their calls are kept in, and the key and type of the tool. */
const BUILT_IN = new Map<unknown, readonly [string, string, string]>([
  ['computer_call', ['computerActions', 'computer', 'computer']],
  ['shell_call', ['shellActions', 'shell', 'shell']],
  ['apply_patch_call', ['applyPatchActions', 'applyPatch', 'apply_patch']],
]);

function mcpApproval(wire: WireItem): Obj {
  const { id: _id, ...rawItem } = approvalRequest(wire);
  return {
    requestItem: { rawItem },
    mcpTool: {
      type: 'hosted_tool',
      name: 'hosted_mcp',
      providerData: { type: 'mcp', server_label: str(wire.server_label) ?? '' },
    },
  };
}

function handoffToNative(toolCall: Obj, toolName: string, target: string | undefined): Obj {
  const handoff: Obj = {
    toolName,
    toolDescription: `Handoff to the ${target ?? ''} agent to handle the request. `,
    inputJsonSchema: { type: 'object', properties: {}, required: [], additionalProperties: false },
    strictJsonSchema: true,
  };
  const native: Obj = { toolCall, handoff };
  if (target !== undefined) {
    handoff.agentName = target;
    handoff.agent = { name: target };
    native.targetAgent = { name: target };
  }
  return native;
}

/** Handoff calls of a response: those in the history, then those TypeScript left out of it. */
function handoffs({ run, responseItems, newItems, options }: ProcessedInput): Obj[] {
  const known = run.response?.handoffs ?? {};
  const raws = rawByCall(newItems);
  const order = responseItems
    .filter(({ type }) => type === 'handoff_call_item')
    .map(({ item }) => str(item.call_id) ?? '');
  const output = run.responses.at(-1)?.output ?? [];
  for (const { call_id: callId } of output) {
    if (typeof callId === 'string' && known[callId] && !order.includes(callId)) {
      order.push(callId);
    }
  }
  return order.flatMap((callId) => {
    const wire = output.find((item) => item.call_id === callId);
    const raw = raws.get(callId) ?? (wire && toProtocol(wire, options));
    const entry = known[callId];
    if (!raw) {
      return [];
    }
    return [handoffToNative(raw, entry?.tool_name ?? str(raw.name) ?? '', entry?.target_agent)];
  });
}

function rawByCall(newItems: readonly Obj[]): Map<string, Obj> {
  const raws = new Map<string, Obj>();
  for (const { type, rawItem } of newItems) {
    const callId = text(obj(rawItem).callId);
    if (callId !== undefined && (type === 'tool_call_item' || type === 'handoff_call_item')) {
      raws.set(callId, obj(rawItem));
    }
  }
  return raws;
}

/** The processed response. */
export function processedResponse(input: ProcessedInput): Obj {
  const { run, responseItems, newItems, localTool } = input;
  const bindings = run.response?.mcp_bindings ?? {};
  const raws = rawByCall(newItems);
  const lists: Record<string, Obj[]> = {
    functions: [],
    computerActions: [],
    shellActions: [],
    applyPatchActions: [],
    mcpApprovalRequests: [],
  };
  for (const item of responseItems) {
    const wire = item.item;
    const callId = str(wire.call_id) ?? '';
    const toolCall = raws.get(callId);
    if (item.type === 'mcp_approval_request_item') {
      lists.mcpApprovalRequests?.push(mcpApproval(wire));
    } else if (item.type === 'tool_call_item' && toolCall && wire.type === 'function_call') {
      const binding = bindings[callId];
      lists.functions?.push({
        toolCall,
        tool: functionTool(item, str(wire.name) ?? ''),
        mcpToolBinding: binding
          ? { serverName: binding.server, toolName: binding.tool, serverIndex: binding.index }
          : null,
      });
    } else if (item.type === 'tool_call_item' && toolCall) {
      const [list, key, type] = BUILT_IN.get(toolCall.type) ?? [];
      if (list !== undefined && key !== undefined) {
        const name = localTool(item.agent, String(wire.type));
        lists[list]?.push({ toolCall, [key]: { type, name } });
      }
    }
  }
  return {
    newItems,
    toolsUsed: run.response?.tools_used ?? [],
    handoffs: handoffs(input),
    ...lists,
    functionToolsNotFound: [],
  };
}
