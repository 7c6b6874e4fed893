/**
 * What the item families share: how keys move between a wire item and a `protocol` item.
 *
 * The rules are those of `convertToOutputItem` and `getInputItems` of @openai/agents-openai 0.20.0
 * (not exported there): typed keys are renamed, every other key of the wire item lives in
 * `providerData`. Here a key of `providerData` keeps its nested values as they are, where the
 * SDK's replay would also rename keys inside them.
 */
import { isObj, type Obj } from '../json.js';

/** Finds the call an output belongs to. */
export interface CallNames {
  /** Name and namespace of the function call with that id, where known. */
  get(callId: string): { name: string; namespace?: string } | undefined;
}

/** What a conversion to `protocol` may look up. */
export interface ProtocolOptions {
  /** Names of earlier calls; a function result needs its tool's name. */
  calls?: CallNames;
}

/** Both directions of one kind of item. */
export interface Family {
  /** The wire item, or undefined where this item has no such form. */
  toWire(item: Obj): Obj | undefined;
  /** The `protocol` item, or undefined where TypeScript has no form for it. */
  toProtocol(wire: Obj, options: ProtocolOptions): Obj | undefined;
}

/** Placeholder ids of both SDKs; neither is a fact. */
const PLACEHOLDER_IDS = new Set(['FAKE_ID', '__fake_id__']);

/** An id, unless it is missing or a placeholder. */
export function realId(value: unknown): string | undefined {
  return typeof value === 'string' && !PLACEHOLDER_IDS.has(value) ? value : undefined;
}

function snake(key: string): string {
  return key.replace(/([A-Z])/g, '_$1').toLowerCase();
}

/** Copies the keys of `providerData` that are no typed key of the item onto a wire item. */
export function spread(target: Obj, providerData: unknown, reserved: ReadonlySet<string>): Obj {
  if (isObj(providerData)) {
    for (const key in providerData) {
      const name = /[A-Z]/.test(key) ? snake(key) : key;
      if (!reserved.has(name) && !Object.hasOwn(target, name)) {
        target[name] = providerData[key];
      }
    }
  }
  return target;
}

/** The keys of a wire item that have no typed place in its `protocol` item. */
export function rest(wire: Obj, typed: ReadonlySet<string>): Obj {
  const left: Obj = {};
  for (const key in wire) {
    if (!typed.has(key) && key !== '__proto__') {
      left[key] = wire[key];
    }
  }
  return left;
}

/** The value where it is one of the allowed words. */
export function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T | undefined {
  return allowed.includes(value as T) ? (value as T) : undefined;
}

/** The statuses most items may have. */
export const STATUSES = ['in_progress', 'completed', 'incomplete'] as const;

/** Who made a call, as the wire says it. */
export function callerToWire(target: Obj, caller: unknown): void {
  if (isObj(caller)) {
    if (caller.type === 'program' && typeof caller.callerId === 'string') {
      target.caller = { type: 'program', caller_id: caller.callerId };
    } else {
      target.caller = caller;
    }
  }
}

/** Who made a call, as `protocol` says it. */
export function callerToProtocol(target: Obj, caller: unknown): void {
  if (isObj(caller)) {
    if (caller.type === 'direct') {
      target.caller = { type: 'direct' };
    } else if (caller.type === 'program' && typeof caller.caller_id === 'string') {
      target.caller = { type: 'program', callerId: caller.caller_id };
    }
  }
}

/**
 * `providerData` of an output: absent where nothing but the type is left, because the SDK's own
 * runner writes outputs without it.
 */
export function putOutputData(target: Obj, left: Obj): void {
  for (const key in left) {
    if (key !== 'type') {
      target.providerData = left;
      return;
    }
  }
}
