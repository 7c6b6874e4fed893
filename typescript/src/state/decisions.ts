/**
 * Approval decisions: the maps of a TypeScript run context as one list, and back.
 */

import type { Call, Calls } from './calls.js';
import { sortedSet } from './canonical.js';
import type { Decision } from './document.js';
import { DEFAULT_TOOL_NAMES } from './interruptions.js';
import { fingerprint, mcpKey, parseMcpKey } from './invocations.js';
import { hasKeys, isObj, list, type Obj, obj, objs, put, str } from './json.js';
import { approvalRequest, toProtocol } from './protocol/items.js';
import { legacyKey, parseStateKey, sameKey, stateKey } from './toolKeys.js';

type Tool = Decision['tool'];
type ToolFor = (callId: string | undefined) => Tool | undefined;

function strings(value: unknown): string[] {
  return list(value).filter((entry): entry is string => typeof entry === 'string');
}

function fromRecord(record: Obj, toolFor: ToolFor): Decision[] {
  const decisions: Decision[] = [];
  const add = (scope: Decision['scope'], decision: Decision['decision'], callId?: string) => {
    const tool = toolFor(callId);
    if (!tool || callId === '') {
      return;
    }
    const entry: Decision = { tool, scope, decision };
    if (callId !== undefined) {
      entry.call_id = callId;
    }
    const message =
      callId === undefined ? str(record.stickyRejectMessage) : str(obj(record.messages)[callId]);
    if (decision === 'reject' && message !== undefined) {
      entry.message = message;
    }
    decisions.push(entry);
  };
  if (record.approved === true) {
    add('always', 'approve');
  }
  if (record.rejected === true) {
    add('always', 'reject');
    for (const callId of Object.keys(obj(record.messages))) {
      add('call', 'reject', callId);
    }
  }
  for (const callId of strings(record.approved)) {
    add('call', 'approve', callId);
  }
  for (const callId of strings(record.rejected)) {
    add('call', 'reject', callId);
  }
  return decisions;
}

/** The tool of a known call. */
function toolOfCall(call: Call | undefined): Tool | undefined {
  const { item } = call ?? {};
  if (!call || !item) {
    return undefined;
  }
  if (item.type === 'function_call') {
    return call.key && { kind: 'function', agent: call.agent, key: call.key };
  }
  if (item.type === 'mcp_approval_request') {
    const label = str(item.server_label);
    const name = str(item.name);
    return label && name ? { kind: 'mcp', server_label: label, name } : undefined;
  }
  return { kind: 'native', name: call.name ?? DEFAULT_TOOL_NAMES[String(item.type)] ?? '' };
}

/** The tool an old, name-keyed decision is about: told by its call, or by a call of that name. */
function toolByName(name: string, calls: Calls, minor: number): ToolFor {
  const fallback: Tool = minor >= 16 ? { kind: 'native', name } : { kind: 'function_name', name };
  return (callId) => {
    const call = callId === undefined ? undefined : calls.get(callId);
    if (call) {
      return toolOfCall(call) ?? fallback;
    }
    if (callId === undefined) {
      for (const other of calls.values()) {
        const tool = toolOfCall(other);
        if (tool?.kind === 'native' && tool.name === name) {
          return tool;
        }
      }
    }
    return fallback;
  };
}

function fixed(tool: Tool): ToolFor {
  return () => tool;
}

function fromScoped(context: Obj, calls: Calls, known: ReadonlySet<string>): Decision[] {
  const decisions: Decision[] = [];
  for (const { approvals } of objs(context.approvalInvocations)) {
    for (const [name, record] of Object.entries(obj(approvals))) {
      const mcp = parseMcpKey(name);
      const tool: Tool = mcp
        ? { kind: 'mcp', server_label: mcp.serverLabel, name: mcp.toolName }
        : { kind: 'native', name };
      for (const decision of fromRecord(obj(record), (callId) => {
        const told = callId === undefined ? undefined : toolOfCall(calls.get(callId));
        return told?.kind === tool.kind ? told : tool;
      })) {
        if (decision.call_id !== undefined && !known.has(decision.call_id)) {
          decisions.push(decision);
        }
      }
    }
  }
  return decisions;
}

/**
 * The decisions of a run context.
 *
 * @param minor the snapshot's schema version after the dot; before 1.16 function decisions were
 * kept by name, before 1.18 those on hosted MCP tools.
 */
export function decisionsOfContext(context: Obj, calls: Calls, minor: number): Decision[] {
  const decisions: Decision[] = [];
  for (const [name, record] of Object.entries(obj(context.approvals))) {
    const nativeOnly: ToolFor = (callId) => {
      const told = callId === undefined ? undefined : toolOfCall(calls.get(callId));
      return told?.kind === 'native' ? { ...told, name } : { kind: 'native', name };
    };
    const toolFor = minor >= 18 ? nativeOnly : toolByName(name, calls, minor);
    decisions.push(...fromRecord(obj(record), toolFor));
  }
  for (const [key, record] of Object.entries(obj(context.hostedMcpApprovals))) {
    const mcp = parseMcpKey(key);
    if (mcp) {
      const tool: Tool = { kind: 'mcp', server_label: mcp.serverLabel, name: mcp.toolName };
      decisions.push(...fromRecord(obj(record), fixed(tool)));
    }
  }
  for (const { agentIdentity, approvals } of objs(context.functionApprovals)) {
    for (const [key, record] of Object.entries(obj(approvals))) {
      const toolKey = parseStateKey(key);
      if (toolKey && typeof agentIdentity === 'string') {
        const tool: Tool = { kind: 'function', agent: agentIdentity, key: toolKey };
        decisions.push(...fromRecord(obj(record), fixed(tool)));
      }
    }
  }
  for (const [name, record] of Object.entries(obj(context.legacyFunctionApprovals))) {
    decisions.push(...fromRecord(obj(record), fixed({ kind: 'function_name', name })));
  }
  const known = new Set(decisions.flatMap(({ call_id }) => call_id ?? []));
  decisions.push(...fromScoped(context, calls, known));
  return sortedSet(decisions);
}

interface Binding {
  agent: string;
  fingerprint: string;
}

/** What a call's approval is bound to: its agent and its fingerprint. */
function bindingOf(tool: Tool, call: Call): Binding {
  const item = tool.kind === 'mcp' ? approvalRequest(call.item) : toProtocol(call.item);
  return { agent: call.agent, fingerprint: fingerprint(approvalName(tool), item) };
}

function approvalName(tool: Tool): string {
  switch (tool.kind) {
    case 'function':
      return stateKey(tool.key);
    case 'mcp':
      return mcpKey(tool.server_label, tool.name);
    case 'mcp_request':
      return tool.request_id;
    default:
      return tool.name;
  }
}

/** From here on function decisions have an owner; from the next on those on hosted MCP tools. */
const OWNED_FUNCTIONS = 16;
const OWNED_MCP = 18;

/** Writes decisions into the maps of a run context, as `approve` and `reject` of the SDK do. */
export class DecisionWriter {
  /** @param minor the schema version after the dot of the snapshot that is written into. */
  constructor(
    private readonly context: Obj,
    private readonly calls: Calls,
    private readonly minor = OWNED_MCP,
  ) {}

  /** Records decisions; returns those that could not be bound to a call. */
  write(decisions: readonly Decision[]): Decision[] {
    // Standing rejections first and standing approvals next: of two, the approval stays.
    const place = ({ scope, decision, call_id }: Decision) =>
      scope === 'always'
        ? decision === 'reject'
          ? -2
          : -1
        : (this.calls.get(call_id ?? '')?.order ?? 0);
    const ordered = [...decisions].sort((left, right) => place(left) - place(right));
    return ordered.filter((decision) => !this.writeOne(decision));
  }

  private writeOne(decision: Decision): boolean {
    const { tool, scope, call_id: callId } = decision;
    const call = callId === undefined ? undefined : this.calls.get(callId);
    if (tool.kind === 'function' && scope === 'call' && call?.agent !== tool.agent) {
      return false;
    }
    record(this.records(tool), this.nameOf(tool), decision);
    if (scope === 'always') {
      this.bindWaiting(tool);
    } else if (call && tool.kind !== 'function_name') {
      this.bind(tool, call, callId ?? '');
      if (tool.kind !== 'function' && this.minor >= OWNED_MCP) {
        record(this.scoped(call.agent), approvalName(tool), decision);
      }
    }
    return true;
  }

  /** Whether the snapshot keeps decisions on such a tool by its bare name. */
  private byName(tool: Tool): boolean {
    return (
      (tool.kind === 'function' && this.minor < OWNED_FUNCTIONS) ||
      (tool.kind === 'function_name' && this.minor < OWNED_FUNCTIONS) ||
      (tool.kind === 'mcp' && this.minor < OWNED_MCP)
    );
  }

  private nameOf(tool: Tool): string {
    if (this.byName(tool)) {
      return tool.kind === 'function' ? legacyKey(tool.key) : 'name' in tool ? tool.name : '';
    }
    return approvalName(tool);
  }

  private records(tool: Tool): Obj {
    if (this.byName(tool)) {
      return child(this.context, 'approvals');
    }
    switch (tool.kind) {
      case 'function':
        return child(listed(this.context, 'functionApprovals', tool.agent), 'approvals');
      case 'mcp':
        return child(this.context, 'hostedMcpApprovals');
      case 'function_name':
        return child(this.context, 'legacyFunctionApprovals');
      default:
        return child(this.context, 'approvals');
    }
  }

  private scoped(agent: string): Obj {
    return child(this.invocations(agent), 'approvals');
  }

  private invocations(agent: string): Obj {
    const entry = listed(this.context, 'approvalInvocations', agent);
    child(entry, 'invocations');
    child(entry, 'approvals');
    return entry;
  }

  private bind(tool: Tool, call: Call, callId: string): void {
    if (this.minor < OWNED_MCP) {
      return;
    }
    const binding = bindingOf(tool, call);
    child(this.invocations(binding.agent), 'invocations')[callId] = binding.fingerprint;
  }

  /** The SDK binds the call on which a standing decision was made; it is among the waiting ones. */
  private bindWaiting(tool: Tool): void {
    for (const [callId, call] of this.calls) {
      const told = call.waiting ? toolOfCall(call) : undefined;
      if (told && sameTool(told, tool)) {
        this.bind(tool, call, callId);
      }
    }
  }
}

function sameTool(left: Tool, right: Tool): boolean {
  if (left.kind === 'function' && right.kind === 'function') {
    return left.agent === right.agent && sameKey(left.key, right.key);
  }
  return left.kind === right.kind && approvalName(left) === approvalName(right);
}

function child(parent: Obj, key: string): Obj {
  const existing = parent[key];
  if (isObj(existing)) {
    return existing;
  }
  const created: Obj = {};
  parent[key] = created;
  return created;
}

function listed(context: Obj, key: string, agentIdentity: string): Obj {
  const entries = Array.isArray(context[key]) ? objs(context[key]) : [];
  context[key] = entries;
  const existing = entries.find((entry) => entry.agentIdentity === agentIdentity);
  if (existing) {
    return existing;
  }
  const created: Obj = { agentIdentity };
  entries.push(created);
  return created;
}

/** Adds one decision to the record of its tool. */
function record(records: Obj, name: string, decision: Decision): void {
  const { scope, call_id: callId = '', message } = decision;
  const approve = decision.decision === 'approve';
  const mine = approve ? 'approved' : 'rejected';
  const other = approve ? 'rejected' : 'approved';
  const entry = child(records, name);
  entry.approved ??= [];
  entry.rejected ??= [];
  if (scope === 'always') {
    entry[mine] = true;
    if (entry[other] === true) {
      entry[other] = [];
    }
    if (approve) {
      delete entry.stickyRejectMessage;
    } else {
      if (Array.isArray(entry.approved) && entry.approved.length === 0) {
        entry.approved = false;
      }
      put(entry, 'stickyRejectMessage', message);
    }
    return;
  }
  if (Array.isArray(entry[other]) && entry[other].includes(callId)) {
    entry[other] = entry[other].filter((id) => id !== callId);
  }
  if (!Array.isArray(entry[mine]) && entry[mine] !== true) {
    entry[mine] = [];
  }
  if (Array.isArray(entry[mine]) && !entry[mine].includes(callId)) {
    entry[mine].push(callId);
  }
  if (approve) {
    delete obj(entry.messages)[callId];
  } else if (message !== undefined) {
    child(entry, 'messages')[callId] = message;
  }
  if (isObj(entry.messages) && !hasKeys(entry.messages)) {
    delete entry.messages;
  }
}
