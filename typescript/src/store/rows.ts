/** What a database and the store say to each other in JSON (`docs/database.md`). */
import type { Facts, PendingCall, Revision, RunSummary, StoredApproval } from './base.js';
import { isSealed } from './seal.js';

/** A row of JSON, as a function of `schemas/sql` answers. */
export type Row = Readonly<Record<string, unknown>>;

/** The text as a database can hold it: NUL and lone surrogates are U+FFFD. */
export function plain(text: string): string {
  return text.replace(
    /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    '\ufffd',
  );
}

/** The facts of a save; what is empty, or goes without saying, is left out. */
export function factsJson(facts: Facts): string {
  const said: Row = {
    agent: facts.agent,
    status: facts.status,
    turn: facts.turn,
    language: facts.language,
    trace_id: facts.traceId,
    pending: facts.pending.map(pendingRow),
    decided: facts.decided,
    calls: facts.calls.map((call) => ({
      call_id: call.callId,
      agent: call.agent,
      tool: call.tool,
      ...(!call.executed && { executed: false }),
    })),
    usage: facts.usage.map(usageRow),
  };
  const kept = Object.entries(said).filter(
    ([, value]) => typeof value !== 'object' || Object.keys(value ?? {}).length > 0,
  );
  return JSON.stringify(plainly(Object.fromEntries(kept)));
}

/** A call that waits. A database cannot hold arguments with NUL as text, and not sealed ones. */
function pendingRow(call: PendingCall): Row {
  const inBase64 = isSealed(call.arguments) || call.arguments.includes(0);
  return {
    call_id: call.callId,
    agent: call.agent,
    tool: call.tool,
    ...(call.kind !== 'function' && { kind: call.kind }),
    digest: call.digest,
    ...(inBase64
      ? { data: base64(call.arguments) }
      : { arguments: Buffer.from(call.arguments).toString() }),
  };
}

function usageRow({ request, model, total, ...tokens }: Facts['usage'][number]): Row {
  return {
    request,
    ...(model !== undefined && { model }),
    ...Object.fromEntries(Object.entries(tokens).filter(([, count]) => count !== 0)),
    ...(total !== tokens.input + tokens.output && { total }),
  };
}

/** Items of a session, in clear or sealed. */
export function itemsJson(items: readonly (string | Uint8Array)[]): string {
  return JSON.stringify(
    items.map((item) => (typeof item === 'string' ? { item } : { data: base64(item) })),
  );
}

/** A row of `timestep.list_runs`. */
export function summary(row: Row): RunSummary {
  const held = row.held === true;
  return defined({
    runId: String(row.run_id),
    agent: String(row.agent),
    status: row.status as RunSummary['status'],
    currentTurn: Number(row.current_turn),
    revision: Number(row.revision),
    pending: Number(row.pending),
    createdAt: time(row.created_at),
    updatedAt: time(row.updated_at),
    traceId: text(row.trace_id),
    claimedBy: held ? text(row.claim_owner) : undefined,
    claimedUntil: held ? maybeTime(row.claim_until) : undefined,
  });
}

/** A row of `timestep.list_revisions`. */
export function revision(row: Row): Revision {
  return {
    revision: Number(row.revision),
    status: row.status as Revision['status'],
    currentTurn: Number(row.current_turn),
    savedAt: time(row.saved_at),
    language: String(row.language),
    size: Number(row.size),
    whole: row.whole === true,
  };
}

/** A call of `timestep.list_approvals` or `timestep.read_run`. */
export function approval(row: Row): StoredApproval {
  return defined({
    approval: defined({
      runId: String(row.run_id),
      callId: String(row.call_id),
      agent: String(row.agent),
      tool: String(row.tool),
      kind: String(row.kind),
      argumentsDigest: String(row.arguments_digest),
      revision: Number(row.revision),
      requestedAt: time(row.requested_at),
      decision: text(row.decision) as StoredApproval['approval']['decision'],
      always: row.always === true,
      decidedBy: text(row.decided_by),
      decidedAt: maybeTime(row.decided_at),
      expiresAt: maybeTime(row.expires_at),
      resolved: row.resolved_revision !== null,
    }),
    arguments: bytes(row.arguments),
    message: bytes(row.message),
  });
}

/** A time that PostgreSQL has written in JSON; its microseconds are cut off. */
export function time(value: unknown): Date {
  return new Date(String(value));
}

function maybeTime(value: unknown): Date | undefined {
  return value === null || value === undefined ? undefined : time(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function bytes(value: unknown): Uint8Array | undefined {
  return typeof value === 'string' ? new Uint8Array(Buffer.from(value, 'hex')) : undefined;
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
}

function plainly(value: unknown): unknown {
  if (typeof value === 'string') {
    return plain(value);
  }
  if (Array.isArray(value)) {
    return value.map(plainly);
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [plain(key), plainly(entry)]),
    );
  }
  return value;
}

/** The object without what is undefined. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}
