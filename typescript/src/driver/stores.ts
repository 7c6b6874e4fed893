/** The operations on stored runs and on the approvals inbox: the port's public API, nothing else. */
import { Approvals } from '../approvals.js';
import { RunStateStore } from '../store/index.js';
import type { Case } from './case.js';
import { isRow, type Row, row, rows, text } from './json.js';
import { type AnyState, interruptions, position } from './outcome.js';
import { Failure, requiredText } from './protocol.js';
import type { AnyAgent } from './stubs.js';

type Store = RunStateStore<unknown, AnyAgent>;

/** The keys of a store or a session by id, the one that seals first. */
export function keysOf(args: Row): ReadonlyMap<string, Uint8Array> | undefined {
  if (args.keys === undefined) {
    return undefined;
  }
  const pairs = rows(args.keys).map(
    (each) => [requiredText(each, 'id'), Buffer.from(requiredText(each, 'key'), 'base64')] as const,
  );
  return new Map(pairs);
}

/** The stores of a case, one for each run it has named, and its inbox. */
export class Stores {
  readonly #location: string;
  readonly #runId: string | undefined;
  readonly #options: { keys?: ReadonlyMap<string, Uint8Array> };
  readonly #agent: AnyAgent;
  readonly #stores = new Map<string | undefined, Store>();
  #approvals: Approvals | undefined;
  /** What is claimed, by its store. */
  readonly claims = new Map<Store, { release(): Promise<void> }>();

  constructor(given: Row, agent: AnyAgent) {
    const keys = keysOf(given);
    this.#location = requiredText(given, 'location');
    this.#runId = text(given.run_id);
    this.#options = keys === undefined ? {} : { keys };
    this.#agent = agent;
  }

  /** The store of the run that is named, or of the case's. */
  store(args: Row): Store {
    const runId = text(args.run_id) ?? this.#runId;
    const known = this.#stores.get(runId);
    return (
      known ??
      this.keep(runId, new RunStateStore(this.#location, this.#agent, runId, this.#options))
    );
  }

  /** From now on `store` is that of the run; it is closed with the case. */
  keep(runId: string | undefined, store: Store): Store {
    this.#stores.set(runId, store);
    return store;
  }

  /** The inbox of the location. */
  get approvals(): Approvals {
    this.#approvals ??= new Approvals(this.#location, this.#options);
    return this.#approvals;
  }

  async close(): Promise<void> {
    for (const store of this.#stores.values()) {
      await store.close();
    }
    await this.#approvals?.close();
  }
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function milliseconds(value: unknown): number | undefined {
  return typeof value === 'number' ? value * 1000 : undefined;
}

/** A value of the port as the protocol's JSON, without what there is none of. */
function told(value: object): Row {
  const pairs = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .map(([key, each]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), each]);
  return Object.fromEntries(pairs);
}

async function load(open: Case, store: Store, args: Row): Promise<Row> {
  const revision = number(args.revision);
  const state: AnyState = await store.load({
    ...(revision !== undefined && { revision }),
    ...(isRow(args.context) && { context: args.context }),
  });
  open.state = state;
  return {
    interruptions: interruptions(state),
    current_agent: row(position(state).currentAgent)?.name,
    revision: revision ?? store.revision,
  };
}

async function prune(store: Store, args: Row): Promise<Row> {
  const keep = number(args.keep);
  const olderThan = milliseconds(args.older_than);
  const removed = await store.prune({
    ...(keep !== undefined && { keep }),
    ...(olderThan !== undefined && { olderThan }),
  });
  return { removed };
}

async function claim(open: Case, store: Store, args: Row): Promise<Row> {
  const lease = milliseconds(args.lease);
  const owner = text(args.owner);
  const claimed = await store.claim({
    ...(lease !== undefined && { lease }),
    ...(owner !== undefined && { owner }),
  });
  open.stored.claims.set(store, claimed);
  return { owner: claimed.owner, until: claimed.until };
}

/** One of the operations `store.*`. */
export async function stored(open: Case, op: string, args: Row): Promise<Row> {
  const store = open.stored.store(args);
  switch (op) {
    case 'store.save':
      return { revision: await store.save(open.paused()) };
    case 'store.load':
      return load(open, store, args);
    case 'store.list': {
      const status = text(args.status);
      const runs = await store.list(
        status === undefined ? {} : { status: status as 'interrupted' },
      );
      return { runs: runs.map(told) };
    }
    case 'store.history':
      return { revisions: (await store.history()).map(told) };
    case 'store.fork': {
      const revision = number(args.revision);
      const to = text(args.to);
      const forked = await store.fork({
        ...(revision !== undefined && { revision }),
        ...(to !== undefined && { runId: to }),
      });
      open.stored.keep(forked.runId, forked);
      return { run_id: forked.runId, revision: forked.revision };
    }
    case 'store.prune':
      return prune(store, args);
    case 'store.clear':
      await store.clear();
      return {};
    case 'store.claim':
      return claim(open, store, args);
    case 'store.release':
      await open.stored.claims.get(store)?.release();
      return {};
    default:
      throw new Failure('protocol', 'unknown-op', `there is no operation ${op}`);
  }
}

/** `approvals.list`: calls that wait. */
export async function listApprovals(open: Case, args: Row): Promise<Row> {
  const found = await open.stored.approvals.list(text(args.run_id), {
    resolved: args.resolved === true,
  });
  return { approvals: found.map(told) };
}

/** `approvals.decide`: a decision without the run. */
export async function decide(open: Case, args: Row): Promise<Row> {
  const inbox = open.stored.approvals;
  const runId = text(args.run_id) ?? open.stored.store({}).runId;
  const callId = requiredText(args, 'call_id');
  const expires = milliseconds(args.expires);
  const [digest, message, by] = [text(args.digest), text(args.message), text(args.by)];
  const details = {
    ...(digest !== undefined && { digest }),
    ...(args.always === true && { always: true }),
    ...(message !== undefined && { message }),
    ...(by !== undefined && { by }),
    ...(expires !== undefined && { expires: new Date(Date.now() + expires) }),
  };
  if (requiredText(args, 'decision') === 'approve') {
    await inbox.approve(runId, callId, details);
  } else {
    await inbox.reject(runId, callId, details);
  }
  return {};
}
