/** What backends that keep a log for each run have in common. */
import type { Claimed, Decision, Revision, RunSummary, StoredApproval } from './base.js';
import {
  byAge,
  claimLine,
  type DecisionDetails,
  decideLine,
  everyCall,
  revision as revisionOf,
  summary,
  waiting,
} from './lines.js';
import { type Entry, mark, type RevisionLine, type RunLog } from './log.js';

/** A line that is right upon a state; undefined for nothing to do. It throws what is due. */
export type Build<T> = (state: RunLog) => T;

/** Claims, decisions and lists, for runs that have a log. */
export abstract class LogBackend {
  async runs(): Promise<RunSummary[]> {
    const now = new Date();
    const runs = (await this.states()).map(([runId, state]) => summary(runId, state, now));
    return runs.sort((left, right) => right.updatedAt.getTime() - left.updatedAt.getTime());
  }

  async history(runId: string): Promise<Revision[]> {
    return (await this.lines(runId))
      .filter(({ line }) => line.revision !== undefined)
      .map(({ line }) => revisionOf(line as unknown as RevisionLine));
  }

  async claim(runId: string, owner: string, milliseconds: number, seen?: number): Promise<Claimed> {
    const { until } = await this.append(runId, (state) =>
      claimLine(runId, state, { owner, milliseconds, seen }, new Date()),
    );
    return { owner, until: new Date(until) };
  }

  async release(runId: string, owner: string): Promise<void> {
    await this.append(runId, (state) =>
      state.claim?.claim === owner ? { ...mark(state, new Date()), release: owner } : undefined,
    );
  }

  async approvals(
    runId?: string,
    { resolved = false }: { resolved?: boolean } = {},
  ): Promise<StoredApproval[]> {
    const states = runId === undefined ? await this.states() : [await this.one(runId)];
    const found: StoredApproval[] = [];
    for (const [id, state] of states) {
      found.push(...(resolved ? everyCall(id, await this.lines(id)) : waiting(id, state)));
    }
    return found.sort(byAge);
  }

  async decide(
    runId: string,
    callId: string,
    decision: Decision,
    details: DecisionDetails,
  ): Promise<void> {
    await this.append(runId, (state) =>
      decideLine(runId, state, callId, decision, details, new Date()),
    );
  }

  async close(): Promise<void> {} // nothing stays open

  /**
   * Appends what is right upon the state there is; what was accepted.
   *
   * @throws StoreError `state-not-found`, and what `build` throws.
   */
  protected abstract append<T extends (object & { id: string }) | undefined>(
    runId: string,
    build: Build<T>,
  ): Promise<T>;

  /** Every run with its state. */
  protected abstract states(): Promise<[runId: string, state: RunLog][]>;

  /** A run with its state. @throws StoreError `state-not-found`. */
  protected abstract one(runId: string): Promise<[runId: string, state: RunLog]>;

  /** The accepted lines of a run, oldest first. @throws StoreError `state-not-found`. */
  protected abstract lines(runId: string): Promise<Pick<Entry, 'line'>[]>;
}
