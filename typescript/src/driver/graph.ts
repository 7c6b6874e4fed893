/**
 * An agent graph as data: who is in it, with which tools and handoffs.
 *
 * The `graph` argument of `state.convert` comes in the case of the language that wrote it
 * (`needs_approval` or `needsApproval`, `FunctionTool` or `function`). Reading it gives one neutral
 * form, from which `stubs` builds agents.
 */
import { isRow, type Row, row, rows, text, texts } from './json.js';

/** What a tool is, in either SDK. */
export type ToolKind =
  | 'function'
  | 'agent_tool'
  | 'hosted_mcp'
  | 'web_search'
  | 'file_search'
  | 'code_interpreter'
  | 'image_generation'
  | 'tool_search'
  | 'programmatic'
  | 'hosted'
  | 'local_shell'
  | 'computer'
  | 'custom'
  | 'apply_patch'
  | 'shell';

const HOSTED_KINDS: Readonly<Record<string, ToolKind>> = {
  mcp: 'hosted_mcp',
  web_search: 'web_search',
  web_search_preview: 'web_search',
  file_search: 'file_search',
  code_interpreter: 'code_interpreter',
  image_generation: 'image_generation',
  tool_search: 'tool_search',
  programmatic_tool_calling: 'programmatic',
};

const KINDS: Readonly<Record<string, ToolKind>> = {
  HostedMCPTool: 'hosted_mcp',
  WebSearchTool: 'web_search',
  FileSearchTool: 'file_search',
  CodeInterpreterTool: 'code_interpreter',
  ImageGenerationTool: 'image_generation',
  LocalShellTool: 'local_shell',
  ComputerTool: 'computer',
  ToolSearchTool: 'tool_search',
  ProgrammaticToolCallingTool: 'programmatic',
  CustomTool: 'custom',
  SandboxApplyPatchTool: 'custom',
  ApplyPatchTool: 'apply_patch',
  ShellTool: 'shell',
  computer: 'computer',
  shell: 'shell',
  apply_patch: 'apply_patch',
};

/** One tool of an agent; `config` is the wire configuration of a hosted tool. */
export interface ToolRow {
  readonly kind: ToolKind;
  readonly name: string;
  readonly description: string;
  readonly parameters?: Row;
  readonly strict: boolean;
  readonly needsApproval: boolean;
  readonly enabled: boolean;
  readonly deferLoading: boolean;
  readonly allowedCallers?: string[];
  readonly outputSchema?: Row;
  readonly namespace?: string;
  readonly namespaceDescription?: string;
  readonly config: Row;
  readonly agent?: number;
  readonly environment?: Row;
  readonly inputGuardrails: string[];
  readonly outputGuardrails: string[];
  readonly clientSearch: boolean;
}

/** One handoff; without `toolName` and `agentName` it is an agent listed as it is. */
export interface HandoffRow {
  readonly agent?: number;
  readonly agentName?: string;
  readonly toolName?: string;
  readonly toolDescription?: string;
  readonly inputSchema?: Row;
  readonly enabled: boolean;
}

/** A local MCP server and its tools, under the server's own names for them. */
export interface McpServerRow {
  readonly name: string;
  readonly tools: { name: string; parameters?: Row }[];
}

/** One agent of the graph. */
export interface AgentRow {
  readonly name: string;
  readonly sandbox: boolean;
  readonly instructions?: string;
  readonly model?: string;
  readonly handoffDescription?: string;
  readonly outputSchema?: Row;
  readonly outputGuardrails: string[];
  readonly prefixMcpNames: boolean;
  readonly tools: ToolRow[];
  readonly handoffs: HandoffRow[];
  readonly mcpServers: McpServerRow[];
}

/** Agents by number and the number of the one a run starts at. */
export interface Graph {
  readonly root: number;
  readonly agents: AgentRow[];
}

/** Value of a field in either key case. */
function get(from: Row, name: string): unknown {
  if (name in from) {
    return from[name];
  }
  return from[name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
}

function flag(value: unknown, otherwise: boolean): boolean {
  if (typeof value === 'boolean') {
    return value;
  }
  return value === undefined || value === null ? otherwise : true;
}

/** A string; a leading `$` marks what cannot be written down, such as `$function`. */
function plain(value: unknown): string | undefined {
  const found = text(value);
  return found?.startsWith('$') ? undefined : found;
}

function index(value: unknown): number | undefined {
  return Number.isInteger(value) ? (value as number) : undefined;
}

function names(value: unknown): string[] {
  if (!Array.isArray(value)) {
    return [];
  }
  return texts(value.map((entry) => (isRow(entry) ? entry.name : entry)));
}

function kindOf(tool: Row, config: Row): ToolKind {
  const type = String(tool.type);
  const known = KINDS[type];
  if (known !== undefined) {
    return known;
  }
  const hosted = HOSTED_KINDS[String(config.type)];
  if (type === 'hosted_tool') {
    return hosted ?? HOSTED_KINDS[String(tool.name)] ?? 'hosted';
  }
  if (hosted === 'hosted_mcp') {
    return hosted;
  }
  return index(get(tool, 'agentTool')) === undefined ? 'function' : 'agent_tool';
}

/** The same value with every key in camel case. */
function camel(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(camel);
  }
  if (!isRow(value)) {
    return value;
  }
  const entries = Object.entries(value).map(([key, inner]) => [
    key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    camel(inner),
  ]);
  return Object.fromEntries(entries);
}

/** A tool row in either case as neutral data. */
export function readTool(tool: Row): ToolRow {
  const config = row(tool.tool_config) ?? row(tool.providerData) ?? {};
  const callers = get(tool, 'allowedCallers');
  return {
    kind: kindOf(tool, config),
    name: text(tool.name) ?? '',
    description: text(tool.description) ?? '',
    parameters: row(tool.params_json_schema) ?? row(tool.parameters),
    strict: flag(tool.strict_json_schema ?? tool.strict, true),
    needsApproval: flag(get(tool, 'needsApproval'), false),
    enabled: flag(get(tool, 'isEnabled'), true),
    deferLoading: flag(get(tool, 'deferLoading'), false),
    allowedCallers: Array.isArray(callers) ? texts(callers) : undefined,
    outputSchema: row(tool.output_json_schema) ?? row(tool.outputSchema),
    namespace: text(get(tool, 'namespace')),
    namespaceDescription: text(get(tool, 'namespaceDescription')),
    config,
    agent: index(get(tool, 'agentTool')),
    environment: row(camel(tool.environment)),
    inputGuardrails: names(tool.inputGuardrails ?? tool.tool_input_guardrails),
    outputGuardrails: names(tool.outputGuardrails ?? tool.tool_output_guardrails),
    clientSearch:
      texts(tool.has).includes('clientToolSearchExecutor') ||
      tool.execution === 'client' ||
      config.execution === 'client',
  };
}

function readHandoff(handoff: Row): HandoffRow {
  return {
    agent: index(handoff.agent),
    agentName: plain(get(handoff, 'agentName')),
    toolName: handoff.kind === 'agent' ? undefined : plain(get(handoff, 'toolName')),
    toolDescription: plain(get(handoff, 'toolDescription')),
    inputSchema: row(get(handoff, 'inputJsonSchema')),
    enabled: flag(get(handoff, 'isEnabled'), true),
  };
}

/** The agent's MCP servers, with the tools that were really listed where the row tells. */
function readMcpServers(agent: Row): McpServerRow[] {
  const servers = rows(get(agent, 'mcpServers')).map((server) => ({
    name: text(server.name) ?? 'server',
    tools: [] as { name: string; parameters?: Row }[],
    listed: rows(server.tools),
  }));
  const listed = get(agent, 'mcpTools');
  if (!Array.isArray(listed)) {
    for (const server of servers) {
      for (const tool of server.listed) {
        if (typeof tool.name === 'string') {
          server.tools.push({ name: tool.name, parameters: row(tool.inputSchema) });
        }
      }
    }
  }
  for (const tool of rows(listed)) {
    const binding = get(tool, 'mcpToolBinding') ?? get(tool, 'mcpBinding');
    const [serverName, toolName, at] = Array.isArray(binding) ? binding : [];
    const parameters = row(tool.params_json_schema) ?? row(tool.parameters);
    const into =
      servers[index(at) ?? servers.findIndex((server) => server.name === serverName)] ??
      servers[0] ??
      servers[servers.push({ name: text(serverName) ?? 'server', tools: [], listed: [] }) - 1];
    into?.tools.push({ name: text(toolName) ?? text(tool.name) ?? '', parameters });
  }
  return servers.map(({ name, tools }) => ({ name, tools }));
}

function readAgent(agent: Row, number: number, doubles: boolean): AgentRow {
  const identity = plain(agent.identity);
  const output = row(get(agent, 'outputType'));
  const schema = row(output?.json_schema);
  let handoffDescription = plain(get(agent, 'handoffDescription'));
  if (doubles) {
    // Both SDKs number doubles of a name in the order of their sorted signatures, which hold the
    // handoff description: this one sorts them as the identities of the row say.
    const ordinal = /#(\d+)$/.exec(identity ?? '')?.[1] ?? '0';
    handoffDescription = `${ordinal.padStart(6, '0')} double ${String(number).padStart(4, '0')}`;
  }
  return {
    name: String(agent.name),
    sandbox: agent.class === 'SandboxAgent',
    instructions: plain(agent.instructions),
    model: plain(agent.model),
    handoffDescription,
    outputSchema:
      output?.plain_text === true ? undefined : (row(schema?.schema) ?? schema ?? undefined),
    outputGuardrails: names(get(agent, 'outputGuardrails')),
    prefixMcpNames: get(row(get(agent, 'mcpConfig')) ?? {}, 'includeServerInToolNames') === true,
    tools: rows(agent.tools).map(readTool),
    handoffs: rows(agent.handoffs).map(readHandoff),
    mcpServers: readMcpServers(agent),
  };
}

function sameTool(a: ToolRow, b: ToolRow): boolean {
  return (
    a.kind === b.kind &&
    a.name === b.name &&
    a.namespace === b.namespace &&
    a.config.server_label === b.config.server_label
  );
}

/** Adds what the pending response points at, wherever the agent got it from. */
function withPending(agent: AgentRow, graph: Row, agents: readonly AgentRow[]): AgentRow {
  const isServed = (binding: unknown) =>
    Array.isArray(binding) &&
    agent.mcpServers.some(
      (server) =>
        server.name === binding[0] && server.tools.some((tool) => tool.name === binding[1]),
    );
  const tools = rows(get(graph, 'pendingTools'))
    .filter((tool) => !isServed(get(tool, 'mcpToolBinding')))
    .map(readTool)
    .filter((tool) => !agent.tools.some((have) => sameTool(have, tool)));
  const known = agent.handoffs.map((handoff) => {
    const name = agents[handoff.agent ?? -1]?.name ?? handoff.agentName ?? '';
    return handoff.toolName ?? `transfer_to_${name.toLowerCase().replace(/[^a-z0-9]/g, '_')}`;
  });
  const handoffs = rows(get(graph, 'pendingHandoffs'))
    .map(readHandoff)
    .filter((handoff) => !known.includes(handoff.toolName ?? ''));
  return {
    ...agent,
    tools: [...agent.tools, ...tools],
    handoffs: [...agent.handoffs, ...handoffs],
  };
}

/**
 * A graph in either key case as neutral data.
 *
 * @throws RangeError where it has no agents or its root is none of them.
 */
export function readGraph(graph: Row): Graph {
  const list = rows(graph.agents);
  if (list.length === 0) {
    throw new RangeError('a graph needs a non-empty list of agents');
  }
  const agents = list.map((agent, number) =>
    readAgent(agent, number, list.filter((other) => other.name === agent.name).length > 1),
  );
  const owner = index(get(graph, 'pendingOwner'));
  const owning = owner === undefined ? undefined : agents[owner];
  if (owner !== undefined && owning !== undefined) {
    agents[owner] = withPending(owning, graph, agents);
  }
  const root = index(graph.root) ?? 0;
  if (agents[root] === undefined) {
    throw new RangeError("the graph's root is not the number of one of its agents");
  }
  return { root, agents };
}
