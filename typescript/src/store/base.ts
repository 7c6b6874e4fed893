/** What a place that keeps runs and sessions can do, whatever kind of place it is. */

/** What may be decided about a call that waits. */
export type Decision = 'approve' | 'reject';

/** A run as a list shows it. */
export interface RunSummary {
  runId: string;
  /** The agent the run stands at. */
  agent: string;
  status: 'interrupted' | 'run_again' | 'not_started' | 'completed';
  currentTurn: number;
  revision: number;
  /** How many calls wait for a decision that nobody has taken. */
  pending: number;
  createdAt: Date;
  updatedAt: Date;
  traceId?: string;
  claimedBy?: string;
  claimedUntil?: Date;
}

/** One save of a run. */
export interface Revision {
  revision: number;
  status: RunSummary['status'];
  currentTurn: number;
  savedAt: Date;
  /** The language of the port that saved it. */
  language: string;
  /** What it takes where it is stored, in bytes. */
  size: number;
  /** Whether it is a whole document; else it is the difference to the revision before. */
  whole: boolean;
}

/** A call of a run that waits, or waited, for a decision. */
export interface Approval {
  runId: string;
  callId: string;
  agent: string;
  tool: string;
  /** `function`, `native`, `mcp` or `mcp_request`, as in the decisions of a run state. */
  kind: string;
  /** What the model wrote; absent where it is sealed and there is no key. */
  arguments?: string;
  /** Lower-case hexadecimal sha256 of the arguments; a decision binds to it. */
  argumentsDigest: string;
  /** The revision that first asked. */
  revision: number;
  requestedAt: Date;
  decision?: Decision;
  always: boolean;
  message?: string;
  decidedBy?: string;
  decidedAt?: Date;
  /** When the decision stops counting; absent for never. */
  expiresAt?: Date;
  /** Whether the run has gone on past this call. */
  resolved: boolean;
}

/** What one save wrote: a whole document or a delta (`docs/storage.md`). */
export interface Piece {
  revision: number;
  /** The revision a delta starts from; absent for a whole document. */
  base?: number;
  checksum: Uint8Array;
  /** Compressed, sealed where there is a key. Empty where `text` is given. */
  data: Uint8Array;
  /** A whole document in clear as JSON; a database keeps it as text. */
  text?: string;
}

/** A call that waits, as a save says it. */
export interface PendingCall {
  callId: string;
  agent: string;
  tool: string;
  kind: string;
  /** UTF-8, maybe sealed. */
  arguments: Uint8Array;
  digest: string;
}

/** What a save says in clear about the document it stores. */
export interface Facts {
  agent: string;
  status: RunSummary['status'];
  turn: number;
  language: string;
  traceId?: string;
  pending: readonly PendingCall[];
  /** Decisions in the document about calls that waited in the revision before, by call id. */
  decided: Readonly<Record<string, Decision>>;
  /** Calls answered since the revision before. */
  calls: readonly { callId: string; agent: string; tool: string; executed: boolean }[];
  /** Requests to a model since then, numbered from 0, in tokens. */
  usage: readonly {
    request: number;
    model?: string;
    input: number;
    output: number;
    total: number;
    cached: number;
    reasoning: number;
  }[];
}

/** Who holds a run, and until when. */
export interface Claimed {
  owner: string;
  until: Date;
}

/** What reading a run gives: the pieces of a revision, and what was decided about it since. */
export interface StoredRun {
  /** The revision that was read. */
  revision: number;
  newest: number;
  /**
   * The newest whole piece at or before the revision, and the deltas after it, in order. Pieces
   * that are missing are missing here too.
   */
  pieces: readonly Piece[];
  /** Decisions on the calls that wait in the newest revision, expired ones left out. */
  decisions: readonly StoredApproval[];
}

/** An approval with its arguments and message as they are stored, maybe sealed. */
export interface StoredApproval {
  /** Without `arguments` and `message`: whoever has the keys fills them in. */
  approval: Approval;
  arguments?: Uint8Array;
  message?: Uint8Array;
}

/**
 * A place that keeps runs and sessions: a file, a folder or a database.
 *
 * It knows pieces and facts, never documents, keys or an SDK. Every method that finds nothing
 * under a run id rejects with `StoreError` (`state-not-found`), `clear` and `readItems` excepted.
 */
export interface Backend {
  /**
   * Adds a revision, if it is one more than the newest and nobody else holds the run.
   *
   * @throws StoreError `stale-state`, `already-claimed`; nothing is stored then.
   */
  save(runId: string, piece: Piece, facts: Facts, owner?: string): Promise<void>;
  /** The newest revision, or the one asked for (`revision-not-found`), in one query. */
  read(runId: string, revision?: number): Promise<StoredRun>;
  /** Removes a run and all its revisions. None there is no error. */
  clear(runId: string): Promise<void>;
  /** Every run, the one that changed last first. */
  runs(): Promise<RunSummary[]>;
  /** The revisions of a run, oldest first. */
  history(runId: string): Promise<Revision[]>;
  /**
   * Removes the revisions before that of `oldest`, which is whole and takes its place. How many
   * were removed.
   */
  prune(runId: string, oldest: Piece): Promise<number>;
  /**
   * Takes the run for `owner` for so many milliseconds, or renews what it holds.
   *
   * @throws StoreError `already-claimed`; `stale-state` if `seen` is not the newest revision.
   */
  claim(runId: string, owner: string, milliseconds: number, seen?: number): Promise<Claimed>;
  /** Gives the run back, if `owner` still holds it. */
  release(runId: string, owner: string): Promise<void>;
  /** Calls that wait, oldest first; with `resolved`, calls the run has gone past too. */
  approvals(runId?: string, options?: { resolved?: boolean }): Promise<StoredApproval[]>;
  /**
   * Records a decision. Without `digest` it is for the arguments that are stored.
   *
   * @throws ApprovalError `approval-not-found`, `approval-mismatch`, `already-decided`.
   */
  decide(
    runId: string,
    callId: string,
    decision: Decision,
    details: { digest?: string; always: boolean; message?: Uint8Array; by: string; expires?: Date },
  ): Promise<void>;
  /** Appends to a session, all or nothing: JSON text, or sealed bytes. */
  addItems(sessionId: string, items: readonly (string | Uint8Array)[]): Promise<void>;
  /** The newest `limit` items, or all, oldest first. */
  readItems(sessionId: string, limit?: number): Promise<(string | Uint8Array)[]>;
  /** Takes the newest item out. No two callers get the same one. */
  popItem(sessionId: string): Promise<string | Uint8Array | undefined>;
  /** Removes a session. */
  clearItems(sessionId: string): Promise<void>;
  /** Ends what was opened for it. */
  close(): Promise<void>;
}
