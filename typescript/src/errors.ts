/**
 * Every error this package raises on purpose.
 *
 *     TimestepError
 *     ├── DocumentError          the document itself
 *     ├── SnapshotError          a native snapshot given to the wrong reader
 *     ├── CrossingError          a run that cannot go on in this language
 *     ├── GraphError             the live agents do not fit the document
 *     ├── LoadError              the official SDK, or the check after it
 *     ├── StoreError             a run or session that cannot be kept, read or held there
 *     ├── ApprovalError          a decision that does not fit the call it is for
 *     ├── ModelError             a model that cannot be asked, or not asked this
 *     │   └── OllamaError        an Ollama server that refused, failed or was not there
 *     └── InterruptionException  a run that waits for a decision
 *
 * The codes are those of `schemas/errors.json`, equal in all ports.
 */
import type { RunResult, RunState, RunToolApprovalItem } from '@openai/agents';

/** Codes of {@link DocumentError}. */
export type DocumentErrorCode =
  | 'malformed'
  | 'not-a-run-state'
  | 'newer-version'
  | 'unsafe-integer';

/** Codes of {@link SnapshotError}. */
export type SnapshotErrorCode = 'foreign-writer' | 'unknown-schema';

/** Codes of {@link CrossingError}. */
export type CrossingErrorCode =
  | 'run-completed'
  | 'step-missing'
  | 'handoff-step'
  | 'response-accepted'
  | 'duplicate-agent'
  | 'pending-session-write'
  | 'terminal-unrecoverable'
  | 'sandbox-state'
  | 'call-in-flight'
  | 'ambiguous-call'
  | 'unknown-call'
  | 'mcp-binding-unknown'
  | 'unsupported-approval'
  | 'unsupported-item'
  | 'context-omitted'
  | 'ambiguous-approval'
  | 'guardrails-unknown';

/** Codes of {@link GraphError}. */
export type GraphErrorCode =
  | 'agent-missing'
  | 'tool-missing'
  | 'handoff-missing'
  | 'ambiguous-agent';

/** Codes of {@link LoadError}. */
export type LoadErrorCode = 'load-failed' | 'self-check-failed';

/** Codes of {@link StoreError}. */
export type StoreErrorCode =
  | 'state-not-found'
  | 'revision-not-found'
  | 'unknown-location'
  | 'stale-state'
  | 'run-exists'
  | 'already-claimed'
  | 'claim-lost'
  | 'damaged-history'
  | 'wrong-key'
  | 'newer-database'
  | 'database-in-use'
  | 'database-unavailable'
  | 'missing-dependency';

/** Codes of {@link ApprovalError}. */
export type ApprovalErrorCode = 'approval-not-found' | 'approval-mismatch' | 'already-decided';

/** Codes of {@link ModelError}, beside those of its subclass. */
export type ModelErrorCode =
  | 'unknown-prefix'
  | 'missing-key'
  | 'missing-model'
  | 'unsupported-input'
  | 'unsupported-setting'
  | 'unsupported-tool'
  | 'tool-conflict';

/** Codes of {@link OllamaError}. */
export type OllamaErrorCode =
  | 'ollama-unreachable'
  | 'ollama-refused'
  | 'ollama-stream-failed'
  | 'ollama-stream-ended'
  | 'ollama-not-run';

/** Every error code of the package. */
export type ErrorCode =
  | DocumentErrorCode
  | SnapshotErrorCode
  | CrossingErrorCode
  | GraphErrorCode
  | LoadErrorCode
  | StoreErrorCode
  | ApprovalErrorCode
  | ModelErrorCode
  | OllamaErrorCode
  | 'interrupted';

/** Where in the work an error was raised. */
export type ErrorPhase =
  | 'document'
  | 'snapshot'
  | 'crossing'
  | 'graph'
  | 'load'
  | 'store'
  | 'approval'
  | 'model'
  | 'run';

const HINTS: Record<ErrorCode, string> = {
  malformed:
    'The text is damaged or was edited by hand; restore it from a copy. `timestep validate` names every place.',
  'not-a-run-state':
    'Give a portable run state, or convert the SDK snapshot first: toPortable, or `timestep convert`.',
  'newer-version': 'Upgrade this package; the document was written by a newer release.',
  'unsafe-integer':
    'JavaScript cannot hold an integer beyond 2^53 - 1. Resume in Python, or keep such numbers as strings.',
  'foreign-writer':
    'Convert it where it was written: save it with the Timestep port of that language, or use `timestep convert`.',
  'unknown-schema':
    'Upgrade this package, or load and save the snapshot with an SDK release that this package knows.',
  'run-completed':
    'Nothing is left to resume. Start a new run with its history as input items to continue the conversation.',
  'step-missing':
    'Resuming would skip calls without a word. Resume in the language that wrote it, or save again at an interruption.',
  'handoff-step': 'Resume in the language that wrote it, and cross at the next interruption.',
  'response-accepted': 'Resume in the language that wrote it, and cross at the next interruption.',
  'duplicate-agent':
    'Give every agent a name of its own and start a new run; the SDKs number agents of one name differently.',
  'pending-session-write':
    'Resume in the language that wrote it, so that the session is brought up to date first.',
  'terminal-unrecoverable':
    'The final output was accepted but not saved. Read it where it was written; it cannot be resumed elsewhere.',
  'sandbox-state': 'The run holds a sandbox of one SDK. Resume it in the language that wrote it.',
  'call-in-flight':
    'The tool may already have acted. Find out whether it did, then resume in the language that wrote it.',
  'ambiguous-call': 'One call id stands for different calls. Start a new run from the history.',
  'unknown-call':
    'The model called a tool that TypeScript has no name for. Resume in TypeScript, or start a new run.',
  'mcp-binding-unknown':
    'The snapshot does not say which MCP server serves a call. Start a new run, or pass assumeNoLocalMcp if no local MCP server is used.',
  'unsupported-approval':
    'This SDK has no such approval. Decide and resume in the language that wrote it.',
  'unsupported-item': 'This SDK has no form for the item. Resume in the language that wrote it.',
  'context-omitted': 'Pass the context: its data is not in the document.',
  'ambiguous-approval':
    'The decision names no owner this SDK knows. Decide the call again in the language that wrote it.',
  'guardrails-unknown':
    'If you know that the input guardrails passed and no local MCP tool is waiting, pass assumeInputGuardrailsCompleted and assumeNoLocalMcp.',
  'agent-missing': 'Add the agent to the graph of the agent you pass: as a handoff or as a tool.',
  'tool-missing': 'Add the tool, by the same name, to the agent that owns the call.',
  'handoff-missing': "Add the handoff to the agent's handoffs; its target is named in the message.",
  'ambiguous-agent': 'Give the agents of the graph different names.',
  'load-failed':
    'Check that the agent passed is the one the run started with; the message is the SDK’s own.',
  'self-check-failed':
    'The SDK dropped part of the run, so nothing was handed out. Please report it with the document.',
  'state-not-found': 'Nothing was saved there yet, or it was cleared. Check the location.',
  'revision-not-found': 'List the revisions with history(); pruned ones are gone.',
  'unknown-location':
    'Give the path of a .json file (one run) or of a folder (many runs), postgresql://... or pglite:<folder>.',
  'stale-state': 'Load the run again, and take the step again from what is stored now.',
  'run-exists': 'Choose another run id, or clear that run first.',
  'already-claimed': 'Wait until the claim ends, or leave the run to its owner.',
  'claim-lost': 'Load the run again before you go on: somebody else may have resumed it.',
  'damaged-history': 'Load the newest revision that can be read (`loadable`) and fork it.',
  'wrong-key': 'Give the key with the id the value was sealed with.',
  'newer-database': 'Upgrade Timestep to a release that knows this version of the database.',
  'database-in-use': 'End the other process, or use a location of its own.',
  'database-unavailable': 'Start the server and check the location, or use a folder.',
  'missing-dependency': 'Install the package that is named, or use a folder, which needs none.',
  'approval-not-found': 'List what waits with `timestep approvals list`.',
  'approval-mismatch': 'Look at the call again: its arguments are not those you decided on.',
  'already-decided': 'The first decision stands; it is applied when the run is loaded.',
  'unknown-prefix':
    'Use a known prefix, or add a provider for this one to the MultiModelProviderMap.',
  'missing-key': 'Set OPENAI_API_KEY, or give the provider a key or a client.',
  'missing-model': 'Name the model, as in openai/gpt-4.1 or ollama/llama3.',
  'unsupported-input':
    'Leave this item out, or give its content in a form the model takes: text, or an image as a data: URL.',
  'unsupported-setting': "Remove the setting, or use one that the model's server knows.",
  'unsupported-tool': 'Use function tools and handoffs; hosted tools run only at OpenAI.',
  'tool-conflict': 'Give every tool and handoff of the agent its own name.',
  'ollama-unreachable': 'Start Ollama, or set OLLAMA_HOST or baseUrl to where it runs.',
  'ollama-refused': "Read the server's message; status tells its kind.",
  'ollama-stream-failed': "Read the server's message, and ask again if it is retryable.",
  'ollama-stream-ended': 'Ask again; the connection was cut before the answer was complete.',
  'ollama-not-run': 'Send at least one message that is not a system message.',
  interrupted: 'Approve or reject the interruptions on `state`, then run again with it.',
};

/** What an error may carry beside its message. */
export interface ErrorDetails {
  /** What a person can do about it; a default for the code when absent. */
  hint?: string;
  /** JSON Pointer into the text that is at fault. */
  pointer?: string;
  /** The error that led to this one. */
  cause?: unknown;
}

/** Base of every error of this package. */
export class TimestepError extends Error {
  /** Stable kebab-case code, the same in all ports. */
  readonly code: ErrorCode;
  /** What a person can do about it. */
  readonly hint: string;
  /** JSON Pointer into the text that is at fault. */
  readonly pointer?: string;
  /** Where in the work it was raised. */
  readonly phase: ErrorPhase;

  constructor(message: string, code: ErrorCode, phase: ErrorPhase, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.phase = phase;
    this.hint = details.hint ?? HINTS[code];
    if (details.pointer !== undefined) {
      this.pointer = details.pointer;
    }
  }
}

/** The document is damaged, of another kind, or beyond what this port can read. */
export class DocumentError extends TimestepError {
  static readonly codes: readonly DocumentErrorCode[] = [
    'malformed',
    'not-a-run-state',
    'newer-version',
    'unsafe-integer',
  ];

  constructor(message: string, code: DocumentErrorCode, details?: ErrorDetails) {
    super(message, code, 'document', details);
  }
}

/** A native snapshot this port cannot read. */
export class SnapshotError extends TimestepError {
  static readonly codes: readonly SnapshotErrorCode[] = ['foreign-writer', 'unknown-schema'];

  constructor(message: string, code: SnapshotErrorCode, details?: ErrorDetails) {
    super(message, code, 'snapshot', details);
  }
}

/** The run cannot go on in this language. */
export class CrossingError extends TimestepError {
  static readonly codes: readonly CrossingErrorCode[] = [
    'run-completed',
    'step-missing',
    'handoff-step',
    'response-accepted',
    'duplicate-agent',
    'pending-session-write',
    'terminal-unrecoverable',
    'sandbox-state',
    'call-in-flight',
    'ambiguous-call',
    'unknown-call',
    'mcp-binding-unknown',
    'unsupported-approval',
    'unsupported-item',
    'context-omitted',
    'ambiguous-approval',
    'guardrails-unknown',
  ];

  constructor(message: string, code: CrossingErrorCode, details?: ErrorDetails) {
    super(message, code, 'crossing', details);
  }
}

/** The live agents do not have what the document names. */
export class GraphError extends TimestepError {
  static readonly codes: readonly GraphErrorCode[] = [
    'agent-missing',
    'tool-missing',
    'handoff-missing',
    'ambiguous-agent',
  ];

  constructor(message: string, code: GraphErrorCode, details?: ErrorDetails) {
    super(message, code, 'graph', details);
  }
}

/** The official SDK refused the snapshot, or restored something else than was written. */
export class LoadError extends TimestepError {
  static readonly codes: readonly LoadErrorCode[] = ['load-failed', 'self-check-failed'];

  constructor(message: string, code: LoadErrorCode, details?: ErrorDetails) {
    super(message, code, 'load', details);
  }
}

/** What a {@link StoreError} may carry beside its message. */
export interface StoreErrorDetails extends ErrorDetails {
  /** The revision that is stored (`stale-state`) or the first damaged one (`damaged-history`). */
  revision?: number;
  /** The newest revision that can still be read (`damaged-history`). */
  loadable?: number;
  /** Who holds the run (`already-claimed`, `claim-lost`). */
  owner?: string;
  /** Until when (`already-claimed`, `claim-lost`). */
  until?: Date;
}

/** A location cannot keep, read or hold a run or a session. */
export class StoreError extends TimestepError {
  static readonly codes: readonly StoreErrorCode[] = [
    'state-not-found',
    'revision-not-found',
    'unknown-location',
    'stale-state',
    'run-exists',
    'already-claimed',
    'claim-lost',
    'damaged-history',
    'wrong-key',
    'newer-database',
    'database-in-use',
    'database-unavailable',
    'missing-dependency',
  ];

  /** The revision that is stored (`stale-state`) or the first damaged one (`damaged-history`). */
  readonly revision?: number;
  /** The newest revision that can still be read (`damaged-history`). */
  readonly loadable?: number;
  /** Who holds the run (`already-claimed`, `claim-lost`). */
  readonly owner?: string;
  /** Until when (`already-claimed`, `claim-lost`). */
  readonly until?: Date;

  constructor(message: string, code: StoreErrorCode, details: StoreErrorDetails = {}) {
    super(message, code, 'store', details);
    const { revision, loadable, owner, until } = details;
    Object.assign(this, definedOf({ revision, loadable, owner, until }));
  }
}

/** A decision for a call that does not wait, has other arguments, or was decided already. */
export class ApprovalError extends TimestepError {
  static readonly codes: readonly ApprovalErrorCode[] = [
    'approval-not-found',
    'approval-mismatch',
    'already-decided',
  ];

  /** Who decided (`already-decided`). */
  readonly decidedBy?: string;
  /** When (`already-decided`). */
  readonly decidedAt?: Date;

  constructor(
    message: string,
    code: ApprovalErrorCode,
    details: ErrorDetails & { decidedBy?: string; decidedAt?: Date } = {},
  ) {
    super(message, code, 'approval', details);
    const { decidedBy, decidedAt } = details;
    Object.assign(this, definedOf({ decidedBy, decidedAt }));
  }
}

function definedOf(details: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined));
}

/** The model of this name does not exist here, or cannot be asked for what the run wants. */
export class ModelError extends TimestepError {
  static readonly codes: readonly (ModelErrorCode | OllamaErrorCode)[] = [
    'unknown-prefix',
    'missing-key',
    'missing-model',
    'unsupported-input',
    'unsupported-setting',
    'unsupported-tool',
    'tool-conflict',
  ];

  constructor(message: string, code: ModelErrorCode | OllamaErrorCode, details?: ErrorDetails) {
    super(message, code, 'model', details);
  }
}

/** What an {@link OllamaError} may carry beside its message. */
export interface OllamaErrorDetails extends ErrorDetails {
  /** The HTTP status, where the failure had one. */
  status?: number;
  /** Whether the same request may succeed later; not, unless it is said. */
  retryable?: boolean;
  /** What the server said: parsed JSON, or text. */
  body?: unknown;
}

/** The Ollama server was not there, refused the request, or did not finish its answer. */
export class OllamaError extends ModelError {
  static override readonly codes: readonly OllamaErrorCode[] = [
    'ollama-unreachable',
    'ollama-refused',
    'ollama-stream-failed',
    'ollama-stream-ended',
    'ollama-not-run',
  ];

  /** The HTTP status, where the failure had one. */
  readonly status?: number;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** What the server said: parsed JSON, or text. */
  readonly body?: unknown;

  constructor(
    message: string,
    code: OllamaErrorCode = 'ollama-refused',
    details: OllamaErrorDetails = {},
  ) {
    super(message, code, details);
    this.status = details.status;
    this.retryable = details.retryable ?? false;
    this.body = details.body;
  }
}

/** What an {@link InterruptionException} holds. */
export interface Interruption {
  interruptions: readonly RunToolApprovalItem[];
  // biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
  state: RunState<any, any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  result: Pick<RunResult<any, any>, 'interruptions' | 'state'>;
}

/** A run stopped at calls that wait for a decision; raised only where the caller asked for it. */
export class InterruptionException extends TimestepError {
  static readonly codes: readonly 'interrupted'[] = ['interrupted'];

  /** The calls that wait. */
  readonly interruptions: Interruption['interruptions'];
  /** The run's state, to decide on and to run again. */
  readonly state: Interruption['state'];
  /** The result that was interrupted. */
  readonly result: Interruption['result'];

  constructor({ interruptions, state, result }: Interruption) {
    const names = interruptions.map((item) => item.name ?? 'unnamed').join(', ');
    super(`The run waits for ${interruptions.length} decision(s): ${names}`, 'interrupted', 'run');
    this.interruptions = interruptions;
    this.state = state;
    this.result = result;
  }
}
