/** The inbox: calls of stored runs that wait for a decision, decided without loading their run. */
import { ApprovalError, StoreError } from './errors.js';
import type { Approval, Backend, Decision, StoredApproval } from './store/base.js';
import { defaultLocation, openBackend } from './store/location.js';
import { isSealed, type Keyring, type Keys, keyring } from './store/seal.js';

const DIGEST = /^[0-9a-f]{8,64}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** How a decision is taken. */
export interface DecisionOptions {
  /**
   * The digest of the arguments it is for, or its first 8 digits or more; left out, it is for the
   * arguments that are stored now.
   */
  digest?: string;
  /** Whether it covers every later call of the tool too. */
  always?: boolean;
  /** What the model is told of a rejection; beside an approval it is only kept. */
  message?: string;
  /** Who decides; left out, `TIMESTEP_USER` or the login name. */
  by?: string;
  /** When it stops counting: a time, or milliseconds from now. */
  expires?: Date | number;
}

/**
 * The calls that wait at a location: listed, shown, approved and rejected.
 *
 * Neither the SDK nor a run state is loaded. A decision is for one call of one run with the
 * arguments it has. It is applied when the run is loaded, in either language, if it has not
 * expired by then.
 */
export class Approvals {
  readonly location: string;
  readonly #keys: Keyring | undefined;
  #opened: Backend | undefined;

  /**
   * @param location - As for `RunStateStore`; left out, `TIMESTEP_LOCATION` or the folder
   * `.timestep`.
   * @param options - With `keys` (left out, those of `TIMESTEP_ENCRYPTION_KEYS`) sealed arguments
   * and messages are opened, and a message is sealed before it is stored. What no key opens is
   * left out.
   */
  constructor(location?: string, options: { keys?: Keyring | Keys } = {}) {
    this.location = location ?? defaultLocation();
    this.#keys = keyring(options.keys);
  }

  /**
   * The calls that wait, oldest first, those that are decided and not yet applied included; with
   * `resolved`, the calls their run has gone past too.
   *
   * @throws ApprovalError `approval-not-found` where there is no run `runId`.
   */
  async list(runId?: string, { resolved = false } = {}): Promise<Approval[]> {
    const stored =
      runId === undefined
        ? await (await this.#backend()).approvals(undefined, { resolved })
        : await this.#stored(runId, resolved);
    const filled: Approval[] = [];
    for (const each of stored) {
      filled.push(await this.#filled(each));
    }
    return filled;
  }

  /**
   * A call of a run, resolved ones included; left out, the one that waits.
   *
   * @throws ApprovalError `approval-not-found`: no such run or call, or not exactly one call that
   * waits where `callId` is left out.
   */
  async get(runId: string, callId?: string): Promise<Approval> {
    const stored = await this.#stored(runId, false);
    if (callId === undefined) {
      return this.#filled(onlyOne(runId, stored));
    }
    const found = withId(stored, callId) ?? withId(await this.#stored(runId, true), callId);
    if (found === undefined) {
      throw new ApprovalError(`run ${runId} has no call ${callId}`, 'approval-not-found');
    }
    return this.#filled(found);
  }

  /**
   * Lets the call run. How it stands afterwards.
   *
   * @throws ApprovalError `approval-not-found`, `approval-mismatch`, `already-decided`; RangeError
   * for a digest that is none, a name with control characters, and a time that has passed.
   */
  approve(runId: string, callId?: string, options: DecisionOptions = {}): Promise<Approval> {
    return this.#decide('approve', runId, callId, options);
  }

  /** Keeps the call from running; the model is told the message. The rest as in `approve`. */
  reject(runId: string, callId?: string, options: DecisionOptions = {}): Promise<Approval> {
    return this.#decide('reject', runId, callId, options);
  }

  /** Ends what was opened. Used again, it opens again. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #decide(
    decision: Decision,
    runId: string,
    callId: string | undefined,
    options: DecisionOptions,
  ): Promise<Approval> {
    const digest = options.digest?.toLowerCase();
    if (digest !== undefined && !DIGEST.test(digest)) {
      throw new RangeError('a digest is 8 to 64 hexadecimal digits');
    }
    const by = wellFormed(options.by ?? (await decider()));
    if (by === '' || CONTROL.test(by)) {
      throw new RangeError('who decides is named by a text without control characters');
    }
    const expires = options.expires === undefined ? undefined : expiry(options.expires);
    const found = await this.get(runId, callId);
    check(found, digest);
    const place = `timestep:approval:${runId}:${found.callId}`;
    let message: Uint8Array | undefined;
    if (options.message !== undefined) {
      message = new TextEncoder().encode(options.message);
      message = (await this.#keys?.seal(message, place)) ?? message;
    }
    const backend = await this.#backend();
    try {
      await backend.decide(runId, found.callId, decision, {
        digest: found.argumentsDigest,
        always: options.always ?? false,
        message,
        by,
        expires,
      });
    } catch (error) {
      if (error instanceof ApprovalError) {
        // It is not what it was when it was read; what it is now says best what is wrong.
        check(await this.get(runId, found.callId), digest ?? found.argumentsDigest);
      }
      throw error;
    }
    return this.get(runId, found.callId);
  }

  async #stored(runId: string, resolved: boolean): Promise<StoredApproval[]> {
    try {
      return await (await this.#backend()).approvals(runId, { resolved });
    } catch (error) {
      if (error instanceof StoreError && error.code === 'state-not-found') {
        throw new ApprovalError(`there is no run ${runId}`, 'approval-not-found');
      }
      throw error;
    }
  }

  async #filled(stored: StoredApproval): Promise<Approval> {
    const { runId, callId } = stored.approval;
    const place = `timestep:approval:${runId}:${callId}`;
    const [text, message] = [
      await this.#text(stored.arguments, place),
      await this.#text(stored.message, place),
    ];
    return {
      ...stored.approval,
      ...(text === undefined ? {} : { arguments: text }),
      ...(message === undefined ? {} : { message }),
    };
  }

  async #text(data: Uint8Array | undefined, place: string): Promise<string | undefined> {
    if (data === undefined) {
      return undefined;
    }
    let opened = data;
    if (isSealed(data)) {
      if (this.#keys === undefined) {
        return undefined;
      }
      try {
        opened = await this.#keys.open(data, place);
      } catch (error) {
        if (error instanceof StoreError && error.code === 'wrong-key') {
          return undefined; // one run sealed with another key hides no other run
        }
        throw error;
      }
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(opened);
  }

  async #backend(): Promise<Backend> {
    if (this.#opened === undefined) {
      const opened = await openBackend(this.location);
      if (this.#opened === undefined) {
        this.#opened = opened;
      } else {
        await opened.close(); // another call was faster
      }
    }
    return this.#opened;
  }
}

/** Whether somebody has to decide: nobody has, or the decision has expired unused. */
export function waits(approval: Approval): boolean {
  return !approval.resolved && !isDecided(approval);
}

/** Who decides where nobody is named: `TIMESTEP_USER`, else the login name. */
export async function decider(): Promise<string> {
  const named = process.env.TIMESTEP_USER;
  if (named !== undefined && named !== '') {
    return named;
  }
  const { userInfo } = await import('node:os');
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`; // a container that runs as a user without a name
  }
}

function isDecided({ decision, expiresAt }: Approval): boolean {
  return decision !== undefined && (expiresAt === undefined || expiresAt.getTime() > Date.now());
}

function withId(stored: readonly StoredApproval[], callId: string): StoredApproval | undefined {
  return stored.find(({ approval }) => approval.callId === callId);
}

function onlyOne(runId: string, stored: readonly StoredApproval[]): StoredApproval {
  const waiting = stored.filter(({ approval }) => waits(approval));
  const [first] = waiting;
  if (first === undefined) {
    throw new ApprovalError(`no call of run ${runId} waits for a decision`, 'approval-not-found');
  }
  if (waiting.length > 1) {
    const names = waiting.map(({ approval }) => approval.callId).join(', ');
    throw new ApprovalError(
      `${waiting.length} calls of run ${runId} wait: ${names}`,
      'approval-not-found',
      { hint: 'Name the call.' },
    );
  }
  return first;
}

/** @throws ApprovalError where the call cannot be decided, or has not these arguments. */
function check(found: Approval, digest: string | undefined): void {
  const call = `call ${found.callId} of run ${found.runId}`;
  if (found.resolved) {
    throw new ApprovalError(`${call} was resolved: its run has gone on`, 'approval-not-found');
  }
  if (digest !== undefined && !found.argumentsDigest.startsWith(digest)) {
    throw new ApprovalError(
      `the arguments of ${call} have the digest ${found.argumentsDigest}, not ${digest}`,
      'approval-mismatch',
    );
  }
  if (isDecided(found)) {
    const { decision, decidedBy, decidedAt } = found;
    const verb = decision === 'approve' ? 'approved' : 'rejected';
    const by = decidedBy === undefined ? '' : ` by ${decidedBy}`;
    const at = decidedAt === undefined ? '' : ` at ${decidedAt.toISOString()}`;
    throw new ApprovalError(`${call} was ${verb}${by}${at}`, 'already-decided', {
      decidedBy,
      decidedAt,
    });
  }
}

function expiry(expires: Date | number): Date {
  const until = typeof expires === 'number' ? new Date(Date.now() + expires) : expires;
  if (!(until.getTime() > Date.now())) {
    throw new RangeError('the time at which a decision expires has passed');
  }
  return until;
}

/** The text with U+FFFD for lone surrogates, which UTF-8 cannot carry. */
function wellFormed(text: string): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(text));
}
