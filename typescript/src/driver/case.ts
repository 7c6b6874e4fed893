/** The open case: its agents, its model, its session and its ledger. */
import { isAbsolute, join } from 'node:path';
import { MemorySession, setTraceProcessors, setTracingDisabled } from '@openai/agents';
import OpenAI from 'openai';
import { MultiModelProvider, MultiModelProviderMap, OllamaModelProvider } from '../models/index.js';
import { Catalogue } from './catalogue.js';
import { Ledger } from './effects.js';
import { numbered } from './ids.js';
import { type Row, row } from './json.js';
import type { AnyState } from './outcome.js';
import { Failure, requiredText } from './protocol.js';
import type { AnyAgent } from './stubs.js';
import { inputItems, wireItems } from './wire.js';

// Traces keep their ids but are sent nowhere.
setTraceProcessors([]);
setTracingDisabled(true);

function requiredRow(args: Row, name: string): Row {
  const value = row(args[name]);
  if (value === undefined) {
    throw new Failure('protocol', 'bad-request', `the argument ${name} is missing or wrong`);
  }
  return value;
}

function catalogueOf(graph: Row, ledger: Ledger): Catalogue {
  try {
    return new Catalogue(graph, ledger);
  } catch (error) {
    throw new Failure('protocol', 'bad-agents', `no agents can be made: ${String(error)}`);
  }
}

/** The port's own provider, all of whose models are at the case's server. */
function providerOf(model: Row): MultiModelProvider {
  const baseURL = requiredText(model, 'base_url');
  const openaiClient = new OpenAI({
    baseURL,
    apiKey: requiredText(model, 'api_key'),
    maxRetries: 0,
  });
  const providerMap = new MultiModelProviderMap();
  const baseUrl = baseURL.replace(/\/v1$/, '');
  providerMap.addProvider('ollama', new OllamaModelProvider({ baseUrl, newId: numbered() }));
  return new MultiModelProvider({ providerMap, openaiClient, openaiUseResponses: true });
}

/** One case of the suite. `state` is the run, once there is one. */
export class Case {
  state: AnyState | undefined;

  private constructor(
    readonly catalogue: Catalogue,
    readonly ledger: Ledger,
    readonly provider: MultiModelProvider,
    readonly session: MemorySession | undefined,
    readonly tracing: boolean,
    readonly workdir: string,
  ) {}

  /** A case from the arguments of `case.open`. Its MCP servers are running. */
  static async open(args: Row): Promise<Case> {
    const ledger = new Ledger();
    const catalogue = catalogueOf(requiredRow(args, 'agents'), ledger);
    const session = row(args.session);
    const opened = new Case(
      catalogue,
      ledger,
      providerOf(requiredRow(args, 'model')),
      session && new MemorySession({ initialItems: inputItems(session.items) }),
      args.tracing === true,
      requiredText(args, 'workdir'),
    );
    setTracingDisabled(!opened.tracing);
    try {
      await Promise.all(catalogue.mcpServers.map((server) => server.connect()));
    } catch (error) {
      await opened.close();
      throw error;
    }
    return opened;
  }

  /** The agent a run starts at. */
  get agent(): AnyAgent {
    return this.catalogue.root;
  }

  /** The run's state. @throws Failure where there is no run yet. */
  paused(): AnyState {
    if (this.state === undefined) {
      throw new Failure('protocol', 'no-run', 'the case has no run yet');
    }
    return this.state;
  }

  /** A path of the case's own folder. */
  path(args: Row): string {
    const path = requiredText(args, 'path');
    return isAbsolute(path) ? path : join(this.workdir, path);
  }

  /** What the session holds, as wire items. */
  async readSession(): Promise<Row> {
    if (this.session === undefined) {
      throw new Failure('protocol', 'no-session', 'the case was opened without a session');
    }
    return { items: wireItems(await this.session.getItems()) };
  }

  /** What tools did since the case was opened. */
  readEffects(): Row {
    return { effects: this.ledger.entries };
  }

  /** Stops the MCP servers. */
  async close(): Promise<void> {
    setTracingDisabled(true);
    await this.provider.close();
    await Promise.allSettled(this.catalogue.mcpServers.map((server) => server.close()));
  }
}
