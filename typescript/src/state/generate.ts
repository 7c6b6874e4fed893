/**
 * The snapshot that @openai/agents 0.20.0 would write for the facts of a document. Everything the
 * SDK derives is derived here again: placeholders, copies of the last response, ownership,
 * fingerprints and the ledger of finished calls.
 */
import { type Calls, collectCalls, type Run } from './calls.js';
import { DecisionWriter } from './decisions.js';
import type { Decision, PortableRunState, RunItem, WireItem } from './document.js';
import { guardrailsToNative } from './guardrails.js';
import {
  approvalId,
  DEFAULT_TOOL_NAMES,
  interruptionToNative,
  ownInterruptions,
  type Placed,
  place,
} from './interruptions.js';
import { type Obj, obj, put } from './json.js';
import { ledger } from './ledger.js';
import { nestedToNative } from './nested.js';
import { processedResponse } from './processed.js';
import { type ProtocolOptions, toProtocol } from './protocol/items.js';
import { itemsOfResponse } from './response.js';
import { callNames, runItemToNative } from './runItems.js';
import { persistedToNative } from './session.js';
import { NEWEST_SCHEMA } from './snapshot.js';
import { agentSpan, traceToNative } from './trace.js';
import { usageToNative } from './usage.js';

/** The live agents, as far as a snapshot depends on them. */
export interface LiveNames {
  /** Name of an agent's built-in tool for a kind of call. */
  localTool(agent: string, callType: string): string | undefined;
}

/** How to generate. */
export interface GenerateOptions {
  /**
   * The run was made by this SDK, so what it always writes may be taken for granted. Otherwise the
   * run crosses, and only facts are written.
   */
  own: boolean;
  live?: LiveNames;
  /** Gets the decisions that no call of the document belongs to. */
  onUnbound?: (decisions: Decision[]) => void;
}

/** The endpoint @openai/agents 0.20.0 notes for each request to the Responses API. */
const ENDPOINT = 'responses.create';

type Document = Omit<PortableRunState, 'writer' | 'residue'>;

/** The whole snapshot. */
export function generate(document: Document, options: GenerateOptions): Obj {
  const context: Obj = { approvals: {}, approvalInvocations: [] };
  if (document.decisions.length > 0) {
    const calls: Calls = collectCalls(document);
    const unbound = new DecisionWriter(context, calls).write(document.decisions);
    if (unbound.length > 0) {
      options.onUnbound?.(unbound);
    }
  }
  const decided = new Set(
    options.own ? document.decisions.flatMap((entry) => entry.call_id ?? []) : [],
  );
  return generateRun(document, context, { ...options, decided });
}

function* olderItems(run: Run): Iterable<WireItem> {
  if (Array.isArray(run.input)) {
    yield* run.input;
  }
  for (const { output } of run.responses) {
    yield* output;
  }
}

/** What each run of a document needs of the whole. */
interface RunOptions extends GenerateOptions {
  /** Ids of the calls that were decided one by one, where the SDK remembers that they waited. */
  decided: ReadonlySet<string>;
}

function generateRun(run: Run, approvals: Obj, options: RunOptions): Obj {
  const calls = callNames(run.items, () => olderItems(run));
  const responseItems = itemsOfResponse(run.response, run.items);
  const start = run.response?.start ?? 0;
  const end = run.response?.items ? run.items.length : start + (run.response?.count ?? 0);
  const own = ownInterruptions(run.items, run.interruptions);
  const placed = place(run.items, start, run.response ? end : run.items.length, own);
  const localTool = (agent: string, callType: string) =>
    options.live?.localTool(agent, callType) ?? DEFAULT_TOOL_NAMES[callType];
  const waiting = run.interruptions.map((interruption) =>
    interruptionToNative(
      interruption,
      options.live?.localTool(interruption.agent, String(interruption.item.type)),
    ),
  );
  const nativeOf = new Map(run.interruptions.map((entry, index) => [entry, waiting[index]]));
  const history = run.items.map((item, index) => runItemToNative(item, { calls, index }));
  const generatedItems = placed.map((entry) =>
    'item' in entry ? (history[entry.item] as Obj) : (nativeOf.get(entry.interruption) as Obj),
  );
  const newItems = newItemsOf(run, placed, generatedItems, history, responseItems, calls);
  const interrupted = run.status === 'interrupted';
  const native: Obj = { $schemaVersion: NEWEST_SCHEMA, currentTurn: run.current_turn };
  native.currentAgent = { name: run.current_agent };
  const items: ProtocolOptions = { calls };
  native.originalInput =
    typeof run.input === 'string' ? run.input : run.input.map((wire) => toProtocol(wire, items));
  if (run.pending_input) {
    native.pendingInput = run.pending_input.map((wire) => pendingItem(wire, items));
  }
  const modelResponses = run.responses.map((response) =>
    responseToNative(response, items, options),
  );
  native.modelResponses = modelResponses;
  native.context = contextToNative(run, approvals, options);
  native.toolUseTracker = run.tool_use;
  native.maxTurns = run.max_turns;
  native.noActiveAgentRun = !(interrupted || (run.response && run.status !== 'not_started'));
  Object.assign(native, guardrailsToNative(run.guardrails, run.current_agent));
  native.initialInputGuardrailsCompleted = run.status !== 'not_started';
  native.currentTurnInProgress = interrupted;
  put(native, 'currentStep', currentStep(run, waiting));
  put(native, 'lastModelResponse', modelResponses.at(-1));
  native.generatedItems = generatedItems;
  if (run.response?.items === undefined) {
    put(native, 'currentResponseGeneratedItemOwnership', ownership(run, placed, newItems, own));
  }
  Object.assign(
    native,
    nestedToNative(responseItems, run.response?.nested_runs ?? {}, (nested) =>
      generateRun(nested, { approvals: {}, approvalInvocations: [] }, options),
    ),
  );
  if (run.response) {
    native.lastProcessedResponse = processedResponse({
      run,
      responseItems,
      newItems,
      localTool,
      options: items,
    });
  }
  native.currentTurnPersistedItemCount = persistedToNative(
    placed,
    run.session.persisted_items,
    start,
  );
  put(native, 'conversationId', run.conversation?.conversation_id);
  put(native, 'previousResponseId', run.conversation?.previous_response_id);
  put(native, 'reasoningItemIdPolicy', run.reasoning_item_id_policy);
  Object.assign(
    native,
    ledger(generatedItems, localTool, (index) => decidedApproval(run, placed[index], options)),
  );
  native.trace = traceToNative(run.trace);
  if (run.trace && !options.own) {
    native.currentAgentSpan = agentSpan(run.trace, run.current_agent);
  }
  return native;
}

/** The placeholder a call had before it was decided: the SDK keeps it as proof of the call. */
function decidedApproval(
  { items }: Run,
  placed: Placed | undefined,
  { decided, live }: RunOptions,
): Obj | undefined {
  const entry = placed && 'item' in placed ? items[placed.item] : undefined;
  if (entry?.type !== 'tool_call_item' || !decided.has(approvalId(entry.item) ?? '')) {
    return undefined;
  }
  const { item, agent, tool_key } = entry;
  const interruption = { item, agent, ...(tool_key && { tool_key }) };
  return interruptionToNative(interruption, live?.localTool(agent, String(item.type)));
}

/** Staged input is always typed in TypeScript. */
function pendingItem(wire: WireItem, options: ProtocolOptions): Obj {
  const item = toProtocol(wire, options);
  item.type ??= 'message';
  return item;
}

function responseToNative(
  response: PortableRunState['responses'][number],
  items: ProtocolOptions,
  { own }: GenerateOptions,
): Obj {
  const native: Obj = {
    usage: usageToNative(response.usage, own ? ENDPOINT : undefined),
    output: response.output.map((wire) => toProtocol(wire, items)),
  };
  put(native, 'responseId', response.response_id);
  put(native, 'requestId', response.request_id);
  return native;
}

function contextToNative(run: Run, approvals: Obj, { own }: GenerateOptions): Obj {
  const context: Obj = {
    usage: usageToNative(run.usage, own ? ENDPOINT : undefined),
    ...approvals,
    context: run.context ?? {},
  };
  if (run.tool_input !== undefined) {
    context.toolInput = run.tool_input;
  }
  return context;
}

function currentStep(run: Run, interruptions: Obj[]): Obj | undefined {
  switch (run.status) {
    case 'interrupted':
      return { type: 'next_step_interruption', data: { interruptions } };
    case 'run_again':
      return { type: 'next_step_run_again' };
    case 'completed':
      return typeof run.final_output === 'string'
        ? { type: 'next_step_final_output', output: run.final_output }
        : undefined;
    default:
      return undefined;
  }
}

/** The response's items, with the placeholders of hosted requests between them. */
function newItemsOf(
  run: Run,
  placed: readonly Placed[],
  generatedItems: readonly Obj[],
  history: readonly Obj[],
  responseItems: readonly RunItem[],
  calls: ProtocolOptions['calls'],
): Obj[] {
  const { response } = run;
  if (!response) {
    return [];
  }
  if (response.items) {
    const lookup = calls ?? { get: () => undefined };
    return responseItems.map((item, index) => runItemToNative(item, { calls: lookup, index }));
  }
  const start = response.start ?? 0;
  const end = start + (response.count ?? 0);
  if (placed.length === history.length) {
    return history.slice(start, end) as Obj[];
  }
  return generatedItems.filter((native, index) => {
    const entry = placed[index];
    if (entry && 'item' in entry) {
      return entry.item >= start && entry.item < end;
    }
    return obj(native.rawItem).type === 'hosted_tool_call';
  });
}

/**
 * Which part of the history the response owns. Written only where every waiting call has its
 * placeholder behind the response's items, as the SDK demands when it loads.
 */
function ownership(
  run: Run,
  placed: readonly Placed[],
  newItems: readonly Obj[],
  own: readonly unknown[],
): Obj | undefined {
  const { response, interruptions, responses, guardrails } = run;
  if (
    !response ||
    run.status !== 'interrupted' ||
    newItems.length === 0 ||
    interruptions.length === 0 ||
    own.length !== interruptions.length ||
    responses.length === 0 ||
    newItems.some(({ type }) => type === 'tool_approval_item')
  ) {
    return undefined;
  }
  const places = new Map<unknown, number>();
  placed.forEach((entry, index) => {
    if ('interruption' in entry) {
      places.set(entry.interruption, index);
    }
  });
  const indexes = interruptions.map((entry) => places.get(entry) ?? -1);
  const start = placed.findIndex((entry) => 'item' in entry && entry.item === response.start);
  const end = start + newItems.length;
  const rising = indexes.every((index, at) => index >= end && index > (indexes[at - 1] ?? -1));
  if (!rising) {
    return undefined;
  }
  return {
    generatedItemStartIndex: start,
    generatedItemEndIndexExclusive: placed.length,
    interruptionGeneratedItemIndexes: indexes,
    toolOutputGuardrailResultStartIndex: responses.length === 1 ? 0 : guardrails.tool_output.length,
  };
}
