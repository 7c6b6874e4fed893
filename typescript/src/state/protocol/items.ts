/**
 * Responses wire items and the `protocol` items of @openai/agents, both ways.
 */
import { isObj, type Obj, put, str } from '../json.js';
import { functionCall, functionResult } from './functions.js';
import { hosted, hostedToWire } from './hosted.js';
import {
  applyPatchCall,
  applyPatchOutput,
  computerCall,
  computerOutput,
  shellCall,
  shellOutput,
} from './localTools.js';
import { messages } from './messages.js';
import {
  compaction,
  program,
  programOutput,
  reasoning,
  toolSearchCall,
  toolSearchOutput,
} from './model.js';
import type { Family, ProtocolOptions } from './table.js';

export { approvalRequest, hostedType } from './hosted.js';
export type { CallNames, ProtocolOptions } from './table.js';

/** Families by `protocol` type. */
const BY_PROTOCOL = new Map<string, Pick<Family, 'toWire'>>(
  Object.entries({
    message: messages,
    function_call: functionCall,
    function_call_result: functionResult,
    computer_call: computerCall,
    computer_call_result: computerOutput,
    shell_call: shellCall,
    shell_call_output: shellOutput,
    apply_patch_call: applyPatchCall,
    apply_patch_call_output: applyPatchOutput,
    hosted_tool_call: { toWire: hostedToWire },
    reasoning,
    compaction,
    program,
    program_output: programOutput,
    tool_search_call: toolSearchCall,
    tool_search_output: toolSearchOutput,
  }),
);

/** Families by wire type. */
const BY_WIRE = new Map<string, Family>(
  Object.entries({
    message: messages,
    function_call: functionCall,
    function_call_output: functionResult,
    computer_call: computerCall,
    computer_call_output: computerOutput,
    shell_call: shellCall,
    shell_call_output: shellOutput,
    apply_patch_call: applyPatchCall,
    apply_patch_call_output: applyPatchOutput,
    reasoning,
    compaction,
    program,
    program_output: programOutput,
    tool_search_call: toolSearchCall,
    tool_search_output: toolSearchOutput,
    ...hosted,
  }),
);

function typeOf(item: Obj): string | undefined {
  return str(item.type) ?? (typeof item.role === 'string' ? 'message' : undefined);
}

/** What TypeScript keeps as `unknown`: the wire item stands whole in `providerData`. */
function unknownToWire(item: Obj): Obj {
  const wire: Obj = isObj(item.providerData) ? { ...item.providerData } : {};
  if (wire.id === undefined) {
    put(wire, 'id', item.id);
  }
  if (typeof wire.type !== 'string' && !('role' in wire && 'content' in wire)) {
    wire.type = str(item.type) ?? 'unknown';
  }
  return wire;
}

/** The wire item of a `protocol` item. */
export function toWire(item: Obj): Obj {
  const family = BY_PROTOCOL.get(typeOf(item) ?? '');
  return family?.toWire(item) ?? unknownToWire(item);
}

/** The `unknown` item that carries a wire item; the SDK sends it to the model as it is. */
export function unknownItem(wire: Obj): Obj {
  const item: Obj = { providerData: wire };
  put(item, 'id', str(wire.id));
  item.type = 'unknown';
  return item;
}

/** The `protocol` item of a wire item; an `unknown` one where TypeScript has no form for it. */
export function toProtocol(wire: Obj, options: ProtocolOptions = {}): Obj {
  const family = BY_WIRE.get(typeOf(wire) ?? '');
  return family?.toProtocol(wire, options) ?? unknownItem(wire);
}
