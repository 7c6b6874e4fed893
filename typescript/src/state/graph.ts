/**
 * What a run may find in the live agents: their names, tools and handoffs.
 */
import type { Agent } from '@openai/agents';
import { CrossingError, GraphError } from '../errors.js';
import type { Run } from './calls.js';
import { runs } from './crossing.js';
import type { PortableRunState, RunItem, WireItem } from './document.js';
import { isObj, list, obj, objs, str } from './json.js';
import { itemsOfResponse } from './response.js';
import { unanswered } from './status.js';

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
export type AnyAgent = Agent<any, any>;

/** One live agent, as far as a run can name its parts. */
export interface AgentView {
  name: string;
  /** Handoff tool names, each with the name of the agent behind it. */
  handoffs: ReadonlyMap<string, string>;
  /** Names of its function tools. */
  functions: ReadonlySet<string>;
  /** Names of its other tools by kind: computer, shell, apply_patch. */
  kinds: ReadonlyMap<string, string>;
  /** Labels of its hosted MCP servers. */
  labels: ReadonlySet<string>;
  /** Names of its local MCP servers. */
  servers: ReadonlySet<string>;
}

/** Finds the agent behind an agent used as a tool; undefined for any other tool. */
export type AgentBehind = (tool: object) => AnyAgent | undefined;

/** Where {@link AgentBehind} is put once the SDK was loaded; without it tools stay closed. */
export const agentTools: { behind?: AgentBehind } = {};

/** The call types that the built-in tools answer. */
const KINDS = new Map<unknown, string>([
  ['computer_call', 'computer'],
  ['shell_call', 'shell'],
  ['apply_patch_call', 'apply_patch'],
]);

/** The name @openai/agents 0.20.0 gives the handoff to an agent (`toFunctionToolName`). */
function defaultHandoffName(agentName: string): string {
  return `transfer_to_${agentName.replace(/[^a-zA-Z0-9]/g, '_')}`;
}

function bare(name: string): string {
  return name.replace(/[^\p{L}\p{N}]+/gu, '').toLowerCase();
}

function viewOf(agent: AnyAgent): AgentView {
  const handoffs = new Map<string, string>();
  for (const handoff of list(agent.handoffs)) {
    const entry = obj(handoff);
    const name = str(entry.toolName);
    if (name !== undefined) {
      handoffs.set(name, str(entry.agentName) ?? str(obj(entry.agent).name) ?? '');
    } else if (typeof entry.name === 'string') {
      handoffs.set(defaultHandoffName(entry.name), entry.name);
    }
  }
  const functions = new Set<string>();
  const kinds = new Map<string, string>();
  const labels = new Set<string>();
  for (const tool of objs(agent.tools)) {
    const name = str(tool.name) ?? '';
    const data = obj(tool.providerData);
    if (tool.type === 'function') {
      functions.add(name);
    } else if (tool.type === 'hosted_tool' && data.type === 'mcp') {
      labels.add(str(data.server_label) ?? '');
    } else if (typeof tool.type === 'string') {
      kinds.set(tool.type, name);
    }
  }
  const servers = new Set(objs(agent.mcpServers).map(({ name }) => str(name) ?? ''));
  return { name: agent.name, handoffs, functions, kinds, labels, servers };
}

/**
 * An agent and those it leads to, each once.
 *
 * @param behind finds agents behind agent tools; without it only handoffs are followed.
 */
export function* reachable(root: AnyAgent, behind?: AgentBehind): Generator<AnyAgent> {
  const queue: AnyAgent[] = [root];
  const seen = new Set<AnyAgent>();
  for (let agent = queue.shift(); agent; agent = queue.shift()) {
    if (seen.has(agent)) {
      continue;
    }
    seen.add(agent);
    yield agent;
    for (const handoff of list(agent.handoffs)) {
      const target = obj(handoff).toolName === undefined ? handoff : obj(handoff).agent;
      if (isObj(target)) {
        queue.push(target as unknown as AnyAgent);
      }
    }
    for (const tool of objs(agent.tools)) {
      const source = behind?.(tool);
      if (source) {
        queue.push(source);
      }
    }
  }
}

/** The agents reachable from one. */
export class Graph {
  readonly agents = new Map<string, AgentView>();
  /** Names that two agents share. */
  readonly doubles = new Set<string>();

  /**
   * @param behind finds agents behind agent tools; without it only handoffs are followed, and an
   * agent that was not found may still be behind a tool.
   */
  constructor(
    root: AnyAgent,
    readonly behind?: AgentBehind,
  ) {
    for (const agent of reachable(root, behind)) {
      if (this.agents.has(agent.name)) {
        this.doubles.add(agent.name);
      } else {
        this.agents.set(agent.name, viewOf(agent));
      }
    }
  }

  /** Name of an agent's built-in tool for a kind of call. */
  localTool(agent: string, callType: string): string | undefined {
    return this.agents.get(agent)?.kinds.get(KINDS.get(callType) ?? '');
  }
}

/**
 * The handoff a run means, by its recorded target, by its exact tool name, or by the name without
 * case and separators: the SDKs derive different names from the same agent.
 */
export function findHandoff(
  view: AgentView,
  toolName: string,
  target: string | undefined,
): { toolName: string; target: string } | undefined {
  const entries = [...view.handoffs].map(([name, agent]) => ({ toolName: name, target: agent }));
  return (
    entries.find((entry) => entry.toolName === toolName && entry.target === target) ??
    entries.find((entry) => entry.target === target) ??
    entries.find((entry) => entry.toolName === toolName) ??
    entries.find((entry) => bare(entry.toolName) === bare(toolName))
  );
}

/** Agent names with their places, and whether the agent may be behind a tool. */
function* agentNames(document: PortableRunState): Iterable<[string, string, boolean]> {
  for (const [run, at] of runs(document)) {
    const nested = at !== '';
    yield [run.current_agent, `${at}/current_agent`, nested];
    for (const [index, entry] of run.items.entries()) {
      yield [entry.agent, `${at}/items/${index}/agent`, nested];
      if (entry.target_agent !== undefined) {
        yield [entry.target_agent, `${at}/items/${index}/target_agent`, nested];
      }
    }
    for (const agent of Object.keys(run.tool_use)) {
      yield [agent, `${at}/tool_use`, nested];
    }
    for (const [index, { agent }] of run.interruptions.entries()) {
      yield [agent, `${at}/interruptions/${index}/agent`, true];
    }
  }
  for (const [index, { tool }] of document.decisions.entries()) {
    if (tool.kind === 'function') {
      yield [tool.agent, `/decisions/${index}/tool/agent`, true];
    }
  }
}

/**
 * Checks that the live agents have what a document names.
 *
 * @param crossing also refuse a name that two agents share.
 * @throws {GraphError} `agent-missing`, `handoff-missing`, `tool-missing`, `ambiguous-agent`
 */
export function checkGraph(document: PortableRunState, graph: Graph, crossing: boolean): void {
  const seen = new Set<string>();
  for (const [name, pointer, maybeHidden] of agentNames(document)) {
    if (seen.has(name)) {
      continue;
    }
    // The identity of a double is its name and a number; only its own language has such names.
    const known =
      graph.agents.has(name) || (!crossing && graph.doubles.has(name.split('#')[0] ?? ''));
    if (!known && !(maybeHidden && graph.behind === undefined)) {
      throw new GraphError(
        `no agent is named ${name}; there are ${[...graph.agents.keys()].join(', ')}`,
        'agent-missing',
        { pointer },
      );
    }
    if (crossing && graph.doubles.has(name)) {
      throw new GraphError(`two agents are named ${name}`, 'ambiguous-agent', { pointer });
    }
    if (known) {
      seen.add(name);
    }
  }
  for (const [run, at] of runs(document)) {
    const view = graph.agents.get(run.current_agent);
    if (view && run.status === 'interrupted') {
      checkCalls(run, view, at);
    }
  }
}

function checkCalls(run: Run, view: AgentView, at: string): void {
  const open = unanswered(run.items);
  itemsOfResponse(run.response, run.items).forEach((entry, index) => {
    const pointer = `${at}/items/${(run.response?.start ?? 0) + index}`;
    const id = str(entry.item.call_id) ?? str(entry.item.id) ?? '';
    if (open.has(id)) {
      checkCall(run, entry, view, pointer);
    }
  });
}

function checkCall(run: Run, entry: RunItem, view: AgentView, pointer: string): void {
  const { item } = entry;
  const callId = str(item.call_id) ?? '';
  const missing = (what: string) =>
    new GraphError(`agent ${view.name} has no ${what}`, 'tool-missing', { pointer });
  if (entry.type === 'handoff_call_item') {
    const known = run.response?.handoffs?.[callId];
    const name = known?.tool_name ?? str(item.name) ?? '';
    if (!findHandoff(view, name, known?.target_agent)) {
      throw new GraphError(`agent ${view.name} has no handoff ${name}`, 'handoff-missing', {
        pointer,
      });
    }
  } else if (entry.type === 'mcp_approval_request_item') {
    if (!view.labels.has(str(item.server_label) ?? '')) {
      throw missing(`hosted MCP server ${item.server_label}`);
    }
  } else if (item.type === 'function_call') {
    checkFunction(run, item, view, pointer);
  } else if (KINDS.has(item.type) && !view.kinds.has(KINDS.get(item.type) ?? '')) {
    throw missing(`tool for a ${item.type}`);
  }
}

function checkFunction(run: Run, item: WireItem, view: AgentView, pointer: string): void {
  const name = str(item.name) ?? '';
  const server = run.response?.mcp_bindings?.[str(item.call_id) ?? '']?.server;
  if (server !== undefined) {
    if (!view.servers.has(server) && !view.functions.has(name)) {
      throw new GraphError(`agent ${view.name} has no MCP server ${server}`, 'tool-missing', {
        pointer,
      });
    }
  } else if (!canRun(run, view, name)) {
    if (view.servers.size > 0) {
      throw new CrossingError(
        `the document does not say whether an MCP server of ${view.name} serves ${name}`,
        'mcp-binding-unknown',
        { pointer },
      );
    }
    throw new GraphError(`agent ${view.name} has no function tool ${name}`, 'tool-missing', {
      pointer,
    });
  }
}

/** Whether a function tool is there, or may have been found by a tool search. */
function canRun(run: Run, view: AgentView, name: string): boolean {
  return (
    view.functions.has(name) || run.items.some(({ type }) => type === 'tool_search_output_item')
  );
}
