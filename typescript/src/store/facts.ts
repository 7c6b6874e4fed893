/** What a save says in clear about the document it stores. */
import { createHash } from 'node:crypto';
import { canonical } from '../state/canonical.js';
import type {
  Decision as DocumentDecision,
  NestedRun,
  PortableRunState,
  RunItem,
  ToolKey,
  WireItem,
} from '../state/document.js';
import { text } from '../state/json.js';
import { keyOfWire } from '../state/toolKeys.js';
import type { Decision, Facts, PendingCall } from './base.js';

/** A call, as far as facts go. */
interface Call {
  id: string;
  item: WireItem;
  agent: string;
  key?: ToolKey;
  name?: string;
}

type Run = PortableRunState | NestedRun;
type Interruption = PortableRunState['interruptions'][number];

/** The type of call each type of output answers. */
const CALL_OF_OUTPUT = new Map<unknown, string>([
  ['function_call_output', 'function_call'],
  ['computer_call_output', 'computer_call'],
  ['shell_call_output', 'shell_call'],
  ['apply_patch_call_output', 'apply_patch_call'],
  ['custom_tool_call_output', 'custom_tool_call'],
  ['local_shell_call_output', 'local_shell_call'],
  ['mcp_approval_response', 'mcp_approval_request'],
]);

const CALLS = new Set<unknown>(CALL_OF_OUTPUT.values());

const NATIVE_TOOL_NAMES: Readonly<Record<string, string>> = {
  computer_call: 'computer_use_preview',
  shell_call: 'shell',
  apply_patch_call: 'apply_patch',
  local_shell_call: 'local_shell',
};

/**
 * The facts of a document that follows `before`, with arguments in clear.
 *
 * @param models - The names of the models by agent, as far as they are known.
 */
export function facts(
  document: PortableRunState,
  before: PortableRunState | undefined,
  models: ReadonlyMap<string, string>,
): Facts {
  const { decisions } = document;
  const decided: Record<string, Decision> = {};
  for (const call of before === undefined ? [] : waiting(before)) {
    const decision = decisionOn(call, decisions);
    if (decision !== undefined) {
      decided[call.id] = decision;
    }
  }
  const { trace } = document;
  return {
    agent: document.current_agent,
    status: document.status,
    turn: document.current_turn,
    language: document.writer.language,
    ...(trace !== undefined && { traceId: trace.id }),
    pending: waiting(document)
      .filter((call) => decisionOn(call, decisions) === undefined)
      .map(pendingOf),
    decided,
    calls: answeredSince(document, before),
    usage: usageSince(document, before, models),
  };
}

/** What the model gave a call: its arguments, or all of the item where it has none. */
export function argumentsOf(item: WireItem): Uint8Array {
  return Buffer.from(typeof item.arguments === 'string' ? item.arguments : canonical(item));
}

/** What a decision binds to: lower-case hexadecimal sha256 of the arguments. */
export function digestOf(item: WireItem): string {
  return createHash('sha256').update(argumentsOf(item)).digest('hex');
}

/** The id that joins a call to its output; undefined where the item is no call. */
export function callIdOf(item: WireItem): string | undefined {
  if (!CALLS.has(item.type)) {
    return undefined;
  }
  return text(item.type === 'mcp_approval_request' ? item.id : item.call_id);
}

function answeredBy(item: WireItem): string | undefined {
  if (!CALL_OF_OUTPUT.has(item.type)) {
    return undefined;
  }
  return text(item.type === 'mcp_approval_response' ? item.approval_request_id : item.call_id);
}

function callOf(
  id: string,
  {
    item,
    agent,
    tool_key,
    tool_name,
  }: Pick<Interruption, 'item' | 'agent'> & Partial<Interruption>,
): Call {
  if (item.type === 'function_call') {
    return { id, item, agent, key: tool_key ?? keyOfWire(item) };
  }
  const name = text(tool_name) ?? text(item.name) ?? NATIVE_TOOL_NAMES[String(item.type)];
  return { id, item, agent, name };
}

/** The calls that wait, those of nested runs included, one for each id. */
function waiting({ interruptions }: Run): Call[] {
  const calls = new Map<string, Call>();
  for (const entry of interruptions) {
    const id = callIdOf(entry.item);
    if (id !== undefined && !calls.has(id)) {
      calls.set(id, callOf(id, entry));
    }
  }
  return [...calls.values()];
}

function pendingOf(call: Call): PendingCall {
  return {
    callId: call.id,
    agent: call.agent,
    tool: nameOf(call),
    kind: toolOf(call).kind,
    arguments: argumentsOf(call.item),
    digest: digestOf(call.item),
  };
}

/** The tool as people know it. */
function nameOf({ key, name, item }: Call): string {
  const own = key?.name ?? name ?? text(item.name) ?? String(item.type);
  const owner = key === undefined ? text(item.server_label) : text(key.namespace);
  return owner === undefined ? own : `${owner}.${own}`;
}

/** What a decision about this call is about. */
function toolOf({ id, item, agent, key, name }: Call): DocumentDecision['tool'] {
  if (item.type === 'function_call' && key !== undefined) {
    return { kind: 'function', agent, key };
  }
  if (item.type === 'mcp_approval_request') {
    const label = text(item.server_label);
    const own = text(item.name);
    return label !== undefined && own !== undefined
      ? { kind: 'mcp', server_label: label, name: own }
      : { kind: 'mcp_request', request_id: id };
  }
  return { kind: 'native', name: name ?? String(item.type) };
}

/** What was decided about a call: one for the call itself goes before one for its tool. */
function decisionOn(call: Call, decisions: readonly DocumentDecision[]): Decision | undefined {
  const tool = canonical(toolOf(call));
  let always: Decision | undefined;
  for (const decision of decisions) {
    if (decision.scope === 'call') {
      if (decision.call_id === call.id) {
        return decision.decision;
      }
    } else if (canonical(decision.tool) === tool) {
      always = decision.decision;
    }
  }
  return always;
}

/** A run and the unfinished ones inside it. */
function* runs(run: Run): Generator<Run> {
  yield run;
  for (const nested of Object.values(run.response?.nested_runs ?? {})) {
    yield* runs(nested);
  }
}

/** The call id, the entry and the run of every output of a tool. */
function* outputs(document: PortableRunState): Generator<[string, RunItem, Run]> {
  for (const run of runs(document)) {
    for (const entry of run.items) {
      const id = entry.type === 'tool_call_output_item' ? answeredBy(entry.item) : undefined;
      if (id !== undefined) {
        yield [id, entry, run];
      }
    }
  }
}

function answeredSince(
  document: PortableRunState,
  before: PortableRunState | undefined,
): Facts['calls'] {
  const known = new Set<string>();
  if (before !== undefined) {
    for (const [id] of outputs(before)) {
      known.add(id);
    }
  }
  const calls = new Map<Run, Map<string, Call>>();
  const found: Facts['calls'][number][] = [];
  for (const [id, entry, run] of outputs(document)) {
    if (known.has(id)) {
      continue;
    }
    known.add(id);
    const own = calls.get(run) ?? callsOf(run);
    calls.set(run, own);
    const call = own.get(id);
    found.push({
      callId: id,
      agent: call?.agent ?? entry.agent,
      tool: call === undefined ? '' : nameOf(call),
      executed: entry.executed === true,
    });
  }
  return found;
}

/** The calls of one run, without those of the runs inside it. */
function callsOf(run: Run): Map<string, Call> {
  const calls = new Map<string, Call>();
  const nested = Object.values(run.response?.nested_runs ?? {});
  const inner = new Set(
    nested.flatMap(({ interruptions }) => interruptions.map(({ item }) => callIdOf(item))),
  );
  const asked = run.interruptions.filter(({ item }) => !inner.has(callIdOf(item)));
  for (const entry of [...run.items, ...(run.response?.items ?? []), ...asked]) {
    const id = callIdOf(entry.item);
    if (id !== undefined && !calls.has(id)) {
      calls.set(id, callOf(id, entry as Interruption));
    }
  }
  return calls;
}

/** The requests by the entries of the usage, or by the responses where those say more. */
function usageSince(
  document: PortableRunState,
  before: PortableRunState | undefined,
  models: ReadonlyMap<string, string>,
): Facts['usage'] {
  const { responses, usage } = document;
  const byResponse = responses.length > usage.entries.length;
  const counts = byResponse ? responses.map((response) => response.usage) : usage.entries;
  const done = (byResponse ? before?.responses : before?.usage.entries)?.length ?? 0;
  // Requests of nested runs are among the entries, and nothing says which they are.
  const agents =
    responses.length === counts.length ? agentsOf(document, done) : new Map<number, string>();
  const [only, ...others] = new Set(models.values());
  return counts.slice(done).map((tokens, offset) => {
    const request = done + offset;
    const agent = agents.get(request);
    const model = agent !== undefined ? models.get(agent) : others.length === 0 ? only : undefined;
    return {
      request,
      ...(model !== undefined && { model }),
      input: tokens.input_tokens,
      output: tokens.output_tokens,
      total: tokens.total_tokens,
      cached: tokens.input_tokens_details.cached_tokens ?? 0,
      reasoning: tokens.output_tokens_details.reasoning_tokens ?? 0,
    };
  });
}

/** The agents that got the responses from `start` on, by what they put out. */
function agentsOf(document: PortableRunState, start: number): Map<number, string> {
  const found = new Map<number, string>();
  if (start >= document.responses.length) {
    return found;
  }
  const byId = new Map<string, string>();
  for (const { type, item, agent } of [...document.items, ...(document.response?.items ?? [])]) {
    const id = identity(item);
    if (id !== undefined && (!type.endsWith('_output_item') || type === 'message_output_item')) {
      byId.set(id, agent);
    }
  }
  document.responses.slice(start).forEach(({ output }, offset) => {
    for (const item of output) {
      const agent = byId.get(identity(item) ?? '');
      if (agent !== undefined) {
        found.set(start + offset, agent);
        return;
      }
    }
  });
  return found;
}

function identity(item: WireItem): string | undefined {
  return text(item.call_id) ?? text(item.id);
}
