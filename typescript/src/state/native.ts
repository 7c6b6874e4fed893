/**
 * From the portable document to a snapshot that @openai/agents 0.20.0 loads.
 */
import { collectCalls, type Run } from './calls.js';
import { canonical } from './canonical.js';
import { checkCrossing } from './crossing.js';
import { DecisionWriter } from './decisions.js';
import {
  type Converted,
  type Decision,
  type PortableRunState,
  type RunItem,
  type StateOptions,
  validate,
} from './document.js';
import { generate } from './generate.js';
import { type AnyAgent, agentTools, checkGraph, findHandoff, Graph } from './graph.js';
import { deepEqual, isObj, list, type Obj, obj, objs, str } from './json.js';
import { apply } from './patch.js';
import { toProtocol } from './protocol/items.js';
import { minorOf } from './snapshot.js';
import { unanswered } from './status.js';

/** The snapshot of a document this SDK wrote, with the decisions added since. */
function restore(document: PortableRunState, options: StateOptions): Obj {
  const own = document.residue?.typescript;
  const before = own?.decisions ?? document.decisions;
  const base = generate({ ...document, decisions: before }, { own: true });
  let native = obj(apply(base, own?.patch ?? []));
  const known = new Set(own?.decisions?.map(canonical));
  const added = own?.decisions
    ? document.decisions.filter((decision) => !known.has(canonical(decision)))
    : [];
  if (added.length > 0) {
    native = withDecisions(native, document, added);
  }
  return withOptions(withEqualCopies(native), options);
}

/**
 * The snapshot with its copies of run items and of the last response in the key order of the
 * originals: @openai/agents 0.20.0 compares them as JSON text.
 */
function withEqualCopies(native: Obj): Obj {
  const ownership = native.currentResponseGeneratedItemOwnership;
  if (!isObj(ownership)) {
    return native;
  }
  const items = list(native.generatedItems);
  const like = (copy: unknown, original: unknown) => (deepEqual(copy, original) ? original : copy);
  const changed: Obj = { ...native };
  if (isObj(native.lastModelResponse)) {
    changed.lastModelResponse = like(native.lastModelResponse, list(native.modelResponses).at(-1));
  }
  const { lastProcessedResponse: processed, currentStep: current } = native;
  if (isObj(processed) && Array.isArray(processed.newItems)) {
    const start = Number(ownership.generatedItemStartIndex);
    const newItems = processed.newItems.map((item, index) => like(item, items[start + index]));
    changed.lastProcessedResponse = { ...processed, newItems };
  }
  if (isObj(current) && isObj(current.data) && Array.isArray(current.data.interruptions)) {
    const places = list(ownership.interruptionGeneratedItemIndexes);
    const interruptions = current.data.interruptions.map((item, index) =>
      like(item, items[Number(places[index])]),
    );
    changed.currentStep = { ...current, data: { ...current.data, interruptions } };
  }
  return changed;
}

function withDecisions(native: Obj, run: Run, added: readonly Decision[]): Obj {
  const context: Obj = { ...obj(native.context) };
  for (const key of [
    'approvals',
    'hostedMcpApprovals',
    'functionApprovals',
    'legacyFunctionApprovals',
    'approvalInvocations',
  ]) {
    if (context[key] !== undefined) {
      context[key] = structuredClone(context[key]);
    }
  }
  new DecisionWriter(context, collectCalls(run), minorOf(native)).write(added);
  return { ...native, context };
}

/** The snapshot with what the caller vouches for, and with the caller's context. */
function withOptions(native: Obj, options: StateOptions): Obj {
  const changed: Obj = { ...native };
  if (options.assumeInputGuardrailsCompleted && native.initialInputGuardrailsCompleted !== true) {
    changed.initialInputGuardrailsCompleted = true;
  }
  const processed = native.lastProcessedResponse;
  if (options.assumeNoLocalMcp && isObj(processed)) {
    changed.lastProcessedResponse = {
      ...processed,
      functions: objs(processed.functions).map((call) =>
        call.mcpToolBinding === undefined || call.mcpToolBinding === 'unknown'
          ? { ...call, mcpToolBinding: null }
          : call,
      ),
    };
  }
  if (isObj(options.context)) {
    changed.context = { ...obj(native.context), context: options.context };
  }
  return changed;
}

/** The run with the names its pending handoffs have in the live agents, nested runs included. */
function withLiveHandoffs<T extends Run>(run: T, graph: Graph): T {
  const { response } = run;
  const view = graph.agents.get(run.current_agent);
  if (!response) {
    return run;
  }
  const open = unanswered(run.items);
  const handoffs = { ...response.handoffs };
  const rename = (entry: RunItem): RunItem => {
    const callId = str(entry.item.call_id) ?? '';
    if (entry.type !== 'handoff_call_item' || !open.has(callId) || !view) {
      return entry;
    }
    const known = response.handoffs?.[callId];
    const name = known?.tool_name ?? str(entry.item.name) ?? '';
    const live = findHandoff(view, name, known?.target_agent);
    if (!live) {
      return entry;
    }
    handoffs[callId] = { tool_name: live.toolName, target_agent: live.target };
    return { ...entry, item: { ...entry.item, name: live.toolName } };
  };
  const items = run.items.map(rename);
  const changed: Run['response'] = { ...response, handoffs };
  if (response.items) {
    changed.items = response.items.map(rename);
  }
  if (response.nested_runs) {
    changed.nested_runs = Object.fromEntries(
      Object.entries(response.nested_runs).map(([callId, nested]) => [
        callId,
        withLiveHandoffs(nested, graph),
      ]),
    );
  }
  return { ...run, items, response: changed };
}

/**
 * The run with handoffs that were passed over as plain calls. Python keeps every handoff call of a
 * response and answers all but the first with a tool output; @openai/agents 0.20.0 refuses a
 * handoff call that has such an answer, and leaves its own out of the history.
 */
function withPassedOverHandoffs<T extends Run>(run: T): T {
  const answered = new Set(
    run.items.flatMap(({ type, item }) => (type === 'tool_call_output_item' ? item.call_id : [])),
  );
  const changed: T = {
    ...run,
    items: run.items.map((entry) =>
      entry.type === 'handoff_call_item' && answered.has(entry.item.call_id)
        ? { ...entry, type: 'tool_call_item' }
        : entry,
    ),
  };
  if (run.response?.nested_runs) {
    const nested = Object.entries(run.response.nested_runs);
    const nested_runs = Object.fromEntries(
      nested.map(([callId, inner]) => [callId, withPassedOverHandoffs(inner)]),
    );
    changed.response = { ...run.response, nested_runs };
  }
  return changed;
}

/** Places of a document that have no place in TypeScript. */
function lossyPlaces(document: PortableRunState): string[] {
  const lossy: string[] = [];
  if (document.context_type === 'typed') {
    lossy.push('/context');
  }
  document.items.forEach(({ item }, index) => {
    if (toProtocol(item).type === 'unknown') {
      lossy.push(`/items/${index}/item`);
    }
  });
  if ((document.residue?.python?.patch.length ?? 0) > 0) {
    lossy.push('/residue/python');
  }
  return lossy;
}

/**
 * The snapshot of a portable document.
 *
 * A document that TypeScript wrote becomes the snapshot it was made from, but for what is never
 * kept, with the decisions another writer added. Any other is taken over: checked, and written as
 * @openai/agents 0.20.0 writes it. With `agent` the live agents are checked too, and pending
 * handoffs get the names they have there.
 *
 * @throws {DocumentError} `malformed`, `not-a-run-state`, `newer-version`, `unsafe-integer`
 * @throws {CrossingError} where the run cannot go on in TypeScript
 * @throws {GraphError} where the agents lack what the document names
 */
export function toNative(
  document: PortableRunState | Record<string, unknown>,
  agent?: AnyAgent,
  options: StateOptions = {},
): Converted {
  validate(document);
  const graph = agent && new Graph(agent, agentTools.behind);
  const checked = false;
  if (document.residue?.typescript) {
    if (graph) {
      checkGraph(document, graph, false);
    }
    return { document: restore(document, options), lossy: [], checked };
  }
  checkCrossing(document, options);
  const lossy = lossyPlaces(document);
  let run = withPassedOverHandoffs(document);
  if (graph) {
    checkGraph(document, graph, true);
    run = withLiveHandoffs(run, graph);
  }
  const native = generate(run, {
    own: false,
    ...(graph && { live: graph }),
    onUnbound: (decisions) => {
      lossy.push(...decisions.map((decision) => `/decisions/${run.decisions.indexOf(decision)}`));
    },
  });
  return { document: withOptions(native, options), lossy, checked };
}
