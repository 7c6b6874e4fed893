/**
 * Why a TypeScript run can only go on in TypeScript.
 */
import type { CrossingErrorCode } from '../errors.js';
import type { Run } from './calls.js';
import type { RunItem, StateOptions } from './document.js';
import { deepEqual, isObj, type Obj, obj, objs, str, text } from './json.js';
import { toProtocol } from './protocol/items.js';
import { unanswered } from './status.js';

/** One reason, as the document states it. */
export interface Blocker {
  code: CrossingErrorCode;
  /** JSON Pointer into the native snapshot. */
  pointer: string;
  message: string;
}

/** Fields of a snapshot that bind it to a session of TypeScript. */
const SESSION_FIELDS = [
  'pendingSessionWrite',
  'pendingSessionHistoryTransaction',
  'pendingLegacyCompactionSessionItems',
  'currentTurnBlockedSessionStartIndex',
  'currentTurnDeferredSessionItemIndexes',
  'currentTurnExecutedWithSessionBinding',
];

/** What a snapshot level is checked with. */
export interface Level {
  native: Obj;
  /** JSON Pointer to the snapshot: empty for the outer one. */
  pointer: string;
  run: Run;
  /** The current step is missing while calls have no output. */
  stepMissing: boolean;
  responseItems: readonly RunItem[];
}

/** Keys of agent references. */
const REFERENCES = ['agent', 'sourceAgent', 'targetAgent'];

function isMarked(reference: unknown): boolean {
  return isObj(reference) && reference.identity !== undefined;
}

/** The first agent reference that carries an identity of its own. */
function findIdentity(native: Obj, pointer: string): string | undefined {
  if (isMarked(native.currentAgent)) {
    return `${pointer}/currentAgent`;
  }
  const step = obj(native.currentStep);
  const lists: [string, unknown][] = [
    ['/generatedItems', native.generatedItems],
    ['/lastProcessedResponse/newItems', obj(native.lastProcessedResponse).newItems],
    ['/currentStep/data/interruptions', obj(step.data).interruptions],
    ['/outputGuardrailResults', native.outputGuardrailResults],
    ['/lastProcessedResponse/handoffs', obj(native.lastProcessedResponse).handoffs],
  ];
  for (const [at, entries] of lists) {
    const found = objs(entries).findIndex((entry) =>
      REFERENCES.some((key) => isMarked(entry[key])),
    );
    const entry = objs(entries)[found];
    if (entry) {
      return `${pointer}${at}/${found}/${REFERENCES.find((key) => isMarked(entry[key]))}`;
    }
  }
  return isMarked(step.newAgent) ? `${pointer}/currentStep/newAgent` : undefined;
}

/** A call id under which the history has two different calls. */
function reusedCall(items: readonly RunItem[]): string | undefined {
  const calls = new Map<string, RunItem>();
  for (const entry of items) {
    const callId = text(entry.item.call_id);
    const { type } = entry.item;
    if (callId === undefined || typeof type !== 'string' || !type.endsWith('_call')) {
      continue;
    }
    const before = calls.get(callId);
    if (before && before.agent === entry.agent && !sameCall(before.item, entry.item)) {
      return callId;
    }
    calls.set(callId, entry);
  }
  return undefined;
}

function sameCall(left: Obj, right: Obj): boolean {
  return ['type', 'name', 'namespace', 'arguments', 'action', 'actions', 'operation'].every((key) =>
    deepEqual(left[key], right[key]),
  );
}

/** A call of the last response that TypeScript passed over; Python might have a tool for it. */
function unknownCall(run: Run): string | undefined {
  const output = run.responses.at(-1)?.output ?? [];
  const known = new Set(run.items.map(({ item }) => str(item.call_id)));
  return output
    .filter((item) => item.type?.endsWith('_call') && toProtocol(item).type === 'unknown')
    .map(({ call_id }) => text(call_id))
    .find((callId) => callId !== undefined && !known.has(callId));
}

function unknownBinding(level: Level): string | undefined {
  const { native, pointer, run } = level;
  const open = unanswered(run.items);
  const functions = objs(obj(native.lastProcessedResponse).functions);
  const index = functions.findIndex(
    ({ toolCall, mcpToolBinding }) =>
      open.has(str(obj(toolCall).callId) ?? '') &&
      (mcpToolBinding === undefined || mcpToolBinding === 'unknown'),
  );
  return index < 0
    ? undefined
    : `${pointer}/lastProcessedResponse/functions/${index}/mcpToolBinding`;
}

/** The reasons of one snapshot level. */
export function blockersOf(level: Level, options: StateOptions): Blocker[] {
  const { native, pointer, run } = level;
  const found: Blocker[] = [];
  const add = (code: CrossingErrorCode, at: string, message: string) => {
    found.push({ code, pointer: at, message });
  };
  const step = obj(native.currentStep);
  if (level.stepMissing) {
    add('step-missing', `${pointer}/currentStep`, 'no current step, but calls have no output');
  }
  if (step.type === 'next_step_handoff') {
    add('handoff-step', `${pointer}/currentStep`, 'the run stopped inside a handoff');
  }
  if (obj(step.data).responseAccepted === true) {
    add(
      'response-accepted',
      `${pointer}/currentStep/data/responseAccepted`,
      'the response was accepted but not processed',
    );
  }
  const identity = findIdentity(native, pointer);
  if (identity) {
    add('duplicate-agent', identity, 'two agents share a name');
  }
  for (const field of SESSION_FIELDS) {
    if (native[field] !== undefined && native[field] !== null) {
      add('pending-session-write', `${pointer}/${field}`, 'session writes are not acknowledged');
    }
  }
  if (native.sandbox !== undefined && native.sandbox !== null) {
    add('sandbox-state', `${pointer}/sandbox`, 'the run holds a sandbox');
  }
  const ambiguous = objs(native.ambiguousToolInvocationCallIds).length > 0;
  const reused = ambiguous ? undefined : reusedCall(run.items);
  if (ambiguous || reused !== undefined) {
    const at = ambiguous ? 'ambiguousToolInvocationCallIds' : 'generatedItems';
    const which = reused === undefined ? 'a call id' : `call id ${reused}`;
    add('ambiguous-call', `${pointer}/${at}`, `${which} names different calls`);
  }
  if (run.status === 'interrupted' || run.status === 'run_again') {
    const call = unknownCall(run);
    if (call !== undefined) {
      add(
        'unknown-call',
        `${pointer}/modelResponses/${run.responses.length - 1}/output`,
        `call ${call} is of a kind TypeScript does not know, and was not answered`,
      );
    }
    found.push(...guardrailBlockers(level, options));
  }
  return found;
}

function guardrailBlockers(level: Level, options: StateOptions): Blocker[] {
  const { native, pointer, run } = level;
  const known =
    run.current_turn === 0 ||
    native.initialInputGuardrailsCompleted === true ||
    options.assumeInputGuardrailsCompleted === true;
  const binding = options.assumeNoLocalMcp === true ? undefined : unknownBinding(level);
  if (!known) {
    return [
      {
        code: 'guardrails-unknown',
        pointer: `${pointer}/initialInputGuardrailsCompleted`,
        message: `schema ${native.$schemaVersion} does not say that the input guardrails completed`,
      },
    ];
  }
  return binding === undefined
    ? []
    : [
        {
          code: 'mcp-binding-unknown',
          pointer: binding,
          message: 'a call may be served by a local MCP server; the snapshot does not say which',
        },
      ];
}
