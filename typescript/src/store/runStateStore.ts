/** The store of one run's states. */
import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Agent, RunState } from '@openai/agents';
import { ApprovalError, CrossingError, StoreError } from '../errors.js';
import type { PortableRunState, StateOptions } from '../state/index.js';
import type {
  Backend,
  Facts,
  Piece,
  Revision,
  RunSummary,
  StoredApproval,
  StoredRun,
} from './base.js';
import { Claim, newOwner } from './claim.js';
import { fromContent, runIdOf, toContent } from './content.js';
import { checkId } from './generations.js';
import { type Location, openBackend, parse } from './location.js';
import type { Known } from './pieces.js';
import { isSealed, type Keyring, type Keys, keyring, openSealed } from './seal.js';
import { refuseRawSnapshot } from './text.js';

/** What a store may be given beside its place. */
export interface StoreOptions {
  /** Keys to seal with; those of the environment, if any, where it is left out. */
  keys?: Keyring | Keys;
}

/** Loaded on first use, so that importing the package stays cheap. */
function codec(): Promise<typeof import('../state/index.js')> {
  return import('../state/index.js');
}

/** The parts that put a document into pieces, loaded on first use. */
function pieces(): Promise<typeof import('./pieces.js')> {
  return import('./pieces.js');
}

/**
 * Keeps the states of one run at `location`, as portable documents both ports read.
 *
 * `location` is a `.json` file for this run alone, a folder, `postgresql://user@host/database` or
 * `pglite:<folder>`; `agent` is the agent the run started with. `runId` is text of 1 to 200
 * characters, and a random one where it is left out; in a file it is the file's name without
 * `.json`. With `keys` (`docs/encryption.md`), or with keys in the environment, what is stored is
 * sealed.
 *
 * Nothing is opened before it is needed. `close`, or `await using`, ends what was opened; a closed
 * store that is used again opens it again.
 */
// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
export class RunStateStore<TContext = undefined, TAgent extends Agent<any, any> = Agent<any, any>>
  implements AsyncDisposable
{
  readonly runId: string;
  readonly #location: Location;
  readonly #agent: TAgent;
  readonly #keys: Keyring | undefined;
  #known: Known | undefined;
  #claim: Claim | undefined;
  #backend: Promise<Backend> | undefined;
  /** The save before, which the next one goes on from. */
  #saving: Promise<unknown> = Promise.resolve();

  /** @throws StoreError `unknown-location`. */
  constructor(
    location: string | Location,
    agent: TAgent,
    runId?: string,
    { keys }: StoreOptions = {},
  ) {
    this.#location = parse(location);
    this.#agent = agent;
    this.#keys = keyring(keys);
    this.runId = ownId(this.#location, runId);
    checkId(this.runId);
  }

  /** The newest revision this store has read or written. */
  get revision(): number | undefined {
    return this.#known?.revision;
  }

  /**
   * Stores `state` as the next revision, durably.
   *
   * @returns The number of the revision.
   * @throws The errors of `dumpRunState`, and StoreError: `stale-state` if what is stored is not
   * what this store has read or written last, `already-claimed` if somebody else holds the run,
   * `claim-lost` if the claim of this store was lost. Nothing is stored then.
   */
  save(state: RunState<TContext, TAgent>): Promise<number> {
    const saved = this.#saving.then(() => this.#save(state));
    this.#saving = saved.catch(() => undefined);
    return saved;
  }

  async #save(state: RunState<TContext, TAgent>): Promise<number> {
    const { dumpRunState } = await codec();
    const { document } = dumpRunState(state);
    const claim = this.#claim;
    if (claim?.lost) {
      throw this.#claimLost(claim);
    }
    const { piece, known } = await this.#encode(document, this.#known);
    const stored = await this.#facts(document, this.#known?.document);
    const backend = await this.#open();
    try {
      await backend.save(this.runId, piece, stored, claim?.owner);
    } catch (error) {
      if (claim !== undefined && error instanceof StoreError && error.code === 'already-claimed') {
        claim.lost = true;
        if (error.owner !== undefined && error.until !== undefined) {
          claim.holder = { owner: error.owner, until: error.until };
        }
        throw this.#claimLost(claim);
      }
      throw error;
    }
    this.#known = known;
    return known.revision;
  }

  /**
   * The official SDK's own `RunState`, ready to approve, reject and resume.
   *
   * @param options - `revision`: the newest where it is left out; decisions of the inbox that have
   * not expired are applied to that. `context`: the run's context where the document does not hold
   * its data.
   * @throws StoreError `state-not-found`, `revision-not-found`, `damaged-history`, `wrong-key`;
   * ApprovalError `approval-mismatch`; DocumentError `malformed` with line and column in a file,
   * `unsafe-integer`, `not-a-run-state`; CrossingError `run-completed`; and the errors of
   * `loadRunState`.
   */
  async load({
    revision,
    ...options
  }: StateOptions & { revision?: number } = {}): Promise<RunState<TContext, TAgent>> {
    const stored = await (await this.#open()).read(this.runId, revision);
    const known = await this.#decode(stored);
    const newest = stored.revision === stored.newest;
    const document: Record<string, unknown> = { ...known.document };
    const { kind } = this.#location;
    const source = kind === 'file' ? this.#location.path : `the run ${this.runId}`;
    refuseRawSnapshot(document, source);
    if (document.status === 'completed') {
      this.#known = newest ? known : this.#known;
      throw new CrossingError(`${source} is over: nothing is left to resume`, 'run-completed', {
        hint: 'continue the conversation in a new run, with its input and items as input',
      });
    }
    const { loadRunState } = await codec();
    const state = await loadRunState<TContext, TAgent>(document, this.#agent, options);
    if (newest) {
      this.#known = known;
      await this.#apply(stored.decisions, state, known.document);
    }
    return state;
  }

  /** Removes the run with all its revisions. Nothing stored is no error. */
  async clear(): Promise<void> {
    await (await this.#open()).clear(this.runId);
    this.#known = undefined;
  }

  /** The runs at the location, the one that changed last first; with `status`, those only. */
  async list({ status }: { status?: RunSummary['status'] } = {}): Promise<RunSummary[]> {
    const runs = await (await this.#open()).runs();
    return runs.filter((run) => status === undefined || run.status === status);
  }

  /** The revisions of the run that are kept, oldest first; in a file, the newest alone. */
  async history(): Promise<Revision[]> {
    return await (await this.#open()).history(this.runId);
  }

  /**
   * A new run that starts with a revision of this one, the newest where it is left out.
   *
   * @param options - `runId`: the id of the new run, random where it is left out; beside a file
   * the new run is the file `<runId>.json`. Decisions of the inbox are not taken along.
   * @throws StoreError `run-exists`, and as `load` does.
   */
  async fork({
    revision,
    runId = randomUUID(),
  }: {
    revision?: number;
    runId?: string;
  } = {}): Promise<RunStateStore<TContext, TAgent>> {
    const stored = await (await this.#open()).read(this.runId, revision);
    const { document } = await this.#decode(stored);
    const location =
      this.#location.kind === 'file' ? sibling(this.#location, runId) : this.#location;
    const options = { keys: this.#keys };
    const fork = new RunStateStore<TContext, TAgent>(location, this.#agent, runId, options);
    try {
      await fork.#start(document);
    } catch (error) {
      await fork.close();
      throw error;
    }
    return fork;
  }

  /**
   * Removes old revisions; the newest always stays.
   *
   * @param options - `keep` spares the newest that many, `olderThan` (milliseconds) spares what is
   * younger; with both, only what neither spares goes.
   * @returns How many were removed.
   * @throws RangeError where neither is given, or `keep` is less than 1.
   */
  async prune({ keep, olderThan }: { keep?: number; olderThan?: number }): Promise<number> {
    if (keep === undefined && olderThan === undefined) {
      throw new RangeError('give keep, olderThan or both');
    }
    if (keep !== undefined && keep < 1) {
      throw new RangeError('the newest revision always stays: keep is 1 or more');
    }
    const backend = await this.#open();
    const history = await backend.history(this.runId);
    const limit = Date.now() - (olderThan ?? Number.NEGATIVE_INFINITY);
    const go = history
      .slice(0, -(keep ?? 1))
      .filter(({ savedAt }) => olderThan === undefined || savedAt.getTime() < limit);
    const oldest = history[go.length];
    if (go.length === 0 || oldest === undefined) {
      return 0;
    }
    const stored = await backend.read(this.runId, oldest.revision);
    const { document } = await this.#decode(stored);
    // Deltas of that size are over, so a whole document it is.
    const before = { revision: oldest.revision - 1, document, whole: 0, since: 2 ** 40 };
    const { piece } = await this.#encode(document, before);
    return await backend.prune(this.runId, piece);
  }

  /**
   * Takes the run: nobody else claims or saves it until the claim is released or ends.
   *
   * @param options - `lease`: in milliseconds, renewed every third of it; `owner`: the name others
   * are told, one of this process where it is left out.
   * @throws StoreError `already-claimed` with the owner and until when, `stale-state` if this store
   * has read another revision than the newest, `state-not-found`.
   */
  async claim({
    lease = 60_000,
    owner = newOwner(),
  }: {
    lease?: number;
    owner?: string;
  } = {}): Promise<Claim> {
    if (!(lease > 0)) {
      throw new RangeError('a lease lasts longer than 0 milliseconds');
    }
    const backend = await this.#open();
    const claimed = await backend.claim(this.runId, owner, lease, this.revision);
    await this.#claim?.stop();
    const claim = new Claim(backend, this.runId, claimed, lease, () => {
      if (this.#claim === claim) {
        this.#claim = undefined;
      }
    });
    this.#claim = claim;
    return claim;
  }

  /** Ends what was opened. A claim that is held is renewed no more. */
  async close(): Promise<void> {
    const [claim, backend] = [this.#claim, this.#backend];
    this.#claim = undefined;
    this.#backend = undefined;
    await claim?.stop();
    await (await backend)?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(): Promise<Backend> {
    this.#backend ??= openBackend(this.#location).catch((error: unknown) => {
      this.#backend = undefined;
      throw error;
    });
    return this.#backend;
  }

  /** Stores a document as the first revision. @throws StoreError `run-exists`. */
  async #start(document: PortableRunState): Promise<void> {
    const { piece, known } = await this.#encode(document, undefined);
    const backend = await this.#open();
    try {
      await backend.save(this.runId, piece, await this.#facts(document, undefined));
    } catch (error) {
      if (
        error instanceof StoreError &&
        (error.code === 'stale-state' || error.code === 'already-claimed')
      ) {
        throw new StoreError(`there is a run ${this.runId}`, 'run-exists');
      }
      throw error;
    }
    this.#known = known;
  }

  async #encode(
    document: PortableRunState,
    known: Known | undefined,
  ): Promise<{ piece: Piece; known: Known }> {
    const { checksum, encode } = await pieces();
    if (this.#location.kind !== 'file') {
      return await encode(this.runId, document, known, this.#keys);
    }
    const revision = (known?.revision ?? 0) + 1;
    const data = await toContent(document, this.#keys);
    const piece = { revision, checksum: checksum(revision, undefined, data), data };
    return { piece, known: { revision, document, whole: 0, since: 0 } };
  }

  async #decode(stored: StoredRun): Promise<Known> {
    const [first] = stored.pieces;
    if (this.#location.kind === 'file' && first !== undefined) {
      const document = await fromContent(first.data, this.#location.path, this.#keys);
      // What it is shows when it is loaded.
      const found = document as unknown as PortableRunState;
      return { revision: stored.revision, document: found, whole: 0, since: 0 };
    }
    const { decode } = await pieces();
    try {
      return await decode(this.runId, stored, this.#keys);
    } catch (error) {
      if (isDamage(error) && error.loadable === undefined) {
        throw damaged(error, await this.#loadable(stored));
      }
      throw error;
    }
  }

  /** The newest revision that can be read before the pieces that are damaged. */
  async #loadable(damagedRun: StoredRun): Promise<number | undefined> {
    const { decode } = await pieces();
    const backend = await this.#open();
    for (let stored = damagedRun; ; ) {
      const revision = stored.pieces[0]?.revision ?? stored.revision;
      try {
        if (revision <= 1) {
          return undefined;
        }
        stored = await backend.read(this.runId, revision - 1);
        return (await decode(this.runId, stored, this.#keys)).revision;
      } catch (error) {
        if (error instanceof StoreError && error.code === 'revision-not-found') {
          return undefined;
        }
        if (!isDamage(error)) {
          throw error;
        }
        if (error.loadable !== undefined) {
          return error.loadable;
        }
      }
    }
  }

  /** The facts of a document, with the arguments as they are stored. */
  async #facts(document: PortableRunState, before: PortableRunState | undefined): Promise<Facts> {
    const { facts } = await import('./facts.js');
    const clear = facts(document, before, await this.#models());
    const keys = this.#keys;
    if (keys === undefined) {
      return clear;
    }
    const pending = clear.pending.map(async (call) => ({
      ...call,
      arguments: await keys.seal(call.arguments, this.#place(call.callId)),
    }));
    return { ...clear, pending: await Promise.all(pending) };
  }

  /** The names of the models of the agents, as far as they have one. */
  async #models(): Promise<Map<string, string>> {
    const { agentTools, reachable } = await import('../state/graph.js');
    const models = new Map<string, string>();
    for (const { name, model } of reachable(this.#agent, agentTools.behind)) {
      const own: unknown =
        typeof model === 'string' ? model : (model as { model?: unknown })?.model;
      if (typeof own === 'string' && own !== '' && !models.has(name)) {
        models.set(name, own);
      }
    }
    return models;
  }

  /** Takes the decisions of the inbox, as the SDK does when they are taken on a state. */
  async #apply(
    decisions: readonly StoredApproval[],
    state: RunState<TContext, TAgent>,
    document: PortableRunState,
  ): Promise<void> {
    if (decisions.length === 0) {
      return;
    }
    const { callIdOf, digestOf } = await import('./facts.js');
    const digests = new Map(
      document.interruptions.map(({ item }) => [callIdOf(item), digestOf(item)]),
    );
    const waiting = new Map(state.getInterruptions().map((item) => [liveId(item.rawItem), item]));
    for (const { approval, message } of decisions) {
      const { callId, always, argumentsDigest, decidedBy } = approval;
      const item = waiting.get(callId);
      if (item === undefined) {
        continue;
      }
      if (digests.get(callId) !== argumentsDigest) {
        throw new ApprovalError(
          `the call ${callId} of ${this.runId} has other arguments than those ${decidedBy} has decided on`,
          'approval-mismatch',
        );
      }
      if (approval.decision === 'approve') {
        state.approve(item, { alwaysApprove: always });
      } else {
        const text = message && (await this.#message(callId, message));
        state.reject(item, {
          alwaysReject: always,
          ...(text !== undefined && { message: text }),
        });
      }
    }
  }

  async #message(callId: string, message: Uint8Array): Promise<string> {
    const text = isSealed(message)
      ? await openSealed(message, this.#place(callId), this.#keys)
      : message;
    return Buffer.from(text).toString();
  }

  #place(callId: string): string {
    return `timestep:approval:${this.runId}:${callId}`;
  }

  #claimLost({ owner, holder }: Claim): StoreError {
    return new StoreError(`the claim of ${owner} on the run ${this.runId} was lost`, 'claim-lost', {
      ...holder,
    });
  }
}

function isDamage(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code === 'damaged-history';
}

/** The same error, with what can be read all the same. */
function damaged(error: StoreError, loadable: number | undefined): StoreError {
  const { message, hint, revision, cause } = error;
  return new StoreError(message, 'damaged-history', { hint, revision, loadable, cause });
}

/** The id of a call in the form of the SDK. */
function liveId(rawItem: object): string | undefined {
  const { callId, id, providerData } = rawItem as {
    callId?: string;
    id?: string;
    providerData?: { id?: string };
  };
  return callId ?? providerData?.id ?? id;
}

/** The id of the run of a store: the one that is given, of the file, or a new one. */
function ownId(location: Location, runId: string | undefined): string {
  if (location.kind !== 'file') {
    return runId ?? randomUUID();
  }
  const own = runIdOf(location.path);
  if (runId !== undefined && runId !== own) {
    throw new StoreError(
      `${location.path} keeps the run ${own}, not ${runId}`,
      'unknown-location',
      { hint: 'Leave the run id out, or give a folder or a database.' },
    );
  }
  return own;
}

/** The file of another run, beside a file. */
function sibling({ path }: { path: string }, runId: string): Location {
  if (runId === '' || basename(runId) !== runId) {
    throw new StoreError(`${JSON.stringify(runId)} is no name of a file`, 'unknown-location');
  }
  return { kind: 'file', path: join(dirname(path), `${runId}.json`) };
}
