/** Messages of the driver protocol: requests in, replies out, and errors as replies. */
import { ApprovalError, OllamaError, StoreError, TimestepError } from '../errors.js';
import { isRow, type Row } from './json.js';

/** Version of the protocol. */
export const PROTOCOL = 1;

/** Longest message, in bytes, line end included. */
export const MAX_LINE = 16 * 1024 * 1024;

/**
 * Whose error it is: the port raised (`implementation`), the port has no such thing
 * (`unsupported`), this adapter is wrong (`driver`) or the request was (`protocol`).
 */
export type FailureKind = 'implementation' | 'unsupported' | 'driver' | 'protocol';

/** A reply that is an error. */
export class Failure extends Error {
  constructor(
    readonly kind: FailureKind,
    readonly code: string,
    message: string,
    /** Further members of the reply's `err`. */
    readonly details: Row = {},
  ) {
    super(message);
  }

  body(): Row {
    return { kind: this.kind, code: this.code, message: this.message, ...this.details };
  }
}

/** One request; `id` is echoed and means nothing here. */
export interface Request {
  readonly id: unknown;
  readonly op: string;
  readonly args: Row;
}

/** @throws Failure of kind `protocol` where the line is no request. */
export function parseRequest(line: Buffer): Request {
  if (line.length > MAX_LINE) {
    throw new Failure('protocol', 'message-too-long', `a message has at most ${MAX_LINE} bytes`);
  }
  let message: unknown;
  try {
    message = JSON.parse(line.toString('utf8'));
  } catch (error) {
    throw new Failure('protocol', 'not-json', `the line is no JSON: ${describe(error)}`);
  }
  if (!isRow(message) || typeof message.op !== 'string') {
    throw new Failure('protocol', 'bad-request', 'a request is an object with id, op and args');
  }
  const args = message.args ?? {};
  if (!isRow(args)) {
    throw new Failure('protocol', 'bad-request', 'args is an object');
  }
  return { id: message.id ?? null, op: message.op, args };
}

/** @throws Failure of kind `driver` where the reply is too long. */
export function okLine(id: unknown, ok: Row): string {
  const line = `${JSON.stringify({ id, ok })}\n`;
  const length = Buffer.byteLength(line);
  if (length > MAX_LINE) {
    throw new Failure('driver', 'message-too-long', `the reply has ${length} bytes`);
  }
  return line;
}

/** The line of an error reply. */
export function errorLine(id: unknown, failure: Failure): string {
  return `${JSON.stringify({ id, err: failure.body() })}\n`;
}

/** The class of an error, as a name. */
export function typeName(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}

function describe(error: unknown): string {
  return error instanceof Error && error.message ? error.message : String(error);
}

/**
 * The stable code of an error of the port; for any other one its class, in the same form.
 *
 * `MaxTurnsExceeded` of one SDK and `MaxTurnsExceededError` of the other are both
 * `max-turns-exceeded`.
 */
export function errorCode(error: unknown): string {
  if (error instanceof TimestepError) {
    return error.code;
  }
  const name = typeName(error);
  const stem = name.replace(/Error$/, '') || name;
  return stem.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();
}

/** Whether an error is one a caller is meant to see; anything else deserves a stack trace. */
export function isExpected(error: unknown): boolean {
  return error instanceof Failure || error instanceof TimestepError;
}

/** Whatever a port raised, as an error reply. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) {
    return error;
  }
  const { hint, pointer } = isRow(error) ? error : {};
  return new Failure('implementation', errorCode(error), describe(error), {
    ...(typeof hint === 'string' && { hint }),
    ...(typeof pointer === 'string' && { pointer }),
    ...(error instanceof OllamaError && {
      status: error.status ?? null,
      retryable: error.retryable,
    }),
    ...(error instanceof StoreError && {
      revision: error.revision ?? null,
      loadable: error.loadable ?? null,
      owner: error.owner ?? null,
      until: error.until ?? null,
    }),
    ...(error instanceof ApprovalError && { decided_by: error.decidedBy ?? null }),
  });
}

/** An argument that has to be a string. */
export function requiredText(args: Row, name: string): string {
  const value = args[name];
  if (typeof value !== 'string') {
    throw new Failure('protocol', 'bad-request', `the argument ${name} is missing or wrong`);
  }
  return value;
}
