/** The open case: its agents, its model, its session and its ledger. */
import { isAbsolute, join } from 'node:path';
import {
  MemorySession,
  type Session,
  setTraceProcessors,
  setTracingDisabled,
} from '@openai/agents';
import OpenAI from 'openai';
import { MultiModelProvider, MultiModelProviderMap, OllamaModelProvider } from '../models/index.js';
import { Session as OwnSession } from '../session.js';
import { RunStateStore } from '../store/index.js';
import { Catalogue } from './catalogue.js';
import { Ledger } from './effects.js';
import { disarm } from './faults.js';
import { numbered } from './ids.js';
import { type Row, row, rows } from './json.js';
import type { AnyState } from './outcome.js';
import { Failure, requiredText } from './protocol.js';
import { keysOf, Stores } from './stores.js';
import type { AnyAgent } from './stubs.js';
import { inputItems } from './wire.js';

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

/** The session of a case: the port's own where it has a location, else one of the SDK. */
async function sessionOf(given: Row | undefined): Promise<Session | undefined> {
  if (given === undefined) {
    return undefined;
  }
  const items = inputItems(rows(given.items));
  if (typeof given.location !== 'string') {
    return new MemorySession({ initialItems: items });
  }
  const keys = keysOf(given);
  const own = new OwnSession(requiredText(given, 'id'), {
    location: given.location,
    ...(keys !== undefined && { keys }),
  });
  await own.addItems(items);
  return own;
}

/** One case of the suite. `state` is the run, once there is one. */
export class Case {
  state: AnyState | undefined;
  readonly #files = new Map<string, RunStateStore<unknown, AnyAgent>>();
  readonly #stores: Stores | undefined;

  private constructor(
    readonly catalogue: Catalogue,
    readonly ledger: Ledger,
    readonly provider: MultiModelProvider,
    readonly session: Session | undefined,
    stores: Row | undefined,
    readonly tracing: boolean,
    readonly workdir: string,
  ) {
    this.#stores = stores && new Stores(stores, this.agent);
  }

  /** A case from the arguments of `case.open`. Its MCP servers are running. */
  static async open(args: Row): Promise<Case> {
    const ledger = new Ledger();
    const catalogue = catalogueOf(requiredRow(args, 'agents'), ledger);
    const opened = new Case(
      catalogue,
      ledger,
      providerOf(requiredRow(args, 'model')),
      await sessionOf(row(args.session)),
      row(args.store),
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

  /** The store of a file: the same one as before, which knows what it has read. */
  file(args: Row): RunStateStore<unknown, AnyAgent> {
    const path = this.path(args);
    const store = this.#files.get(path) ?? new RunStateStore<unknown, AnyAgent>(path, this.agent);
    this.#files.set(path, store);
    return store;
  }

  /** The stores of the case. @throws Failure where it has none. */
  get stored(): Stores {
    if (this.#stores === undefined) {
      throw new Failure('protocol', 'no-store', 'the case was opened without a store');
    }
    return this.#stores;
  }

  /** The session of the case. @throws Failure where it has none. */
  get conversation(): Session {
    if (this.session === undefined) {
      throw new Failure('protocol', 'no-session', 'the case was opened without a session');
    }
    return this.session;
  }

  /** What tools did since the case was opened. */
  readEffects(): Row {
    return { effects: this.ledger.entries };
  }

  /** Stops the MCP servers and closes what the case opened. */
  async close(): Promise<void> {
    setTracingDisabled(true);
    disarm();
    for (const store of this.#files.values()) {
      await store.close();
    }
    await this.#stores?.close();
    if (this.session instanceof OwnSession) {
      await this.session.close();
    }
    await this.provider.close();
    await Promise.allSettled(this.catalogue.mcpServers.map((server) => server.close()));
  }
}
