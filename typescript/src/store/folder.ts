/** Runs and sessions in a folder: a log for each (`docs/storage.md`). */
import { join } from 'node:path';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { StoreError } from '../errors.js';
import type {
  Backend,
  Claimed,
  Decision,
  Facts,
  Piece,
  Revision,
  RunSummary,
  StoredApproval,
  StoredRun,
} from './base.js';
import { create, folderName, generation, ids, newest, remove, succeed } from './generations.js';
import {
  byAge,
  claimLine,
  type DecisionDetails,
  decideLine,
  decisions,
  everyCall,
  movedLine,
  needRun,
  notFound,
  revisionLine,
  revision as revisionOf,
  stale,
  summary,
  waiting,
} from './lines.js';
import {
  dataLine,
  EMPTY,
  type Entry,
  encode,
  type Line,
  mark,
  type RevisionLine,
  type RunLog,
} from './log.js';
import { type Addition, LogFile } from './logFile.js';
import { Sessions } from './sessions.js';

const compress = promisify(deflate);

/** How many logs are read at once for a list. */
const AT_ONCE = 16;

/** A folder that keeps runs and sessions. Nothing is created before something is saved. */
export class FolderBackend implements Backend {
  readonly #runs: string;
  readonly #sessions: Sessions;

  constructor(path: string) {
    this.#runs = join(path, 'runs');
    this.#sessions = new Sessions(join(path, 'sessions'));
  }

  async save(runId: string, piece: Piece, facts: Facts, owner?: string): Promise<void> {
    const data = await dataOf(piece);
    const addition = (state: RunLog): Addition => ({
      line: revisionLine(runId, state, { piece, facts, owner }, { size: data.length }, new Date()),
      data,
    });
    for (;;) {
      if (await this.#append(runId, addition)) {
        return;
      }
      if (piece.revision !== 1) {
        throw stale(runId, 0);
      }
      const { line } = addition(EMPTY);
      if (await create(this.#folder(runId), encode(line, data))) {
        return;
      }
    }
  }

  async read(runId: string, revision?: number): Promise<StoredRun> {
    await using log = await this.#need(runId);
    const { revision: last } = needRun(runId, log.state);
    const wanted = revision ?? last;
    const isBase = ({ revision: number, base }: Line) =>
      typeof number === 'number' && number <= wanted && base === undefined;
    const accepted = (await log.back(isBase)).filter(({ line }) => line.revision !== undefined);
    if (wanted > last || wanted < Number(accepted[0]?.line.revision)) {
      throw new StoreError(`the run ${runId} has no revision ${wanted}`, 'revision-not-found');
    }
    const until = accepted.filter(({ line }) => Number(line.revision) <= wanted);
    const first = until.findLastIndex(({ line }) => isBase(line));
    const pieces = until.slice(Math.max(first, 0)).map((entry) => pieceOf(log, entry));
    return {
      revision: wanted,
      newest: last,
      pieces: await Promise.all(pieces),
      decisions: decisions(runId, log.state, new Date()),
    };
  }

  async clear(runId: string): Promise<void> {
    await this.#append(runId, (state) => ({ line: { ...mark(state, new Date()), cleared: true } }));
    // Whoever looks for the log meets its end, and removes it.
    const log = await this.#open(runId);
    await log?.[Symbol.asyncDispose]();
  }

  async runs(): Promise<RunSummary[]> {
    const runs = await this.#each((runId, log) => [summary(runId, log.state, new Date())]);
    return runs.sort((left, right) => right.updatedAt.getTime() - left.updatedAt.getTime());
  }

  async history(runId: string): Promise<Revision[]> {
    await using log = await this.#need(runId);
    const { accepted } = await log.all();
    return accepted
      .filter(({ line }) => line.revision !== undefined)
      .map(({ line }) => revisionOf(line as unknown as RevisionLine));
  }

  async prune(runId: string, oldest: Piece): Promise<number> {
    const data = await dataOf(oldest);
    const revisions = await this.history(runId);
    const dropped = revisions.filter(({ revision }) => revision < oldest.revision).length;
    if (dropped === 0) {
      return 0;
    }
    await this.#append(runId, (state, path) => ({
      line: movedLine(state, generation(path) + 1, oldest, data.length, new Date()),
      data,
    }));
    await (await this.#need(runId))[Symbol.asyncDispose]();
    return dropped;
  }

  async claim(runId: string, owner: string, milliseconds: number, seen?: number): Promise<Claimed> {
    let until = '';
    const found = await this.#append(runId, (state) => {
      const line = claimLine(runId, state, { owner, milliseconds, seen }, new Date());
      until = line.until;
      return { line };
    });
    if (!found) {
      throw notFound(runId);
    }
    return { owner, until: new Date(until) };
  }

  async release(runId: string, owner: string): Promise<void> {
    const found = await this.#append(runId, (state) =>
      state.claim?.claim === owner
        ? { line: { ...mark(state, new Date()), release: owner } }
        : undefined,
    );
    if (!found) {
      throw notFound(runId);
    }
  }

  async approvals(
    runId?: string,
    { resolved = false }: { resolved?: boolean } = {},
  ): Promise<StoredApproval[]> {
    const calls = async (id: string, log: LogFile) =>
      resolved ? everyCall(id, await log.all()) : waiting(id, log.state);
    if (runId === undefined) {
      return (await this.#each(calls)).sort(byAge);
    }
    await using log = await this.#need(runId);
    return (await calls(runId, log)).sort(byAge);
  }

  async decide(
    runId: string,
    callId: string,
    decision: Decision,
    details: DecisionDetails,
  ): Promise<void> {
    const found = await this.#append(runId, (state) => ({
      line: decideLine(runId, state, callId, decision, details, new Date()),
    }));
    if (!found) {
      throw notFound(runId);
    }
  }

  addItems(sessionId: string, items: readonly (string | Uint8Array)[]): Promise<void> {
    return this.#sessions.add(sessionId, items);
  }

  readItems(sessionId: string, limit?: number): Promise<(string | Uint8Array)[]> {
    return this.#sessions.read(sessionId, limit);
  }

  popItem(sessionId: string): Promise<string | Uint8Array | undefined> {
    return this.#sessions.pop(sessionId);
  }

  clearItems(sessionId: string): Promise<void> {
    return this.#sessions.clear(sessionId);
  }

  async close(): Promise<void> {}

  #folder(runId: string): string {
    return join(this.#runs, folderName(runId));
  }

  /** The log of a run; finishes what somebody has begun to move or to clear. */
  async #open(runId: string): Promise<LogFile | undefined> {
    const folder = this.#folder(runId);
    for (;;) {
      const path = await newest(folder);
      if (path === undefined) {
        return undefined;
      }
      const log = await LogFile.open(path);
      if (log === undefined) {
        continue; // moved or cleared since
      }
      if (log.state.ended === undefined) {
        return log;
      }
      await using ended = log;
      await finish(ended);
    }
  }

  async #need(runId: string): Promise<LogFile> {
    const log = await this.#open(runId);
    if (log?.state.current === undefined) {
      await log?.[Symbol.asyncDispose]();
      throw notFound(runId);
    }
    return log;
  }

  /** Appends what is right upon the state there is; whether there is a log at all. */
  async #append(
    runId: string,
    addition: (state: RunLog, path: string) => Addition | undefined,
  ): Promise<boolean> {
    for (;;) {
      await using log = await this.#open(runId);
      if (log === undefined) {
        return false;
      }
      do {
        const added = addition(log.state, log.path);
        if (added === undefined || (await log.append(added))) {
          return true;
        }
      } while (log.state.ended === undefined && (await log.current()));
    }
  }

  /** What all runs give. */
  async #each<T>(work: (runId: string, log: LogFile) => T[] | Promise<T[]>): Promise<T[]> {
    const left = await ids(this.#runs);
    const found: T[] = [];
    const next = async () => {
      for (let runId = left.pop(); runId !== undefined; runId = left.pop()) {
        await using log = await this.#open(runId);
        if (log?.state.current !== undefined) {
          found.push(...(await work(runId, log)));
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    return found;
  }
}

async function dataOf({ text, data }: Piece): Promise<string> {
  return dataLine(text === undefined ? data : await compress(text));
}

async function pieceOf(log: LogFile, entry: Entry): Promise<Piece> {
  const { revision, base, check } = entry.line as unknown as RevisionLine;
  return {
    revision,
    ...(base !== undefined && { base }),
    checksum: Buffer.from(check, 'hex'),
    data: (await log.data(entry)) ?? new Uint8Array(),
  };
}

/** Does what the line at the end of a log says. */
async function finish(log: LogFile): Promise<void> {
  const { state, accepted } = await log.all();
  const { ended } = state;
  if (ended?.cleared === true) {
    await remove(log.path);
    return;
  }
  const end = accepted.at(-1);
  const first = accepted.findIndex(({ line }) => line.revision === ended?.oldest);
  const parts: Buffer[] = [];
  let last: string | undefined;
  for (const entry of accepted.slice(first, -1)) {
    const { after: _, ...line } = entry.line;
    const moved: Record<string, unknown> = last === undefined ? line : { ...line, after: last };
    let data = '';
    if (last === undefined && end !== undefined) {
      delete moved.base;
      Object.assign(moved, { size: ended?.size, check: ended?.check });
      data = await log.text(end);
    } else if (line.revision !== undefined) {
      data = await log.text(entry);
    }
    parts.push(encode(moved, data));
    last = entry.line.id;
  }
  if (await log.current()) {
    await succeed(log.path, Buffer.concat(parts));
  }
}
