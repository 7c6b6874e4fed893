/** Agents of the catalogue, made from data (schemas/agents.schema.json). */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  Agent,
  type AgentOptions,
  type AgentOutputType,
  type Handoff,
  handoff,
  MCPServerStdio,
  type ModelSettings,
} from '@openai/agents';
import { removeAllTools } from '@openai/agents-core/extensions';
import type { Ledger } from './effects.js';
import { isRow, type Row, row, rows, text } from './json.js';
import type { AnyAgent } from './stubs.js';
import { buildTool } from './tools.js';

const ROOT = new URL('../../../', import.meta.url);

/** The Python that runs the local MCP server, which is a Python program for every port. */
function python(): string {
  const own = fileURLToPath(new URL('.venv/bin/python', ROOT));
  return process.env.TIMESTEP_PYTHON ?? (existsSync(own) ? own : 'python3');
}

/** The local MCP server of the catalogue; its calls are effects too. */
class LedgerMcpServer extends MCPServerStdio {
  readonly #ledger: Ledger;

  constructor(name: string, ledger: Ledger) {
    super({
      name,
      command: python(),
      args: [fileURLToPath(new URL('conformance/fixtures/mcp/server.py', ROOT))],
      cacheToolsList: true,
      clientSessionTimeoutSeconds: 30,
    });
    this.#ledger = ledger;
  }

  override callTool(...call: Parameters<MCPServerStdio['callTool']>) {
    this.#ledger.add(call[0], call[1] ?? {});
    return super.callTool(...call);
  }
}

function trips(guardrail: Row, checked: unknown): boolean {
  const content = typeof checked === 'string' ? checked : JSON.stringify(checked);
  return typeof guardrail.tripwire_on === 'string' && content.includes(guardrail.tripwire_on);
}

function settingsOf(settings: Row): ModelSettings {
  return {
    ...(text(settings.tool_choice) && { toolChoice: text(settings.tool_choice) }),
    ...(typeof settings.parallel_tool_calls === 'boolean' && {
      parallelToolCalls: settings.parallel_tool_calls,
    }),
    ...(typeof settings.store === 'boolean' && { store: settings.store }),
    ...(typeof settings.temperature === 'number' && { temperature: settings.temperature }),
  };
}

function agentOf(described: Row): AnyAgent {
  const schema = row(row(described.output_type)?.json_schema);
  const options: AgentOptions<unknown, AgentOutputType> = {
    name: String(described.name),
    model: String(described.model),
    ...(typeof described.instructions === 'string' && { instructions: described.instructions }),
    ...(typeof described.handoff_description === 'string' && {
      handoffDescription: described.handoff_description,
    }),
    ...(isRow(described.model_settings) && {
      modelSettings: settingsOf(described.model_settings),
    }),
    ...(described.tool_use_behavior === 'stop_on_first_tool' && {
      toolUseBehavior: 'stop_on_first_tool' as const,
    }),
    ...(described.reset_tool_choice === false && { resetToolChoice: false }),
    ...(schema && {
      outputType: {
        type: 'json_schema',
        // What the SDK calls the output of a Zod type.
        name: 'output',
        strict: true,
        schema: schema as never,
      },
    }),
    inputGuardrails: rows(described.input_guardrails).map((guardrail) => ({
      name: String(guardrail.name),
      // Before the model, so that the requests it sees do not depend on who is faster.
      runInParallel: false,
      execute: async ({ input }) => ({
        tripwireTriggered: trips(guardrail, input),
        outputInfo: guardrail.info ?? null,
      }),
    })),
    outputGuardrails: rows(described.output_guardrails).map((guardrail) => ({
      name: String(guardrail.name),
      execute: async ({ agentOutput }) => ({
        tripwireTriggered: trips(guardrail, agentOutput),
        outputInfo: guardrail.info ?? null,
      }),
    })),
  };
  return new Agent(options) as AnyAgent;
}

/** The live agents of one catalogue file. */
export class Catalogue {
  readonly root: AnyAgent;
  readonly mcpServers: MCPServerStdio[] = [];
  readonly #agents = new Map<string, AnyAgent>();

  /** @throws RangeError where the file refers to what is not in it. */
  constructor(graph: Row, ledger: Ledger) {
    const described = rows(graph.agents);
    for (const one of described) {
      this.#agents.set(String(one.id ?? one.name), agentOf(one));
    }
    for (const one of described) {
      const agent = this.#named(one.id ?? one.name);
      agent.tools = rows(one.tools).flatMap((each) => buildTool(each, this.#agents, ledger));
      agent.handoffs = (Array.isArray(one.handoffs) ? one.handoffs : []).map((each: unknown) =>
        this.#handoff(each),
      );
      const servers = rows(one.mcp_servers).map(
        (each) => new LedgerMcpServer(String(each.name), ledger),
      );
      agent.mcpServers = servers;
      this.mcpServers.push(...servers);
    }
    this.root = this.#named(graph.root);
  }

  #named(name: unknown): AnyAgent {
    const found = this.#agents.get(String(name));
    if (found === undefined) {
      throw new RangeError(`there is no agent ${name}`);
    }
    return found;
  }

  #handoff(described: unknown): AnyAgent | Handoff {
    if (!isRow(described)) {
      return this.#named(described);
    }
    return handoff(this.#named(described.agent), {
      ...(typeof described.tool_name === 'string' && { toolNameOverride: described.tool_name }),
      ...(typeof described.tool_description === 'string' && {
        toolDescriptionOverride: described.tool_description,
      }),
      ...(described.input_filter === 'remove_all_tools' && { inputFilter: removeAllTools }),
    });
  }
}
