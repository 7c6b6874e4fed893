/**
 * From a snapshot of @openai/agents to the portable document.
 */
import { type Blocker, blockersOf } from './blockers.js';
import { type Calls, collectCalls, type Run } from './calls.js';
import { sortedSet } from './canonical.js';
import { decisionsOfContext } from './decisions.js';
import {
  type Converted,
  type Decision,
  FORMAT,
  type PortableRunState,
  type RunItem,
  type StateOptions,
  VERSION,
  type WireItem,
} from './document.js';
import { generate } from './generate.js';
import { guardrailsToPortable } from './guardrails.js';
import { interruptionToPortable, isPlaceholder } from './interruptions.js';
import { deepEqual, hasKeys, isObj, list, type Obj, obj, objs, step, str } from './json.js';
import { needList, needObj } from './malformed.js';
import { nestedCalls } from './nested.js';
import { apply, diff } from './patch.js';
import { itemsOfResponse, type Response, responseToPortable } from './response.js';
import { runItemToPortable, wireOf } from './runItems.js';
import { parseNested, withoutSecrets } from './secrets.js';
import { persistedToPortable } from './session.js';
import { checkSnapshot, minorOf } from './snapshot.js';
import { statusOf } from './status.js';
import { traceToPortable } from './trace.js';
import { usageToPortable } from './usage.js';
import { writer } from './writer.js';

/** What is found on the way through a snapshot and the runs nested in it. */
interface Notes {
  options: StateOptions;
  blockers: Blocker[];
  /** Every run context, with its schema version, outermost first. */
  contexts: { context: Obj; minor: number }[];
}

function wires(value: unknown, pointer: string): WireItem[] {
  return list(value).map((item, index) => wireOf(item, `${pointer}/${index}`));
}

function inputOf(native: Obj, pointer: string): PortableRunState['input'] {
  const { originalInput } = native;
  if (typeof originalInput === 'string') {
    return originalInput;
  }
  return wires(needList(originalInput, `${pointer}/originalInput`), `${pointer}/originalInput`);
}

function responses(native: Obj, pointer: string): PortableRunState['responses'] {
  return list(native.modelResponses).map((entry, index) => {
    const at = `${pointer}/modelResponses/${index}`;
    const response = needObj(entry, at);
    const portable: PortableRunState['responses'][number] = {
      output: wires(response.output, `${at}/output`),
      usage: usageToPortable(response.usage),
    };
    if (typeof response.responseId === 'string') {
      portable.response_id = response.responseId;
    }
    if (typeof response.requestId === 'string') {
      portable.request_id = response.requestId;
    }
    return portable;
  });
}

function toolUse(native: Obj): PortableRunState['tool_use'] {
  const used: PortableRunState['tool_use'] = {};
  for (const [agent, tools] of Object.entries(obj(native.toolUseTracker))) {
    used[agent] = list(tools).filter((tool): tool is string => typeof tool === 'string');
  }
  return used;
}

/** Position in a native history of the item that is at `index` without placeholders. */
function nativeIndex(nativeItems: readonly Obj[], index: number): number {
  let left = index;
  for (let position = 0; position < nativeItems.length; position += 1) {
    if (!isPlaceholder(nativeItems[position])) {
      if (left === 0) {
        return position;
      }
      left -= 1;
    }
  }
  return nativeItems.length;
}

/** The facts of a snapshot, nested runs included. */
function extract(native: Obj, pointer: string, notes: Notes): Run {
  const context = needObj(native.context, `${pointer}/context`);
  const currentAgent = str(obj(native.currentAgent).name) ?? '';
  const nativeItems = list(native.generatedItems).map((item, index) =>
    needObj(item, `${pointer}/generatedItems/${index}`),
  );
  const items: RunItem[] = [];
  nativeItems.forEach((item, index) => {
    if (!isPlaceholder(item)) {
      items.push(runItemToPortable(item, `${pointer}/generatedItems/${index}`));
    }
  });
  const processed = isObj(native.lastProcessedResponse) ? native.lastProcessedResponse : undefined;
  const at = `${pointer}/lastProcessedResponse`;
  const response = processed ? responseToPortable(processed, at, nativeItems, items) : null;
  notes.contexts.push({ context, minor: minorOf(native) });
  if (response) {
    addNestedRuns(native, pointer, response, items, notes);
  } else if (hasKeys(obj(native.pendingAgentToolRuns))) {
    strayRun(`${pointer}/pendingAgentToolRuns`, notes);
  }
  const responseItems = itemsOfResponse(response, items);
  const { status, missing } = statusOf(native, items, responseItems);
  const data = obj(obj(native.currentStep).data);
  const run: Run = {
    status,
    current_turn: native.currentTurn as number,
    max_turns: (native.maxTurns ?? null) as number | null,
    current_agent: currentAgent,
    input: inputOf(native, pointer),
    items,
    response,
    interruptions:
      status === 'interrupted'
        ? list(data.interruptions).map((entry, index) => {
            const place = `${pointer}/currentStep/data/interruptions/${index}`;
            return interruptionToPortable(needObj(entry, place), place, currentAgent);
          })
        : [],
    responses: responses(native, pointer),
    usage: usageToPortable(context.usage),
    ...contextOf(context),
    tool_use: toolUse(native),
    guardrails: guardrailsToPortable(native),
    session: {
      persisted_items: persistedToPortable(
        nativeItems,
        native.currentTurnPersistedItemCount,
        nativeIndex(nativeItems, response?.start ?? 0),
      ),
    },
  };
  addOptional(run, native, context, pointer);
  notes.blockers.push(
    ...blockersOf({ native, pointer, run, stepMissing: missing, responseItems }, notes.options),
  );
  return run;
}

function contextOf(context: Obj): Pick<Run, 'context' | 'context_type'> {
  const data = obj(context.context);
  return hasKeys(data)
    ? { context: data, context_type: 'mapping' }
    : { context: null, context_type: 'none' };
}

function addOptional(run: Run, native: Obj, context: Obj, pointer: string): void {
  const pending = wires(native.pendingInput, `${pointer}/pendingInput`);
  if (pending.length > 0) {
    run.pending_input = pending;
  }
  if (context.toolInput !== undefined) {
    run.tool_input = context.toolInput;
  }
  const conversation: NonNullable<Run['conversation']> = {};
  if (typeof native.conversationId === 'string') {
    conversation.conversation_id = native.conversationId;
  }
  if (typeof native.previousResponseId === 'string') {
    conversation.previous_response_id = native.previousResponseId;
  }
  if (hasKeys(conversation)) {
    run.conversation = conversation;
  }
  const policy = native.reasoningItemIdPolicy;
  if (policy === 'preserve' || policy === 'omit') {
    run.reasoning_item_id_policy = policy;
  }
  const trace = traceToPortable(native.trace);
  if (trace) {
    run.trace = trace;
  }
  const step = obj(native.currentStep);
  if (step.type === 'next_step_final_output' && step.output !== undefined) {
    run.final_output = step.output;
  }
}

function strayRun(pointer: string, notes: Notes): void {
  notes.blockers.push({
    code: 'call-in-flight',
    pointer,
    message: 'an unfinished run of an agent tool, but no call it belongs to',
  });
}

function addNestedRuns(
  native: Obj,
  pointer: string,
  response: Response,
  items: readonly RunItem[],
  notes: Notes,
): void {
  const runs: NonNullable<Response['nested_runs']> = {};
  const calls = nestedCalls(itemsOfResponse(response, items));
  for (const [key, value] of Object.entries(obj(native.pendingAgentToolRuns))) {
    const at = `${pointer}/pendingAgentToolRuns${step(key)}`;
    const nested = parseNested(value);
    const callId = calls.find(({ callId }) => key.endsWith(`:${callId}`))?.callId;
    if (!nested || callId === undefined || runs[callId]) {
      strayRun(at, notes);
    } else {
      checkSnapshot(nested, at);
      runs[callId] = extract(nested, at, notes);
    }
  }
  if (hasKeys(runs)) {
    response.nested_runs = runs;
  }
}

function decisionsOf(run: Run, notes: Notes): Decision[] {
  let calls: Calls | undefined;
  const found = notes.contexts.flatMap(({ context, minor }) => {
    const empty = !['approvals', 'hostedMcpApprovals', 'legacyFunctionApprovals'].some((key) =>
      hasKeys(obj(context[key])),
    );
    if (
      empty &&
      objs(context.functionApprovals).length === 0 &&
      objs(context.approvalInvocations).length === 0
    ) {
      return [];
    }
    calls ??= collectCalls(run);
    return decisionsOfContext(context, calls, minor);
  });
  return sortedSet(found);
}

/** A patch of `diff`, which copies and moves nothing where order does not count. */
type Patch = NonNullable<NonNullable<PortableRunState['residue']>['typescript']>['patch'];

/** The patch from the snapshot the core gives to the real one; everything where none is exact. */
function difference(generated: Obj, native: Obj): Patch {
  const patch = diff(generated, native) as Patch;
  return leadsTo(apply(generated, patch), generated, native)
    ? patch
    : [{ op: 'replace', path: '', value: native }];
}

/**
 * The snapshot as JSON has it: one that was never written holds the live tools of the calls in its
 * last response, functions and all.
 */
function written(native: Obj): Obj {
  const processed = obj(native.lastProcessedResponse);
  const isLive = Object.values(processed)
    .flatMap((calls) => objs(calls))
    .flatMap((call) => Object.values(call))
    .some((part) => Object.values(obj(part)).some((value) => typeof value === 'function'));
  return isLive
    ? { ...native, lastProcessedResponse: JSON.parse(JSON.stringify(processed)) }
    : native;
}

/** Whether a patched value is the wanted one. What the patch left alone was compared before. */
function leadsTo(patched: unknown, old: unknown, wanted: unknown): boolean {
  if (patched === old || patched === wanted) {
    return true;
  }
  if (isObj(patched) && isObj(old) && isObj(wanted)) {
    const keys = Object.keys(patched);
    const others = Object.keys(wanted).filter((key) => wanted[key] !== undefined);
    return (
      keys.length === others.length &&
      keys.every(
        (key) => Object.hasOwn(wanted, key) && leadsTo(patched[key], old[key], wanted[key]),
      )
    );
  }
  if (Array.isArray(patched) && Array.isArray(old) && Array.isArray(wanted)) {
    const moved = patched.length !== old.length;
    return (
      patched.length === wanted.length &&
      patched.every((entry, index) =>
        moved ? deepEqual(entry, wanted[index]) : leadsTo(entry, old[index], wanted[index]),
      )
    );
  }
  return deepEqual(patched, wanted);
}

/**
 * The portable document of a snapshot that @openai/agents wrote, of any schema from 1.0 to 1.22:
 * JSON, as `RunState.toString()` gives it (`toJSON()` holds live functions; see
 * {@link dumpRunState}). It shares structure with the snapshot. `lossy` lists the places of the snapshot that are never
 * kept.
 *
 * @throws {DocumentError} `malformed`
 * @throws {SnapshotError} `foreign-writer`, `unknown-schema`
 */
export function toPortable(
  native: Record<string, unknown>,
  options: StateOptions = {},
): Converted<PortableRunState> {
  checkSnapshot(native, '');
  const { native: clean, lossy } = withoutSecrets(written(native));
  const notes: Notes = { options, blockers: [], contexts: [] };
  const run = extract(clean, '', notes);
  const document: PortableRunState = {
    format: FORMAT,
    version: VERSION,
    writer: writer(str(native.$schemaVersion) ?? ''),
    ...run,
    decisions: decisionsOf(run, notes),
  };
  if (notes.blockers.length > 0) {
    document.cannot_cross = notes.blockers;
  }
  document.residue = {
    typescript: { patch: difference(generate(document, { own: true }), clean) },
  };
  return { document, lossy, checked: false };
}
