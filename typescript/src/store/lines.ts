/** What may be appended to the log of a run, upon its state; and what that state says to readers. */
import { createHash } from 'node:crypto';
import { ApprovalError, StoreError } from '../errors.js';
import type {
  Decision,
  Facts,
  PendingCall,
  Piece,
  Revision,
  RunSummary,
  StoredApproval,
} from './base.js';
import {
  type ClaimLine,
  type DecideLine,
  type Entry,
  type MovedLine,
  mark,
  type PendingLine,
  type RevisionLine,
  type RunLog,
} from './log.js';
import { isSealed } from './seal.js';

/** The details of a decision, as a backend takes them. */
export interface DecisionDetails {
  digest?: string;
  always: boolean;
  message?: Uint8Array;
  by: string;
  expires?: Date;
}

/** A call that waits, with what the line of its revision says elsewhere. */
type Waiting = Required<Omit<PendingLine, 'arguments'>> & Pick<PendingLine, 'arguments'>;

/** What a value that may be sealed is in a line. */
export function toText(value: Uint8Array): string | { sealed: string } {
  const bytes = Buffer.from(value);
  return isSealed(value) ? { sealed: bytes.toString('base64') } : bytes.toString();
}

/** The bytes of such a value. */
export function fromText(value: string | { sealed: string }): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.sealed, 'base64');
}

/** @throws StoreError `state-not-found` if the log holds no run. */
export function needRun(runId: string, { current }: RunLog): RevisionLine {
  if (current === undefined) {
    throw notFound(runId);
  }
  return current;
}

/** The error for a run that is not there. */
export function notFound(runId: string): StoreError {
  return new StoreError(`there is no run ${runId}`, 'state-not-found');
}

/** The claim on a run, if it is held. */
export function held(state: RunLog, now: Date): ClaimLine | undefined {
  const { claim } = state;
  return claim !== undefined && Date.parse(claim.until) > now.getTime() ? claim : undefined;
}

/** Whether a decision counts. */
function good(decision: DecideLine | undefined, now: Date): decision is DecideLine {
  return (
    decision !== undefined &&
    (decision.expires === undefined || Date.parse(decision.expires) > now.getTime())
  );
}

/**
 * The line of a save.
 *
 * @param stored - `size`, and `file` where the document is a file of its own.
 * @throws StoreError `stale-state`, `already-claimed`.
 */
export function revisionLine(
  runId: string,
  state: RunLog,
  { piece, facts, owner }: { piece: Piece; facts: Facts; owner?: string },
  stored: { size: number; file?: string },
  now: Date,
): RevisionLine {
  const newest = state.current?.revision ?? 0;
  if (piece.revision !== newest + 1) {
    throw stale(runId, newest);
  }
  refuseOthers(runId, state, owner, now);
  const before = new Map(pendingOf(state.current).map((call) => [call.call_id, call]));
  const line = mark(state, now);
  const pending = facts.pending.map((call) =>
    pendingLine(call, facts.agent, before.get(call.callId)),
  );
  const waiting = new Map(facts.pending.map(({ callId, digest }) => [callId, digest]));
  const decided = [...state.decided.values()].filter(
    ({ call_id, digest }) => waiting.get(call_id) === digest,
  );
  const settled = Object.entries(facts.decided).filter(
    ([callId]) => before.has(callId) && !waiting.has(callId),
  );
  return {
    ...line,
    revision: piece.revision,
    ...(piece.base === undefined && { whole: true }),
    size: stored.size,
    check: Buffer.from(piece.checksum).toString('hex'),
    ...(stored.file !== undefined && { file: stored.file }),
    language: facts.language,
    status: facts.status,
    agent: facts.agent,
    turn: facts.turn,
    ...(facts.traceId !== undefined && { trace_id: facts.traceId }),
    created: state.current?.created ?? line.at,
    pending,
    ...(decided.length > 0 && { decided }),
    ...(settled.length > 0 && { settled: Object.fromEntries(settled) }),
    ...(owner !== undefined && { owner }),
    ...(state.claim !== undefined && { claim: state.claim }),
  };
}

/** A call that waits, as the line of a revision has it; `before` is that of the one before. */
function pendingLine(call: PendingCall, agent: string, before: Waiting | undefined): PendingLine {
  const line = {
    call_id: call.callId,
    ...(call.agent !== agent && { agent: call.agent }),
    tool: call.tool,
    ...(call.kind !== 'function' && { kind: call.kind }),
    arguments: toText(call.arguments),
  };
  return {
    ...line,
    ...(digestOf(line) !== call.digest && { digest: call.digest }),
    ...(before?.digest === call.digest && { since: before.since, at: before.at }),
  };
}

/** The calls that wait in a revision, with what its line says of them elsewhere. */
export function pendingOf(line: RevisionLine | undefined): Waiting[] {
  if (line === undefined) {
    return [];
  }
  const { agent, revision: since, at } = line;
  const said = { agent, kind: 'function', since, at };
  return line.pending.map((call) => ({
    ...said,
    ...call,
    digest: call.digest ?? digestOf(call) ?? '',
  }));
}

/** What the arguments of a call say its digest is, where they are there in clear. */
function digestOf({ arguments: text }: Pick<PendingLine, 'arguments'>): string | undefined {
  return typeof text === 'string' ? createHash('sha256').update(text).digest('hex') : undefined;
}

/** The error of a save or a claim by someone who has not read the newest revision. */
export function stale(runId: string, newest: number): StoreError {
  return newest === 0
    ? new StoreError(`the run ${runId} is not there any more`, 'stale-state')
    : new StoreError(`the run ${runId} is at revision ${newest} by now`, 'stale-state', {
        revision: newest,
      });
}

function refuseOthers(runId: string, state: RunLog, owner: string | undefined, now: Date): void {
  const claim = held(state, now);
  if (claim !== undefined && claim.claim !== owner) {
    throw new StoreError(
      `the run ${runId} is taken by ${claim.claim} until ${claim.until}`,
      'already-claimed',
      { owner: claim.claim, until: new Date(claim.until) },
    );
  }
}

/**
 * The line that takes a run, or renews what `owner` holds.
 *
 * @throws StoreError `state-not-found`, `already-claimed`, `stale-state`.
 */
export function claimLine(
  runId: string,
  state: RunLog,
  { owner, milliseconds, seen }: { owner: string; milliseconds: number; seen?: number },
  now: Date,
): ClaimLine {
  const newest = state.current?.revision ?? 0;
  refuseOthers(runId, state, owner, now);
  if (seen !== undefined && seen !== newest) {
    throw stale(runId, newest);
  }
  const until = new Date(now.getTime() + milliseconds).toISOString();
  return { ...mark(state, now), claim: owner, until };
}

/**
 * The line of a decision.
 *
 * @throws ApprovalError `approval-not-found`, `approval-mismatch`, `already-decided`.
 */
export function decideLine(
  runId: string,
  state: RunLog,
  callId: string,
  decision: Decision,
  details: DecisionDetails,
  now: Date,
): DecideLine {
  const call = pendingOf(state.current).find(({ call_id }) => call_id === callId);
  if (call === undefined) {
    throw new ApprovalError(`no call ${callId} of ${runId} waits`, 'approval-not-found');
  }
  if (details.digest !== undefined && details.digest !== call.digest) {
    throw new ApprovalError(
      `the call ${callId} of ${runId} has other arguments than those decided on`,
      'approval-mismatch',
    );
  }
  const before = state.decided.get(callId);
  if (good(before, now)) {
    throw new ApprovalError(
      `${before.by} has decided on the call ${callId} of ${runId} at ${before.at}`,
      'already-decided',
      { decidedBy: before.by, decidedAt: new Date(before.at) },
    );
  }
  return {
    ...mark(state, now),
    decide: decision,
    call_id: callId,
    digest: call.digest,
    always: details.always,
    ...(details.message !== undefined && { message: toText(details.message) }),
    by: details.by,
    ...(details.expires !== undefined && { expires: details.expires.toISOString() }),
  };
}

/** The run as a list shows it. */
export function summary(runId: string, state: RunLog, now: Date): RunSummary {
  const line = needRun(runId, state);
  const claim = held(state, now);
  return {
    runId,
    agent: line.agent,
    status: line.status as RunSummary['status'],
    currentTurn: line.turn,
    revision: line.revision,
    pending: line.pending.filter(({ call_id }) => !good(state.decided.get(call_id), now)).length,
    createdAt: new Date(line.created),
    updatedAt: new Date(line.at),
    ...(line.trace_id !== undefined && { traceId: line.trace_id }),
    ...(claim !== undefined && { claimedBy: claim.claim, claimedUntil: new Date(claim.until) }),
  };
}

/** A revision as the history shows it. */
export function revision(line: RevisionLine): Revision {
  return {
    revision: line.revision,
    status: line.status as Revision['status'],
    currentTurn: line.turn,
    savedAt: new Date(line.at),
    language: line.language,
    size: line.size,
    whole: line.whole === true,
  };
}

/** The calls that wait, in the order they were asked. */
export function waiting(runId: string, state: RunLog): StoredApproval[] {
  return pendingOf(state.current).map((call) =>
    approval(runId, call, state.decided.get(call.call_id)),
  );
}

/** The decisions that count, on the calls that wait. */
export function decisions(runId: string, state: RunLog, now: Date): StoredApproval[] {
  return waiting(runId, state).filter(({ approval: { callId } }) =>
    good(state.decided.get(callId), now),
  );
}

/** Every call of a whole log, those the run has gone past too. */
export function everyCall(
  runId: string,
  accepted: Iterable<Pick<Entry, 'line'>>,
): StoredApproval[] {
  const calls = new Map<string, StoredApproval>();
  let decided = new Map<string, DecideLine>();
  let before: readonly Waiting[] = [];
  for (const { line } of accepted) {
    if (typeof line.decide === 'string') {
      const decision = line as unknown as DecideLine;
      decided.set(decision.call_id, decision);
    } else if (typeof line.revision === 'number') {
      const current = line as unknown as RevisionLine;
      const still = new Set(current.pending.map(({ call_id }) => call_id));
      for (const call of before.filter(({ call_id }) => !still.has(call_id))) {
        calls.set(call.call_id, resolved(runId, call, decided.get(call.call_id), current));
      }
      before = pendingOf(current);
      decided = new Map(current.decided?.map((decision) => [decision.call_id, decision]));
      for (const { call_id } of before) {
        calls.delete(call_id);
      }
    }
  }
  for (const call of before) {
    calls.set(call.call_id, approval(runId, call, decided.get(call.call_id)));
  }
  return [...calls.values()];
}

function resolved(
  runId: string,
  call: Waiting,
  decision: DecideLine | undefined,
  next: RevisionLine,
): StoredApproval {
  const stored = approval(runId, call, decision);
  const own = next.settled?.[call.call_id];
  const settled = decision === undefined && own !== undefined;
  return {
    ...stored,
    approval: {
      ...stored.approval,
      ...(settled && { decision: own, decidedAt: new Date(next.at) }),
      resolved: true,
    },
  };
}

function approval(runId: string, call: Waiting, decision?: DecideLine): StoredApproval {
  return {
    approval: {
      runId,
      callId: call.call_id,
      agent: call.agent,
      tool: call.tool,
      kind: call.kind,
      argumentsDigest: call.digest,
      revision: call.since,
      requestedAt: new Date(call.at),
      always: decision?.always ?? false,
      ...(decision !== undefined && {
        decision: decision.decide,
        decidedBy: decision.by,
        decidedAt: new Date(decision.at),
      }),
      ...(decision?.expires !== undefined && { expiresAt: new Date(decision.expires) }),
      resolved: false,
    },
    ...(call.arguments !== undefined && { arguments: fromText(call.arguments) }),
    ...(decision?.message !== undefined && { message: fromText(decision.message) }),
  };
}

/** Oldest first, as lists of approvals are. */
export function byAge(left: StoredApproval, right: StoredApproval): number {
  return left.approval.requestedAt.getTime() - right.approval.requestedAt.getTime();
}

/** The line that ends a log whose older revisions are dropped. */
export function movedLine(
  state: RunLog,
  generation: number,
  oldest: Piece,
  size: number,
  now: Date,
): MovedLine {
  const check = Buffer.from(oldest.checksum).toString('hex');
  return { ...mark(state, now), moved: generation, oldest: oldest.revision, size, check };
}
