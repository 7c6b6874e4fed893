/**
 * The log of a run as values: its lines, which of them count, and the state they say
 * (`docs/storage.md`, "The log of a run"). No files here.
 */
import { randomBytes } from 'node:crypto';

/** A call that waits, as a revision line says it. */
export interface PendingLine {
  call_id: string;
  /** Not there where it is that of the line. */
  agent?: string;
  tool: string;
  /** Not there where it is `function`. */
  kind?: string;
  arguments?: string | { sealed: string };
  /** Not there where it is that of the arguments in clear. */
  digest?: string;
  /** The revision that first asked, and its time; not there where it is this one. */
  since?: number;
  at?: string;
}

/** What every line has, `after` unless it is the first of its log. */
export interface Mark {
  id: string;
  at: string;
  after?: string;
}

/** One save of a run. */
export interface RevisionLine extends Mark {
  revision: number;
  /** Whether the data is a whole document, and not a delta from the revision before. */
  whole?: true;
  /** Bytes of the data line before it, its newline included; 0 where the log keeps no data. */
  size: number;
  check: string;
  /** Name of the temporary file beside a document that is a file of its own. */
  file?: string;
  language: string;
  status: string;
  agent: string;
  turn: number;
  trace_id?: string;
  created: string;
  pending: readonly PendingLine[];
  decided?: readonly DecideLine[];
  settled?: Readonly<Record<string, 'approve' | 'reject'>>;
  owner?: string;
  claim?: ClaimLine;
}

/** A run that is taken until a time. */
export interface ClaimLine extends Mark {
  claim: string;
  until: string;
}

/** A decision about a call that waits. */
export interface DecideLine extends Mark {
  decide: 'approve' | 'reject';
  call_id: string;
  digest: string;
  always: boolean;
  message?: string | { sealed: string };
  by: string;
  expires?: string;
}

/** The end of a log that goes on in another one. */
export interface MovedLine extends Mark {
  moved: number;
  oldest: number;
  size: number;
  check: string;
}

/** Any line; those of releases and of the end by clearing have nothing worth a type. */
export type Line = Mark & Record<string, unknown>;

/** A line and where it is in its file, in bytes; `end` is after its newline. */
export interface Entry {
  line: Line;
  start: number;
  end: number;
}

/** What the lines of a run say. */
export interface RunLog {
  /** The id of the last accepted line. */
  last?: string;
  /** The line of the current revision. */
  current?: RevisionLine;
  /** Decisions about calls that wait, by call id; maybe no longer good. */
  decided: ReadonlyMap<string, DecideLine>;
  /** The claim that was taken last and not given back; maybe no longer held. */
  claim?: ClaimLine;
  /** The line that ended the log. */
  ended?: Line;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What a data line begins with, and no other one. */
const DATA = '#';

/** The state before the first line. */
export const EMPTY: RunLog = { decided: new Map() };

/** The line that keeps these bytes, with its newline; `size` of the line after it is its length. */
export function dataLine(data: Uint8Array): Buffer {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const escaped = bytes.toString('latin1').replaceAll('\x10', '\x10P').replaceAll('\n', '\x10J');
  return Buffer.from(`${DATA}${escaped}\n`, 'latin1');
}

/** The bytes a data line keeps; undefined where it is damaged. */
export function dataIn(line: Uint8Array): Buffer | undefined {
  const text = Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('latin1');
  if (!text.startsWith(DATA) || text.indexOf('\n') !== text.length - 1) {
    return undefined;
  }
  const stored = text.slice(DATA.length, -1).replaceAll('\x10J', '\n').replaceAll('\x10P', '\x10');
  return Buffer.from(stored, 'latin1');
}

/** What is appended: a line and the data before it, after whatever another writer left unfinished. */
export function encode(line: object, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from('\n'), data, Buffer.from(`${JSON.stringify(line)}\n`)]);
}

/** What a new line starts with, upon a state. */
export function mark(state: RunLog, now: Date): Mark {
  const id = randomBytes(8).toString('hex');
  return { id, at: now.toISOString(), ...(state.last !== undefined && { after: state.last }) };
}

/** The line in these bytes; undefined for data, and for what is no line. */
export function parse(bytes: Buffer): Line | undefined {
  if (bytes.length < 2 || bytes[0] === DATA.charCodeAt(0)) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(UTF8.decode(bytes));
    const { id } = value as Line;
    return typeof id === 'string' ? (value as Line) : undefined;
  } catch {
    return undefined;
  }
}

/** The lines of a part of a file that begins at `offset`; data, damage and an open end left out. */
export function entries(bytes: Buffer, offset = 0): Entry[] {
  const found: Entry[] = [];
  let start = 0;
  for (;;) {
    const newline = bytes.indexOf(0x0a, start);
    if (newline === -1) {
      return found;
    }
    const line = parse(bytes.subarray(start, newline));
    if (line !== undefined) {
      found.push({ line, start: offset + start, end: offset + newline + 1 });
    }
    start = newline + 1;
  }
}

/** The state after an accepted line. */
export function apply(state: RunLog, line: Line): RunLog {
  const next: RunLog = { ...state, last: line.id };
  if (typeof line.revision === 'number') {
    const current = line as unknown as RevisionLine;
    return {
      last: line.id,
      current,
      decided: new Map(current.decided?.map((decision) => [decision.call_id, decision])),
      claim: current.claim,
    };
  }
  if (typeof line.claim === 'string') {
    next.claim = line as unknown as ClaimLine;
  } else if (line.release !== undefined) {
    next.claim = undefined;
  } else if (typeof line.decide === 'string') {
    const decision = line as unknown as DecideLine;
    next.decided = new Map([...state.decided, [decision.call_id, decision]]);
  } else if (line.moved !== undefined || line.cleared === true) {
    next.ended = line;
  }
  return next;
}

/** Which lines count, and what they say in the end. */
export interface Folded {
  state: RunLog;
  accepted: Entry[];
}

/**
 * Reads lines on from a state.
 *
 * @param known - The ids of all lines of the file before these; it grows. A line upon one that
 * is not among them was written upon a line that is damaged since, and counts.
 */
export function fold(state: RunLog, lines: Iterable<Entry>, known?: Set<string>): Folded {
  const accepted: Entry[] = [];
  let next = state;
  for (const entry of lines) {
    const { id, after } = entry.line;
    const outlived = known !== undefined && after !== undefined && !known.has(after);
    known?.add(id);
    if (next.ended === undefined && (after === next.last || outlived)) {
      if (outlived) {
        known.add(after);
      }
      next = apply(next, entry.line);
      accepted.push(entry);
    }
  }
  return { state: next, accepted };
}

/** Reads a log from its end, only as far as is needed to know its state. */
export class Tail {
  readonly #lines: Entry[] = [];
  readonly #ids = new Set<string>();
  /** Lines that others were written upon and that have not been met yet. */
  readonly #wanted = new Set<string>();
  #base = false;

  /** Takes the line before those it has; whether that is enough. */
  push(entry: Entry): boolean {
    const { id, after } = entry.line;
    this.#lines.push(entry);
    this.#ids.add(id);
    const named = this.#wanted.delete(id);
    // A line that others were written upon is an accepted one.
    if (named && this.#wanted.size === 0 && typeof entry.line.revision === 'number') {
      this.#base = true;
      return true;
    }
    if (after !== undefined) {
      this.#wanted.add(after);
    }
    return false;
  }

  /** The state; undefined where only all of the lines can tell it. */
  finish(): RunLog | undefined {
    const [first, ...others] = this.#lines.toReversed();
    return this.#base && first !== undefined
      ? fold(apply(EMPTY, first.line), others).state
      : undefined;
  }
}
