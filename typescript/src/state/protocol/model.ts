/**
 * What else a model puts out: reasoning, compaction, programs and tool search.
 */
import { isObj, list, type Obj, obj, objs, put, str } from '../json.js';
import { type Family, oneOf, putOutputData, realId, rest, spread } from './table.js';

const REASONING = new Set(['id', 'type', 'summary']);
const SUMMARY_TYPED = new Set(['summary']);
const PART = new Set(['type', 'text']);
const PART_TYPED = new Set(['text']);
const COMPACTION = new Set(['type', 'id', 'encrypted_content', 'created_by']);
const COMPACTION_TYPED = new Set(['encrypted_content', 'created_by']);
const PROGRAM = new Set(['type', 'id', 'call_id', 'code', 'fingerprint']);
const PROGRAM_OUTPUT = new Set(['type', 'id', 'call_id', 'result', 'output', 'status']);
const SEARCH_CALL = new Set(['type', 'id', 'status', 'arguments']);
const SEARCH_OUTPUT = new Set(['type', 'id', 'status', 'tools']);

/** Reasoning. The raw text some other services return has no wire form. */
export const reasoning: Family = {
  toWire(item) {
    const wire: Obj = { type: 'reasoning' };
    put(wire, 'id', realId(item.id));
    wire.summary = objs(item.content).map((part) =>
      spread({ type: 'summary_text', text: part.text }, part.providerData, PART),
    );
    return spread(wire, item.providerData, REASONING);
  },
  toProtocol(wire) {
    const item: Obj = { providerData: rest(wire, SUMMARY_TYPED) };
    put(item, 'id', str(wire.id));
    item.type = 'reasoning';
    item.content = objs(wire.summary).map((part) => ({
      providerData: rest(part, PART_TYPED),
      type: 'input_text',
      text: str(part.text) ?? '',
    }));
    return item;
  },
};

/** A marker that replaces older history. */
export const compaction: Family = {
  toWire(item) {
    const wire: Obj = { type: 'compaction' };
    put(wire, 'id', realId(item.id));
    put(wire, 'encrypted_content', item.encrypted_content ?? item.encryptedContent);
    put(wire, 'created_by', item.created_by);
    return spread(wire, item.providerData, COMPACTION);
  },
  toProtocol(wire) {
    if (typeof wire.encrypted_content !== 'string') {
      return undefined;
    }
    const item: Obj = { providerData: rest(wire, COMPACTION_TYPED) };
    put(item, 'id', str(wire.id));
    item.type = 'compaction';
    item.encrypted_content = wire.encrypted_content;
    put(item, 'created_by', str(wire.created_by));
    return item;
  },
};

/** Code the model wrote to call tools with. */
export const program: Family = {
  toWire(item) {
    const wire: Obj = { type: 'program' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    put(wire, 'code', item.code);
    put(wire, 'fingerprint', item.fingerprint);
    return spread(wire, item.providerData, PROGRAM);
  },
  toProtocol(wire) {
    if (typeof wire.code !== 'string' || typeof wire.fingerprint !== 'string') {
      return undefined;
    }
    const item: Obj = { providerData: rest(wire, PROGRAM) };
    put(item, 'id', str(wire.id));
    item.type = 'program';
    item.callId = wire.call_id;
    item.code = wire.code;
    item.fingerprint = wire.fingerprint;
    return item;
  },
};

/** What a program printed. */
export const programOutput: Family = {
  toWire(item) {
    const wire: Obj = { type: 'program_output' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    put(wire, 'result', item.output);
    put(wire, 'status', item.status);
    return spread(wire, item.providerData, PROGRAM_OUTPUT);
  },
  toProtocol(wire) {
    const data = rest(wire, PROGRAM_OUTPUT);
    const item: Obj = { providerData: data };
    putOutputData(item, data);
    put(item, 'id', str(wire.id));
    item.type = 'program_output';
    item.callId = wire.call_id;
    item.output = str(wire.result) ?? '';
    item.status = oneOf(wire.status, ['completed', 'incomplete'] as const) ?? 'completed';
    return item;
  },
};

/** Keys of a found tool that differ: wire name first. */
const TOOL_KEYS: readonly (readonly [string, string])[] = [
  ['defer_loading', 'deferLoading'],
  ['allowed_callers', 'allowedCallers'],
  ['output_schema', 'outputSchema'],
];

function foundTool(tool: unknown, from: 0 | 1): unknown {
  if (!isObj(tool)) {
    return tool;
  }
  if (tool.type === 'namespace' && Array.isArray(tool.tools)) {
    return { ...tool, tools: tool.tools.map((entry) => foundTool(entry, from)) };
  }
  const to = from === 0 ? 1 : 0;
  if (tool.type === 'tool_reference') {
    const names = ['function_name', 'functionName'] as const;
    const { [names[from]]: name, ...others } = tool;
    return typeof name === 'string' ? { ...others, [names[to]]: name } : tool;
  }
  if (tool.type !== 'function') {
    return tool;
  }
  const renamed: Obj = {};
  for (const key in tool) {
    renamed[TOOL_KEYS.find((pair) => pair[from] === key)?.[to] ?? key] = tool[key];
  }
  return renamed;
}

function searchIdentity(wire: Obj, item: Obj): void {
  put(wire, 'call_id', item.call_id ?? item.callId);
  put(wire, 'execution', item.execution);
}

/** A search for tools that were not loaded. */
export const toolSearchCall: Family = {
  toWire(item) {
    const wire: Obj = { type: 'tool_search_call' };
    put(wire, 'id', realId(item.id));
    put(wire, 'status', item.status);
    if (item.arguments !== undefined) {
      wire.arguments = item.arguments;
    }
    searchIdentity(wire, item);
    return spread(wire, item.providerData, SEARCH_CALL);
  },
  toProtocol(wire) {
    const item: Obj = { providerData: rest(wire, SEARCH_CALL) };
    put(item, 'id', str(wire.id));
    item.type = 'tool_search_call';
    if (wire.arguments !== undefined) {
      item.arguments = wire.arguments;
    }
    put(item, 'status', str(wire.status));
    return item;
  },
};

/** What a tool search found. */
export const toolSearchOutput: Family = {
  toWire(item) {
    const wire: Obj = { type: 'tool_search_output' };
    put(wire, 'id', realId(item.id));
    put(wire, 'status', item.status);
    wire.tools = list(item.tools).map((tool) => foundTool(tool, 1));
    searchIdentity(wire, item);
    return spread(wire, item.providerData, SEARCH_OUTPUT);
  },
  toProtocol(wire) {
    const item: Obj = { providerData: rest(wire, SEARCH_OUTPUT) };
    put(item, 'id', str(wire.id));
    item.type = 'tool_search_output';
    put(item, 'status', str(wire.status));
    item.tools = list(wire.tools).map((tool) => obj(foundTool(tool, 0)));
    return item;
  },
};
