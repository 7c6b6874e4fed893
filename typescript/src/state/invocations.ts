/**
 * Fingerprints of tool calls, as `core/toolInvocation` of @openai/agents-core 0.20.0 makes them.
 * They are strings of sorted JSON and depend on JavaScript's number and key rules, so they are
 * made here and never stored in a document.
 */
import { isObj, type Obj, obj, str, text } from './json.js';

/** Server, tool and id of a hosted MCP approval request. */
export interface McpRequest {
  requestId?: string;
  serverLabel?: string;
  toolName?: string;
}

/** What a hosted call asks approval for; undefined where it is no approval request. */
export function mcpRequest(item: Obj): McpRequest | undefined {
  const data = item.providerData;
  if (item.type !== 'hosted_tool_call' || !isObj(data)) {
    return undefined;
  }
  if (data.type !== undefined && data.type !== 'mcp_approval_request') {
    return undefined;
  }
  const serverLabel = text(data.server_label) ?? text(data.serverLabel);
  if (data.type === undefined && serverLabel === undefined) {
    return undefined;
  }
  const name = text(item.name);
  return {
    requestId: text(data.id) ?? text(data.itemId) ?? text(item.id),
    serverLabel,
    toolName: text(data.name) ?? (name === 'mcp_approval_request' ? undefined : name),
  };
}

/** The key under which decisions on a hosted MCP tool are kept. */
export function mcpKey(serverLabel: string, toolName: string): string {
  return JSON.stringify(['hosted_mcp', serverLabel, toolName]);
}

/** Server and tool of such a key. */
export function parseMcpKey(key: string): { serverLabel: string; toolName: string } | undefined {
  try {
    const parts: unknown = JSON.parse(key);
    if (Array.isArray(parts) && parts.length === 3 && parts[0] === 'hosted_mcp') {
      const [, serverLabel, toolName] = parts;
      if (text(serverLabel) && text(toolName)) {
        return { serverLabel, toolName };
      }
    }
  } catch {
    // Any other string is no such key.
  }
  return undefined;
}

/** The id a call is known by. */
export function callIdOf(item: Obj): string | undefined {
  const data = obj(item.providerData);
  return (
    mcpRequest(item)?.requestId ??
    str(item.callId) ??
    str(item.id) ??
    str(data.id) ??
    str(data.itemId)
  );
}

/** Who made a call. */
export function canonicalCaller(item: Obj): Obj {
  const caller = obj(item.caller);
  return caller.type === 'program'
    ? { type: 'program', callerId: caller.callerId }
    : { type: 'direct' };
}

const TOKEN = '\u0000openai-agents-json:';
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\[\s\S])*"?/y;

/** JSON text in which every number is a string of its exact digits. */
function encodeNumbers(value: string): string {
  let encoded = '';
  let index = 0;
  while (index < value.length) {
    const character = value.charAt(index);
    if (character === '"') {
      STRING.lastIndex = index;
      const token = STRING.exec(value)?.[0] ?? character;
      const decoded = str(JSON.parse(token)) ?? '';
      encoded += decoded.startsWith(TOKEN) ? JSON.stringify(`${TOKEN}string:${decoded}`) : token;
      index += token.length;
    } else if (character === '-' || (character >= '0' && character <= '9')) {
      NUMBER.lastIndex = index;
      const token = NUMBER.exec(value)?.[0];
      if (token === undefined) {
        throw new SyntaxError('no JSON number');
      }
      encoded += JSON.stringify(`${TOKEN}number:${canonicalNumber(token)}`);
      index += token.length;
    } else {
      encoded += character;
      index += 1;
    }
  }
  return encoded;
}

function canonicalNumber(value: string): string {
  const [mantissa = '', exponentText = '0'] = value.toLowerCase().split('e');
  const negative = mantissa.startsWith('-');
  const [integer = '', fraction = ''] = (negative ? mantissa.slice(1) : mantissa).split('.');
  let digits = `${integer}${fraction}`.replace(/^0+/, '');
  if (digits.length === 0) {
    return negative ? '-0' : '0';
  }
  const kept = digits.replace(/0+$/, '');
  const exponent =
    BigInt(exponentText) - BigInt(fraction.length) + BigInt(digits.length - kept.length);
  digits = kept;
  return `${negative ? '-' : ''}${digits}e${exponent}`;
}

function jsonPayload(value: unknown): unknown {
  if (typeof value !== 'string') {
    return value;
  }
  try {
    return { format: 'json', value: JSON.parse(encodeNumbers(value)) };
  } catch {
    return { format: 'raw', value };
  }
}

function payload(item: Obj): unknown {
  switch (item.type) {
    case 'function_call':
      return jsonPayload(item.arguments);
    case 'hosted_tool_call': {
      const data = obj(item.providerData);
      return {
        serverLabel: str(data.server_label) ?? str(data.serverLabel),
        arguments: jsonPayload(item.arguments ?? data.arguments),
      };
    }
    case 'computer_call':
      return item.actions ?? item.action;
    case 'shell_call':
      return item.action;
    case 'apply_patch_call':
      return item.operation;
    default:
      return undefined;
  }
}

function canonicalName(toolName: string, item: Obj): string {
  if (item.type === 'hosted_tool_call') {
    const request = mcpRequest(item);
    return request?.serverLabel && request.toolName
      ? mcpKey(request.serverLabel, request.toolName)
      : toolName;
  }
  if (item.type === 'computer_call' && toolName === 'computer_use_preview') {
    return 'computer';
  }
  return toolName;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (!isObj(value)) {
    return value;
  }
  const entries: [string, unknown][] = Object.keys(value)
    .sort()
    .map((key) => [key, sorted(value[key])]);
  return Object.fromEntries(entries);
}

/**
 * The fingerprint of a call.
 *
 * @param toolName the tool's state key (functions), `handoff:<name>`, or the tool's name.
 * @param item the call as a `protocol` item.
 */
export function fingerprint(toolName: string, item: Obj): string {
  return JSON.stringify(
    sorted({
      caller: canonicalCaller(item),
      type: item.type,
      toolName: canonicalName(toolName, item),
      payload: payload(item),
    }),
  );
}
