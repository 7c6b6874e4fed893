/**
 * The one place that touches the private side of @openai/agents.
 *
 * Written against 0.20.0. Private names are used for what has no public one: which agent is behind
 * an agent tool (`agentToolSourceRegistry`, not exported), and what a run state restored (the
 * fields of RunState that start with an underscore).
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Agent, RunState } from '@openai/agents';
import { LoadError } from '../errors.js';
import { canonical, sortedSet } from './canonical.js';
import type { Converted, PortableRunState, StateOptions } from './document.js';
import { type AgentBehind, type AnyAgent, agentTools } from './graph.js';
import { callIdOf } from './invocations.js';
import { deepEqual, isObj, list, type Obj, obj, objs, str } from './json.js';
import { toNative } from './native.js';
import { toPortable } from './portable.js';
import { parseNested } from './secrets.js';
import { NEWEST_SCHEMA } from './snapshot.js';

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever context"
type AnyState = RunState<any, any>;

/** The fields of RunState that have no public accessor. */
interface PrivateState {
  _generatedItems?: unknown[];
  _currentAgent?: { name?: string };
  _lastProcessedResponse?: Obj;
  _completedToolInvocations?: Map<{ name: string }, Map<string, string>>;
  _pendingAgentToolRuns?: Map<string, string>;
  _context?: { context: unknown };
}

async function loadRegistry(): Promise<void> {
  if (agentTools.behind) {
    return;
  }
  try {
    const require = createRequire(import.meta.url);
    const core = createRequire(require.resolve('@openai/agents')).resolve('@openai/agents-core');
    const file = join(dirname(core), 'agentToolSourceRegistry.mjs');
    const module: { getAgentToolSourceAgent?: AgentBehind } = await import(
      pathToFileURL(file).href
    );
    agentTools.behind = module.getAgentToolSourceAgent;
  } catch {
    // Another release may keep it elsewhere; then agents behind tools are not checked up front.
  }
}

/** What a run state was loaded from, to tell later whether only decisions were added. */
interface Loaded {
  document: PortableRunState;
  baseline: Obj;
}

const loaded = new WeakMap<AnyState, Loaded>();

/**
 * The SDK's own run state, from a portable document.
 *
 * Converts the document, lets @openai/agents restore it, and compares what was restored with what
 * was written.
 *
 * @throws {DocumentError} {@link CrossingError} {@link GraphError} as `toNative`
 * @throws {LoadError} `load-failed` with the SDK's own words, or `self-check-failed`
 */
// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
export async function loadRunState<TContext, TAgent extends Agent<any, any>>(
  document: PortableRunState | Record<string, unknown>,
  agent: TAgent,
  options: StateOptions = {},
): Promise<RunState<TContext, TAgent>> {
  await loadRegistry();
  const { document: native } = toNative(document, agent, options);
  const state = await restore<TContext, TAgent>(withOutputInfo(native), agent);
  selfCheck(state, native);
  await checkNested(native, agent);
  const restored = state as unknown as PrivateState;
  if (options.context !== undefined && restored._context) {
    restored._context.context = options.context;
  }
  remember(state, document as PortableRunState);
  return state;
}

// biome-ignore lint/suspicious/noExplicitAny: as above
async function restore<TContext, TAgent extends Agent<any, any>>(
  native: Obj,
  agent: TAgent,
): Promise<RunState<TContext, TAgent>> {
  const { RunState } = await import('@openai/agents');
  try {
    return await RunState.fromString<TContext, TAgent>(agent, JSON.stringify(native));
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new LoadError(`@openai/agents did not restore the run: ${said}`, 'load-failed', {
      cause: error,
    });
  }
}

/** With zod 4.4 and newer, @openai/agents 0.20.0 refuses guardrail results without `outputInfo`. */
function withOutputInfo(native: Obj): Obj {
  const complete = (results: unknown) =>
    objs(results).map((result) => ({
      ...result,
      output: { outputInfo: null, ...obj(result.output) },
    }));
  return {
    ...native,
    inputGuardrailResults: complete(native.inputGuardrailResults),
    outputGuardrailResults: complete(native.outputGuardrailResults),
  };
}

/** Calls of a processed response, in a snapshot and in a restored state alike. */
const PENDING = [
  'functions',
  'handoffs',
  'computerActions',
  'shellActions',
  'applyPatchActions',
  'mcpApprovalRequests',
];

function waitingIn(interruptions: readonly unknown[], currentAgent: unknown): string[] {
  return interruptions.map((entry) => {
    const { rawItem, agent } = obj(entry);
    return `${str(obj(agent).name) ?? currentAgent} ${callIdOf(obj(rawItem))}`;
  });
}

function completedIn(native: Obj): string[] {
  return objs(native.completedToolInvocations)
    .flatMap(({ agentIdentity, invocations }) =>
      Object.keys(obj(invocations)).map((callId) => `${agentIdentity} ${callId}`),
    )
    .sort();
}

function completedOf(state: PrivateState): string[] {
  return [...(state._completedToolInvocations ?? [])]
    .flatMap(([agent, calls]) => [...calls.keys()].map((callId) => `${agent.name} ${callId}`))
    .sort();
}

function isNoCompaction(item: unknown): boolean {
  return obj(item).type !== 'compaction_item';
}

/**
 * Compares what the SDK restored with what was written. The SDK renames nested runs of a snapshot
 * of an older schema, and brings back the compaction items such a snapshot left out.
 *
 * @throws {LoadError} `self-check-failed`
 */
export function selfCheck(state: AnyState, native: Obj): void {
  const restored = state as unknown as PrivateState;
  const differ = (what: string, written: unknown, found: unknown) => {
    if (!deepEqual(written, found)) {
      throw new LoadError(
        `${what}: ${JSON.stringify(written)} was written, ${JSON.stringify(found)} restored`,
        'self-check-failed',
      );
    }
  };
  const current = native.$schemaVersion === NEWEST_SCHEMA;
  const counted = (items: unknown) =>
    current ? list(items).length : list(items).filter(isNoCompaction).length;
  differ('history items', counted(native.generatedItems), counted(restored._generatedItems));
  const { name: agent } = obj(native.currentAgent);
  differ('current agent', agent, restored._currentAgent?.name);
  const step = obj(native.currentStep);
  if (step.type === 'next_step_interruption') {
    differ(
      'interruptions',
      waitingIn(list(obj(step.data).interruptions), agent),
      waitingIn(state.getInterruptions(), agent),
    );
  }
  const processed = obj(native.lastProcessedResponse);
  for (const kind of PENDING) {
    differ(
      kind,
      list(processed[kind]).length,
      list(restored._lastProcessedResponse?.[kind]).length,
    );
  }
  const hasDoubles = canonical(objs(native.completedToolInvocations)).includes('#');
  if (Array.isArray(native.completedToolInvocations) && !hasDoubles) {
    differ('completed calls', completedIn(native), completedOf(restored));
  }
  const written = Object.keys(obj(native.pendingAgentToolRuns)).sort();
  const found = [...(restored._pendingAgentToolRuns?.keys() ?? [])].sort();
  differ('nested runs', current ? written : written.length, current ? found : found.length);
}

/** Nested runs are restored by the SDK only when their tool runs; try it now. */
async function checkNested(native: Obj, agent: AnyAgent): Promise<void> {
  const runs = Object.values(obj(native.pendingAgentToolRuns));
  const { behind } = agentTools;
  if (runs.length === 0 || !behind) {
    return;
  }
  const sources = new Map<string, AnyAgent>();
  const queue = [agent];
  for (const next of queue) {
    for (const tool of objs(next.tools)) {
      const source = behind(tool);
      if (source && !sources.has(source.name)) {
        sources.set(source.name, source);
        queue.push(source);
      }
    }
    for (const handoff of list(next.handoffs)) {
      const target = obj(handoff).toolName === undefined ? handoff : obj(handoff).agent;
      if (isObj(target) && !queue.includes(target as unknown as AnyAgent)) {
        queue.push(target as unknown as AnyAgent);
      }
    }
  }
  for (const text of runs) {
    const nested = parseNested(text);
    const source = sources.get(str(obj(nested?.currentAgent).name) ?? '');
    if (nested && source) {
      selfCheck(await restore(nested, source), nested);
      await checkNested(nested, source);
    }
  }
}

/** Keep what the state came from, where a later save could lose another port's residue. */
function remember(state: AnyState, document: PortableRunState): void {
  if (!document.residue?.python) {
    return;
  }
  try {
    loaded.set(state, { document, baseline: snapshotOf(state) });
  } catch (error) {
    if (!(error instanceof Error)) {
      throw error;
    }
    // The SDK cannot write the state yet; a save will convert it whole.
  }
}

/** By way of its text: the SDK's own object has keys without a value, which no JSON has. */
function snapshotOf(state: AnyState): Obj {
  return obj(JSON.parse(state.toString()));
}

const APPROVALS = [
  'approvals',
  'hostedMcpApprovals',
  'functionApprovals',
  'legacyFunctionApprovals',
  'approvalInvocations',
];

function withoutDecisions(native: Obj): Obj {
  const context = { ...obj(native.context) };
  for (const key of APPROVALS) {
    delete context[key];
  }
  return { ...native, context };
}

/** The loaded document with the decisions of now; undefined where more than those changed. */
function decided(
  { document, baseline }: Loaded,
  native: Obj,
  now: PortableRunState,
): PortableRunState | undefined {
  if (!deepEqual(withoutDecisions(native), withoutDecisions(baseline))) {
    return undefined;
  }
  const before = new Map(document.decisions.map((entry) => [canonical(entry), entry]));
  const then = new Map(
    toPortable(baseline).document.decisions.map((entry) => [canonical(entry), entry]),
  );
  const taken = new Map(now.decisions.map((entry) => [canonical(entry), entry]));
  const decisions = sortedSet([
    ...[...before].filter(([key]) => !then.has(key) || taken.has(key)).map(([, entry]) => entry),
    ...[...taken].filter(([key]) => !then.has(key)).map(([, entry]) => entry),
  ]);
  if (deepEqual(decisions, document.decisions)) {
    return document;
  }
  const residue: PortableRunState['residue'] = {};
  for (const language of ['python', 'typescript'] as const) {
    const kept = document.residue?.[language];
    if (kept) {
      residue[language] = { decisions: document.decisions, ...kept };
    }
  }
  return { ...document, decisions, residue };
}

/**
 * The portable document of a live run state.
 *
 * Where the state came from {@link loadRunState} and only decisions were added, it is the loaded
 * document with those decisions added, so what the other language kept is still there.
 */
export function dumpRunState(state: AnyState): Converted<PortableRunState> {
  const native = snapshotOf(state);
  const converted = toPortable(native);
  const from = loaded.get(state);
  const kept = from && decided(from, native, converted.document);
  return kept ? { ...converted, document: kept } : converted;
}
