/**
 * Calls that wait for a decision. TypeScript also keeps a placeholder of each in the history;
 * the document does not.
 */
import type { PortableRunState, RunItem, WireItem } from './document.js';
import { type Obj, obj, put, str, text } from './json.js';
import { needObj } from './malformed.js';
import { approvalRequest, toProtocol } from './protocol/items.js';
import { agentOf, wireOf } from './runItems.js';
import { keyOfWire, legacyKey, parseStateKey, sameKey, stateKey } from './toolKeys.js';

/** One interruption of a document. */
export type Interruption = PortableRunState['interruptions'][number];

/** Names of built-in tools where neither the document nor the live agent says one. */
export const DEFAULT_TOOL_NAMES: Readonly<Record<string, string>> = {
  computer_call: 'computer_use_preview',
  shell_call: 'shell',
  apply_patch_call: 'apply_patch',
};

/** Calls whose approval TypeScript knows. */
export const APPROVABLE = new Set<unknown>([
  'function_call',
  'mcp_approval_request',
  'computer_call',
  'shell_call',
  'apply_patch_call',
]);

/** The id an approval is known by: of the call, or of the hosted request. */
export function approvalId(wire: WireItem): string | undefined {
  return wire.type === 'mcp_approval_request' ? str(wire.id) : (text(wire.call_id) ?? str(wire.id));
}

/** A `tool_approval_item` of a snapshot as the document keeps it. */
export function interruptionToPortable(
  native: Obj,
  pointer: string,
  currentAgent: string,
): Interruption {
  const raw = needObj(native.rawItem, `${pointer}/rawItem`);
  const wire = wireOf(raw, `${pointer}/rawItem`);
  const interruption: Interruption = {
    item: wire,
    agent: native.agent === undefined ? currentAgent : agentOf(native.agent, `${pointer}/agent`),
  };
  const namespace = text(wire.namespace);
  let name = text(native.toolName) ?? text(raw.name);
  if (name !== undefined && namespace && name.startsWith(`${namespace}.`)) {
    name = name.slice(namespace.length + 1);
  }
  if (name !== undefined) {
    interruption.tool_name = name;
  }
  const key = parseStateKey(native.functionToolStateKey);
  if (key && !sameKey(key, keyOfWire(wire))) {
    interruption.tool_key = key;
  }
  return interruption;
}

/**
 * The `tool_approval_item` that @openai/agents 0.20.0 writes.
 *
 * @param liveName name of a built-in tool in the live agent, where there is one.
 */
export function interruptionToNative(interruption: Interruption, liveName?: string): Obj {
  const { item: wire, agent } = interruption;
  const native: Obj = { type: 'tool_approval_item' };
  if (wire.type === 'mcp_approval_request') {
    native.rawItem = approvalRequest(wire);
    native.agent = { name: agent };
    put(native, 'toolName', interruption.tool_name ?? wire.name);
    return native;
  }
  native.rawItem = toProtocol(wire);
  native.agent = { name: agent };
  if (wire.type === 'function_call') {
    const key = interruption.tool_key ?? keyOfWire(wire);
    if (key) {
      native.toolName = legacyKey(key);
      native.functionToolStateKey = stateKey(key);
    }
  } else {
    put(
      native,
      'toolName',
      liveName ?? interruption.tool_name ?? DEFAULT_TOOL_NAMES[String(wire.type)],
    );
  }
  return native;
}

/** A history with placeholders: positions of items, or interruptions in between. */
export type Placed = { item: number } | { interruption: Interruption };

/** Outputs come in this order: functions, computer, shell and patches, handoffs. */
const KINDS: Readonly<Record<string, number>> = {
  function_call: 0,
  computer_call: 1,
  shell_call: 2,
  apply_patch_call: 2,
};

const LAST = Number.MAX_SAFE_INTEGER;

function ranks(items: readonly RunItem[], start: number, end: number): Map<string, number> {
  const byCall = new Map<string, number>();
  for (let index = start; index < end; index += 1) {
    const entry = items[index];
    const id = entry && approvalId(entry.item);
    const kind = KINDS[String(entry?.item.type)];
    if (id !== undefined && kind !== undefined && entry?.type === 'tool_call_item') {
      byCall.set(id, kind * items.length + index);
    }
  }
  return byCall;
}

/**
 * Where the placeholders of a response stand in the history: a hosted request's right behind it,
 * any other where its output will be.
 */
export function place(
  items: readonly RunItem[],
  start: number,
  end: number,
  own: readonly Interruption[],
): Placed[] {
  if (own.length === 0) {
    return items.map((_item, index) => ({ item: index }));
  }
  const rank = ranks(items, start, end);
  const requests = new Map<string, Interruption[]>();
  const waiting: { interruption: Interruption; rank: number }[] = [];
  for (const interruption of own) {
    const id = approvalId(interruption.item);
    if (interruption.item.type === 'mcp_approval_request' && id !== undefined) {
      requests.set(id, [...(requests.get(id) ?? []), interruption]);
    } else {
      waiting.push({ interruption, rank: rank.get(id ?? '') ?? LAST });
    }
  }
  waiting.sort((left, right) => left.rank - right.rank);
  const placed: Placed[] = [];
  let next = 0;
  items.forEach((entry, index) => {
    if (index >= end) {
      const own = rank.get(str(entry.item.call_id) ?? '') ?? LAST;
      for (; next < waiting.length && (waiting[next]?.rank ?? LAST) < own; next += 1) {
        placed.push({ interruption: waiting[next]?.interruption as Interruption });
      }
    }
    placed.push({ item: index });
    if (entry.type === 'mcp_approval_request_item') {
      for (const interruption of requests.get(str(entry.item.id) ?? '') ?? []) {
        placed.push({ interruption });
      }
    }
  });
  for (const { interruption } of waiting.slice(next)) {
    placed.push({ interruption });
  }
  return placed;
}

/** The interruptions whose call is in this run's own history, and not in a nested one. */
export function ownInterruptions(
  items: readonly RunItem[],
  interruptions: readonly Interruption[],
): Interruption[] {
  if (interruptions.length === 0) {
    return [];
  }
  const calls = new Set<string>();
  for (const { type, item, agent } of items) {
    if (type === 'tool_call_item' || type === 'mcp_approval_request_item') {
      const id = approvalId(item);
      if (id !== undefined) {
        calls.add(`${agent}\n${id}`);
      }
    }
  }
  return interruptions.filter(({ item, agent }) => calls.has(`${agent}\n${approvalId(item)}`));
}

/** Whether a history item is a placeholder. */
export function isPlaceholder(native: unknown): boolean {
  return obj(native).type === 'tool_approval_item';
}
