/**
 * How function tools are looked up: `{kind, name}` in a document, a compact JSON list in a
 * TypeScript snapshot (`getFunctionToolLookupKey` of @openai/agents-core 0.20.0).
 */
import type { ToolKey, WireItem } from './document.js';
import { type Obj, str, text } from './json.js';

/** The key a call has by its name and namespace. */
export function keyOfCall(name: string, namespace: string | undefined): ToolKey {
  if (namespace === name) {
    return { kind: 'deferred_top_level', name };
  }
  return namespace ? { kind: 'namespaced', namespace, name } : { kind: 'bare', name };
}

/** The key of a function call's wire item. */
export function keyOfWire(wire: WireItem): ToolKey | undefined {
  const name = text(wire.name);
  return name === undefined ? undefined : keyOfCall(name, text(wire.namespace));
}

/** The key as TypeScript writes it. */
export function stateKey(key: ToolKey): string {
  return key.kind === 'namespaced'
    ? JSON.stringify(['namespaced', key.namespace ?? '', key.name])
    : JSON.stringify([key.kind, key.name]);
}

/** A TypeScript key as the document writes it; undefined for any other string. */
export function parseStateKey(value: unknown): ToolKey | undefined {
  if (typeof value !== 'string' || !value.startsWith('[')) {
    return undefined;
  }
  let parts: unknown;
  try {
    parts = JSON.parse(value);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts)) {
    return undefined;
  }
  const [kind, first, second] = parts;
  if ((kind === 'bare' || kind === 'deferred_top_level') && parts.length === 2 && text(first)) {
    return { kind, name: first };
  }
  if (kind === 'namespaced' && parts.length === 3 && text(first) && text(second)) {
    return { kind, namespace: first, name: second };
  }
  return undefined;
}

/** The key in the form older snapshots used: the name, with its namespace before a dot. */
export function legacyKey(key: ToolKey): string {
  return key.kind === 'namespaced' ? `${key.namespace}.${key.name}` : key.name;
}

/** The state key of a `protocol` function call. */
export function stateKeyOfCall(call: Obj): string {
  return stateKey(keyOfCall(str(call.name) ?? '', text(call.namespace)));
}

/** Whether two keys are the same. */
export function sameKey(left: ToolKey | undefined, right: ToolKey | undefined): boolean {
  return (
    left?.kind === right?.kind && left?.name === right?.name && left?.namespace === right?.namespace
  );
}
