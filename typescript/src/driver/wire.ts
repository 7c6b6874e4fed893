/** Items between the protocol's wire form and the SDK's own, by the port's table. */
import type { AgentInputItem } from '@openai/agents';
import { toProtocol, toWire } from '../state/protocol/items.js';
import { isRow, type Row, rows, text } from './json.js';

/** Input items of the SDK from wire items; an output knows its tool by the call before it. */
export function inputItems(items: unknown): AgentInputItem[] {
  const calls = new Map<string, { name: string; namespace?: string }>();
  return rows(items).map((item) => {
    const name = text(item.name);
    if (typeof item.call_id === 'string' && name !== undefined) {
      calls.set(item.call_id, { name, namespace: text(item.namespace) });
    }
    return toProtocol(item, { calls }) as AgentInputItem;
  });
}

/** Wire items from items of the SDK. */
export function wireItems(items: readonly unknown[]): Row[] {
  return items.filter(isRow).map((item) => toWire(item) as Row);
}
