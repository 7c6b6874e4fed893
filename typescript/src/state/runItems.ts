/**
 * Run items: a wire item and who produced it.
 */
import type { RunItem, WireItem } from './document.js';
import { deepEqual, type Obj, obj, put, str, text } from './json.js';
import { malformed, needObj, needStr } from './malformed.js';
import { type CallNames, hostedType, toProtocol, toWire, unknownItem } from './protocol/items.js';
import { keyOfWire, parseStateKey, sameKey, stateKey } from './toolKeys.js';

type RunItemType = RunItem['type'];

/** Kinds of run item that both SDKs have. */
const TYPES = new Set<unknown>([
  'message_output_item',
  'tool_call_item',
  'tool_call_output_item',
  'reasoning_item',
  'handoff_call_item',
  'handoff_output_item',
  'compaction_item',
  'tool_search_call_item',
  'tool_search_output_item',
  'input_item',
]);

/** Hosted calls that are run items of their own in Python; TypeScript keeps them as tool calls. */
const HOSTED_TYPES = new Map<unknown, RunItemType>([
  ['mcp_list_tools', 'mcp_list_tools_item'],
  ['mcp_approval_request', 'mcp_approval_request_item'],
  ['mcp_approval_response', 'mcp_approval_response_item'],
]);

const NATIVE_TYPES = new Map<RunItemType, string>(
  [...HOSTED_TYPES.values()].map((type) => [type, 'tool_call_item']),
);

/** Raw items that @openai/agents 0.20.0 accepts in each kind of run item; any in an input item. */
const RAW_TYPES = new Map<string, ReadonlySet<unknown>>([
  ['message_output_item', new Set(['message'])],
  [
    'tool_call_item',
    new Set([
      'program',
      'computer_call',
      'shell_call',
      'apply_patch_call',
      'function_call',
      'hosted_tool_call',
    ]),
  ],
  [
    'tool_call_output_item',
    new Set([
      'function_call_result',
      'computer_call_result',
      'shell_call_output',
      'apply_patch_call_output',
      'program_output',
    ]),
  ],
  ['reasoning_item', new Set(['reasoning'])],
  ['compaction_item', new Set(['compaction'])],
  ['tool_search_call_item', new Set(['tool_search_call'])],
  ['tool_search_output_item', new Set(['tool_search_output'])],
  ['handoff_call_item', new Set(['function_call'])],
  ['handoff_output_item', new Set(['function_call_result'])],
]);

/** Outputs that may say that their tool really ran. */
const EXECUTED = new Set<unknown>([
  'function_call_result',
  'computer_call_result',
  'shell_call_output',
  'apply_patch_call_output',
]);

/** Marks an input item that stands for a kind of item TypeScript has no place for. */
const CARRIED = 'timestep:';

const EXECUTED_MARK = ':executed';

function carriedType(inputId: string | undefined): RunItemType | undefined {
  if (!inputId?.startsWith(CARRIED)) {
    return undefined;
  }
  const type = inputId.split(':')[1];
  return TYPES.has(type) || NATIVE_TYPES.has(type as RunItemType)
    ? (type as RunItemType)
    : undefined;
}

/** The wire item of a raw item; checks what the document's schema asks of it. */
export function wireOf(raw: unknown, pointer: string): WireItem {
  const wire: WireItem = withoutProviderData(toWire(needObj(raw, pointer)));
  if (wire.type === 'function_call') {
    needStr(wire.name, `${pointer}/name`);
    needStr(wire.arguments, `${pointer}/arguments`);
    needStr(wire.call_id, `${pointer}/callId`);
  } else if (wire.type?.endsWith('_call_output')) {
    needStr(wire.call_id, `${pointer}/callId`);
  }
  return wire;
}

/**
 * The item without `provider_data`, which only the SDK that wrote it understands, but for the model
 * that thought: its thinking goes back to such a model, and never to OpenAI.
 */
export function withoutProviderData<T extends object>(wire: T): T {
  if (!('provider_data' in wire)) {
    return wire;
  }
  const { provider_data: data, ...item } = wire as Obj;
  const model = item.type === 'reasoning' ? text(obj(data).model) : undefined;
  return (model === undefined ? item : { ...item, provider_data: { model } }) as T;
}

/** The name of an agent reference. */
export function agentOf(reference: unknown, pointer: string): string {
  return needStr(needObj(reference, pointer).name, `${pointer}/name`);
}

/** A run item of a snapshot as the document keeps it. */
export function runItemToPortable(native: Obj, pointer: string): RunItem {
  const nativeType = needStr(native.type, `${pointer}/type`);
  if (!TYPES.has(nativeType)) {
    throw malformed(`${pointer}/type`, 'a kind of run item this port knows');
  }
  const raw = needObj(native.rawItem, `${pointer}/rawItem`);
  const wire = wireOf(raw, `${pointer}/rawItem`);
  if (nativeType === 'handoff_output_item') {
    const source = agentOf(native.sourceAgent, `${pointer}/sourceAgent`);
    return {
      type: 'handoff_output_item',
      item: wire,
      agent: source,
      source_agent: source,
      target_agent: agentOf(native.targetAgent, `${pointer}/targetAgent`),
    };
  }
  const inputId = str(native.inputId);
  const carried = nativeType === 'input_item' ? carriedType(inputId) : undefined;
  const hosted = nativeType === 'tool_call_item' ? HOSTED_TYPES.get(hostedTypeOf(raw)) : undefined;
  const item: RunItem = {
    type: carried ?? hosted ?? (nativeType as RunItemType),
    item: wire,
    agent: agentOf(native.agent, `${pointer}/agent`),
  };
  if (carried && inputId?.endsWith(EXECUTED_MARK)) {
    item.executed = true;
  } else if (nativeType === 'input_item' && !carried && text(inputId)) {
    item.input_id = inputId;
  }
  if (nativeType === 'tool_call_output_item') {
    if (native.output !== undefined && !deepEqual(native.output, wire.output)) {
      item.output = native.output;
    }
    if (native.executionStatus === 'executed') {
      item.executed = true;
    }
    if (native.customData !== undefined) {
      item.custom_data = needObj(native.customData, `${pointer}/customData`);
    }
  }
  const key = parseStateKey(native.functionToolStateKey);
  if (key && !sameKey(key, keyOfWire(wire))) {
    item.tool_key = key;
  }
  return item;
}

function hostedTypeOf(raw: Obj): string | undefined {
  return raw.type === 'hosted_tool_call' ? hostedType(raw) : undefined;
}

/** What a run item needs to become native. */
export interface RunItemContext {
  calls: CallNames;
  /** Position in the history, for the identity of items TypeScript has no kind for. */
  index: number;
}

/** A run item as @openai/agents 0.20.0 writes it. */
export function runItemToNative(item: RunItem, { calls, index }: RunItemContext): Obj {
  const type = NATIVE_TYPES.get(item.type) ?? item.type;
  const raw = toProtocol(item.item, { calls });
  const allowed = RAW_TYPES.get(type);
  const agent = { name: item.agent };
  if (type === 'input_item') {
    return { type, rawItem: raw, agent, inputId: item.input_id ?? `${CARRIED}${type}:${index}` };
  }
  if (!allowed?.has(raw.type) || (type === 'message_output_item' && raw.role !== 'assistant')) {
    return {
      type: 'input_item',
      rawItem: unknownItem(item.item),
      agent,
      inputId: `${CARRIED}${item.type}:${index}${item.executed ? EXECUTED_MARK : ''}`,
    };
  }
  if (type === 'handoff_output_item') {
    return {
      type,
      rawItem: raw,
      sourceAgent: { name: item.source_agent ?? item.agent },
      targetAgent: { name: item.target_agent ?? item.agent },
    };
  }
  const native: Obj = { type, rawItem: raw, agent };
  if (type === 'tool_call_output_item') {
    native.output = item.output ?? item.item.output ?? '';
    put(native, 'customData', item.custom_data);
    if (item.executed && EXECUTED.has(raw.type)) {
      native.executionStatus = 'executed';
    }
  } else if (type === 'tool_search_output_item') {
    raw.toolSearchAgentName = item.agent;
  } else if (item.tool_key?.kind === 'deferred_top_level' && !text(item.item.namespace)) {
    native.functionToolStateKey = stateKey(item.tool_key);
  }
  return native;
}

/** Names of calls by id, from the history first and from anything older where that has none. */
export function callNames(items: readonly RunItem[], older: () => Iterable<WireItem>): CallNames {
  const names = new Map<string, { name: string; namespace?: string }>();
  const add = (wire: WireItem) => {
    if (wire.type === 'function_call' && typeof wire.call_id === 'string') {
      names.set(wire.call_id, {
        name: str(wire.name) ?? wire.call_id,
        namespace: text(wire.namespace),
      });
    }
  };
  for (const { item } of items) {
    add(item);
  }
  let complete = false;
  return {
    get(callId) {
      if (!complete && !names.has(callId)) {
        complete = true;
        const known = new Map(names);
        for (const wire of older()) {
          add(obj(wire) as WireItem);
        }
        for (const [id, name] of known) {
          names.set(id, name);
        }
      }
      return names.get(callId);
    },
  };
}
