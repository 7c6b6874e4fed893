/**
 * Stub agents: a graph's agents with everything a snapshot can point at, and no behaviour.
 *
 * They are what `state.convert` loads a snapshot into where there is no live graph. No tool of
 * theirs ever runs.
 */
import {
  Agent,
  type AgentOptions,
  type AgentOutputType,
  applyPatchTool,
  attachClientToolSearchExecutor,
  type ClientToolSearchExecutor,
  type Computer,
  computerTool,
  type Editor,
  type FunctionTool,
  Handoff,
  type HostedTool,
  type MCPServer,
  shellTool,
  type Tool,
  tool,
  toolNamespace,
} from '@openai/agents';
import { SandboxAgent } from '@openai/agents/sandbox';
import {
  type AgentRow,
  type Graph,
  type HandoffRow,
  type McpServerRow,
  readTool,
  type ToolRow,
} from './graph.js';
import { type Row, row, rows } from './json.js';

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
export type AnyAgent = Agent<any, any>;
// biome-ignore lint/suspicious/noExplicitAny: as above
type AnyFunctionTool = FunctionTool<any, any, any>;

const OPEN_SCHEMA = {
  type: 'object' as const,
  properties: {},
  required: [],
  additionalProperties: true as const,
};

const HOSTED_NAMES: Readonly<Partial<Record<ToolRow['kind'], string>>> = {
  hosted_mcp: 'hosted_mcp',
  web_search: 'web_search',
  file_search: 'file_search',
  code_interpreter: 'code_interpreter',
  image_generation: 'image_generation',
  tool_search: 'tool_search',
  programmatic: 'programmatic_tool_calling',
};

const nothing = async (): Promise<void> => {};

const computer: Computer = {
  environment: 'browser',
  dimensions: [1, 1],
  screenshot: async () => '',
  click: nothing,
  doubleClick: nothing,
  drag: nothing,
  keypress: nothing,
  move: nothing,
  scroll: nothing,
  type: nothing,
  wait: nothing,
};

const editor: Editor = { createFile: nothing, updateFile: nothing, deleteFile: nothing };

const allow = async () => ({ behavior: { type: 'allow' as const } });

function mcpServer(server: McpServerRow): MCPServer {
  return {
    name: server.name,
    cacheToolsList: false,
    connect: nothing,
    close: nothing,
    invalidateToolsCache: nothing,
    callTool: () => Promise.reject(new Error('a stub serves no tool')),
    listTools: async () =>
      server.tools.map((listed) => ({
        name: listed.name,
        inputSchema: {
          ...OPEN_SCHEMA,
          ...(listed.parameters?.type === 'object' ? listed.parameters : {}),
        },
      })),
  };
}

function functionTool(described: ToolRow, agents: readonly AnyAgent[]): AnyFunctionTool {
  const source = agents[described.agent ?? -1];
  let made: AnyFunctionTool = source
    ? source.asTool({
        toolName: described.name,
        toolDescription: described.description,
        needsApproval: described.needsApproval,
        isEnabled: described.enabled,
      })
    : tool({
        name: described.name || 'stub',
        description: described.description,
        parameters: OPEN_SCHEMA,
        strict: false,
        execute: () => Promise.reject(new Error('a stub tool never runs')),
        needsApproval: described.needsApproval,
        isEnabled: described.enabled,
      });
  // Set afterwards: names and schemas would be checked and rewritten when the tool is made.
  Object.assign(made, {
    name: described.name,
    strict: described.strict,
    ...(described.parameters && { parameters: described.parameters }),
    ...(described.deferLoading && { deferLoading: true }),
    ...(described.allowedCallers && { allowedCallers: described.allowedCallers }),
    ...(described.outputSchema && { outputSchema: described.outputSchema }),
    inputGuardrails: described.inputGuardrails.map((name) => ({
      type: 'tool_input',
      name,
      run: allow,
    })),
    outputGuardrails: described.outputGuardrails.map((name) => ({
      type: 'tool_output',
      name,
      run: allow,
    })),
  });
  if (described.namespace) {
    const [named] = toolNamespace({
      name: described.namespace,
      description: described.namespaceDescription || described.namespace,
      tools: [made],
    });
    made = named ?? made;
  }
  return made;
}

function hostedTool(described: ToolRow): HostedTool {
  const name = HOSTED_NAMES[described.kind] ?? described.name;
  return {
    type: 'hosted_tool',
    name,
    providerData: { type: name === 'hosted_mcp' ? 'mcp' : name, ...described.config },
  };
}

/** The wire items of one type in the history of a run and of the runs nested in it. */
function historyOf(run: Row, type: string): Row[] {
  const own = rows(run.items).filter((entry) => entry.type === type);
  const nested = Object.values(row(row(run.response)?.nested_runs) ?? {});
  return [
    ...own.map((entry) => row(entry.item) ?? {}),
    ...nested.flatMap((inner) => historyOf(row(inner) ?? {}, type)),
  ];
}

/** The tools a client-executed search handed out, as the history of the document tells them. */
function searched(document: Row): ClientToolSearchExecutor {
  const calls = historyOf(document, 'tool_search_call_item');
  const outputs = historyOf(document, 'tool_search_output_item');
  return ({ toolCall }) => {
    const asked = row(toolCall) ?? {};
    const callId = asked.callId ?? asked.call_id ?? row(asked.providerData)?.call_id ?? asked.id;
    // Two agents may have used one call id: the outputs are in the order of the calls.
    const same = calls.filter((call) => (call.call_id ?? call.id) === callId);
    const place = same.findIndex((call) => call.id === asked.id);
    const answers = outputs.filter((output) => output.call_id === callId);
    const answer = answers[place] ?? answers[0];
    return (answer ? [answer] : outputs).flatMap((output) => foundTools(rows(output.tools)));
  };
}

function foundTools(found: Row[], namespace?: Row): Tool[] {
  return found.flatMap((one): Tool[] => {
    if (Array.isArray(one.tools)) {
      return foundTools(rows(one.tools), one);
    }
    if (one.type === 'mcp') {
      return [{ type: 'hosted_tool', name: 'hosted_mcp', providerData: one }];
    }
    if (one.type !== 'function' || typeof one.name !== 'string') {
      return [];
    }
    const described = readTool({
      ...one,
      needsApproval: true,
      namespace: namespace?.name,
      namespaceDescription: namespace?.description,
    });
    return [functionTool(described, [])];
  });
}

function buildTool(described: ToolRow, agents: readonly AnyAgent[], document: Row): Tool[] {
  const { kind, needsApproval, name } = described;
  switch (kind) {
    case 'function':
    case 'agent_tool':
      return [functionTool(described, agents)];
    case 'computer':
      return [Object.assign(computerTool({ computer, needsApproval }), name && { name })];
    case 'apply_patch': {
      const made = applyPatchTool({ editor, needsApproval });
      return [Object.assign(made, name && { name }, callers(described))];
    }
    case 'shell': {
      const type = described.environment?.type;
      const made =
        type === undefined || type === 'local'
          ? shellTool({ shell: { run: async () => ({ output: [] }) }, needsApproval })
          : shellTool({ environment: described.environment as never });
      return [Object.assign(made, name && { name }, callers(described))];
    }
    case 'custom':
    case 'local_shell':
      // This SDK has no such tools; a snapshot that needs one is refused by the codec.
      return [];
    case 'tool_search': {
      const made = hostedTool(described);
      return [
        described.clientSearch ? attachClientToolSearchExecutor(made, searched(document)) : made,
      ];
    }
    default:
      return [hostedTool(described)];
  }
}

function callers(described: ToolRow): Row {
  return described.allowedCallers ? { allowedCallers: described.allowedCallers } : {};
}

function agentOf(described: AgentRow): AnyAgent {
  const options: AgentOptions<unknown, AgentOutputType> = {
    name: described.name || 'stub',
    ...(described.instructions !== undefined && { instructions: described.instructions }),
    ...(described.model !== undefined && { model: described.model }),
    ...(described.handoffDescription !== undefined && {
      handoffDescription: described.handoffDescription,
    }),
    ...(described.outputSchema && {
      outputType: {
        type: 'json_schema',
        name: 'output',
        strict: false,
        schema: { ...OPEN_SCHEMA, ...described.outputSchema } as never,
      },
    }),
    outputGuardrails: described.outputGuardrails.map((name) => ({
      name,
      execute: async () => ({ tripwireTriggered: false, outputInfo: null }),
    })),
    mcpServers: described.mcpServers.map(mcpServer),
    mcpConfig: { includeServerInToolNames: described.prefixMcpNames },
  };
  const made = described.sandbox ? new SandboxAgent(options as never) : new Agent(options);
  made.name = described.name;
  return made as AnyAgent;
}

function handoffOf(described: HandoffRow, agents: readonly AnyAgent[]): AnyAgent | Handoff {
  const target =
    agents[described.agent ?? -1] ??
    agents.find((agent) => agent.name === described.agentName) ??
    new Agent({ name: described.agentName ?? 'target' });
  if (described.toolName === undefined && described.agentName === undefined) {
    return target;
  }
  const made = new Handoff(target, () => target);
  made.toolName = described.toolName ?? made.toolName;
  made.toolDescription = described.toolDescription ?? made.toolDescription;
  made.agentName = described.agentName ?? made.agentName;
  made.isEnabled = async () => described.enabled;
  if (described.inputSchema?.type === 'object') {
    made.inputJsonSchema = described.inputSchema as never;
  }
  return made;
}

/**
 * The starting agent of a graph.
 *
 * @param document - The document that will be loaded: what its tool searches found is in it.
 */
export function buildAgents(graph: Graph, document: Row): AnyAgent {
  const agents = graph.agents.map(agentOf);
  graph.agents.forEach((described, number) => {
    const agent = agents[number];
    if (agent !== undefined) {
      agent.tools = described.tools.flatMap((one) => buildTool(one, agents, document));
      agent.handoffs = described.handoffs.map((one) => handoffOf(one, agents));
    }
  });
  const root = agents[graph.root];
  if (root === undefined) {
    throw new RangeError('the graph has no root');
  }
  return root;
}
