/**
 * Tools that run at the model service. TypeScript keeps all of them as `hosted_tool_call`; what
 * they are stands in `name` and in `providerData.type`.
 */
import { type Obj, obj, put, str, text } from '../json.js';
import { callerToProtocol, callerToWire, type Family, realId, rest, spread } from './table.js';

/** Hosted tools whose `status` and `result` are typed. */
const TYPED = new Set([
  'web_search_call',
  'file_search_call',
  'code_interpreter_call',
  'image_generation_call',
]);

/** Names that older SDK releases wrote. */
const OLD_NAMES = new Map(
  Object.entries({
    web_search: 'web_search_call',
    file_search: 'file_search_call',
    code_interpreter: 'code_interpreter_call',
    image_generation: 'image_generation_call',
  }),
);

const ONLY_TYPE = new Set(['type']);
const STATUS = new Set(['status']);
const STATUS_RESULT = new Set(['status', 'result']);
const STATUS_CALLER = new Set(['status', 'caller']);
const STATUS_RESULT_CALLER = new Set(['status', 'result', 'caller']);
const NOTHING = new Set<string>();
const CALLER = new Set(['caller']);
const OUTPUT = new Set(['output']);
const OUTPUT_CALLER = new Set(['output', 'caller']);

/** The wire type of a hosted call. */
export function hostedType(item: Obj): string | undefined {
  const data = obj(item.providerData);
  const name = str(item.name);
  const type = str(data.type) ?? name;
  if (type === undefined) {
    return undefined;
  }
  // Old approval requests say no type: they have a server's label and their tool's name.
  const labelled = text(data.server_label) ?? (text(data.serverLabel) && text(data.itemId));
  if (data.type === undefined && labelled && !KNOWN.has(type)) {
    return 'mcp_approval_request';
  }
  return OLD_NAMES.get(type) ?? type;
}

/** Any hosted call of `protocol` as its wire item. */
export function hostedToWire(item: Obj): Obj | undefined {
  const type = hostedType(item);
  if (type === undefined) {
    return undefined;
  }
  const data = obj(item.providerData);
  const wire: Obj = { type };
  put(wire, 'id', realId(data.id) ?? realId(data.itemId) ?? realId(item.id));
  callerToWire(wire, item.caller);
  if (TYPED.has(type)) {
    put(wire, 'status', item.status);
    put(wire, 'result', item.output);
  } else if (type === 'mcp_call') {
    put(wire, 'output', item.output);
  } else if (type === 'mcp_approval_request') {
    if (item.name !== 'mcp_approval_request') {
      put(wire, 'name', data.name ?? item.name);
    }
    put(wire, 'arguments', data.arguments ?? item.arguments);
    put(wire, 'server_label', data.server_label ?? data.serverLabel);
  } else if (!KNOWN.has(type)) {
    for (const key of ['name', 'status', 'arguments', 'output']) {
      put(wire, key, item[key]);
    }
  }
  return spread(wire, data, ONLY_TYPE);
}

function typed(type: string): Family {
  return {
    toWire: hostedToWire,
    toProtocol(wire) {
      const item: Obj = {};
      callerToProtocol(item, wire.caller);
      const output = str(wire.result);
      const keys = item.caller
        ? output === undefined
          ? STATUS_CALLER
          : STATUS_RESULT_CALLER
        : output === undefined
          ? STATUS
          : STATUS_RESULT;
      item.providerData = rest(wire, keys);
      put(item, 'id', str(wire.id));
      item.type = 'hosted_tool_call';
      item.name = type;
      put(item, 'status', str(wire.status));
      put(item, 'output', output);
      return item;
    },
  };
}

function mcp(type: string): Family {
  return {
    toWire: hostedToWire,
    toProtocol(wire) {
      const item: Obj = {};
      callerToProtocol(item, wire.caller);
      const output = type === 'mcp_call' ? str(wire.output) : undefined;
      const withOutput = type === 'mcp_call' ? (item.caller ? OUTPUT_CALLER : OUTPUT) : undefined;
      item.providerData = rest(wire, withOutput ?? (item.caller ? CALLER : NOTHING));
      put(item, 'id', str(wire.id));
      item.type = 'hosted_tool_call';
      item.name = type;
      item.status = 'completed';
      put(item, 'output', output);
      return item;
    },
  };
}

/** What the application answered to an approval request; the runner writes it, not the model. */
const approvalResponse: Family = {
  toWire: hostedToWire,
  toProtocol(wire) {
    const data: Obj = {};
    for (const key in wire) {
      if (key !== 'type') {
        put(data, key, wire[key]);
      }
    }
    data.type = 'mcp_approval_response';
    const item: Obj = { type: 'hosted_tool_call', name: 'mcp_approval_response' };
    put(item, 'id', str(wire.id));
    item.status = 'completed';
    item.providerData = data;
    return item;
  },
};

/** The hosted tools by wire type. */
export const hosted: Record<string, Family> = {
  web_search_call: typed('web_search_call'),
  file_search_call: typed('file_search_call'),
  code_interpreter_call: typed('code_interpreter_call'),
  image_generation_call: typed('image_generation_call'),
  mcp_list_tools: mcp('mcp_list_tools'),
  mcp_approval_request: mcp('mcp_approval_request'),
  mcp_call: mcp('mcp_call'),
  mcp_approval_response: approvalResponse,
};

const KNOWN = new Set(Object.keys(hosted));

/**
 * An approval request as the SDK shows it to the application: under the tool's own name, and in
 * progress.
 */
export function approvalRequest(wire: Obj): Obj {
  const item: Obj = {};
  callerToProtocol(item, wire.caller);
  item.providerData = rest(wire, item.caller ? CALLER : NOTHING);
  put(item, 'id', str(wire.id));
  item.type = 'hosted_tool_call';
  item.name = str(wire.name) ?? 'mcp_approval_request';
  item.status = 'in_progress';
  return item;
}
