/** Runs and sessions in a folder: a log for each (`docs/storage.md`). */
import { join } from 'node:path';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { StoreError } from '../errors.js';
import type { Backend, Facts, Piece, StoredRun } from './base.js';
import { create, folderName, generation, ids, newest, remove, succeed } from './generations.js';
import { decisions, movedLine, notFound, revisionLine, stale } from './lines.js';
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
import { type Build, LogBackend } from './logBackend.js';
import { LogFile } from './logFile.js';
import { Sessions } from './sessions.js';

const compress = promisify(deflate);

/** How many logs are read at once for a list. */
const AT_ONCE = 16;

/** A folder that keeps runs and sessions. Nothing is created before something is saved. */
export class FolderBackend extends LogBackend implements Backend {
  readonly #runs: string;
  readonly #sessions: Sessions;

  constructor(path: string) {
    super();
    this.#runs = join(path, 'runs');
    this.#sessions = new Sessions(join(path, 'sessions'));
  }

  async save(runId: string, piece: Piece, facts: Facts, owner?: string): Promise<void> {
    const data = await dataOf(piece);
    const line = (state: RunLog) =>
      revisionLine(runId, state, { piece, facts, owner }, { size: data.length }, new Date());
    for (;;) {
      if ((await this.#append(runId, line, data)) !== 'no log') {
        return;
      }
      if (piece.revision !== 1) {
        throw stale(runId, 0);
      }
      if (await create(this.#folder(runId), encode(line(EMPTY), data))) {
        return;
      }
    }
  }

  async read(runId: string, revision?: number): Promise<StoredRun> {
    await using log = await this.#need(runId);
    const last = log.state.current?.revision ?? 0;
    const wanted = revision ?? last;
    const isWhole = ({ line }: { line: Line }) =>
      Number(line.revision) <= wanted && line.whole === true;
    const accepted = await log.back(isWhole);
    const found = accepted.filter(({ line }) => Number(line.revision) <= wanted);
    if (wanted > last || found.length === 0) {
      throw new StoreError(`the run ${runId} has no revision ${wanted}`, 'revision-not-found');
    }
    const first = Math.max(0, found.findLastIndex(isWhole));
    return {
      revision: wanted,
      newest: last,
      pieces: await piecesOf(log, found.slice(first)),
      decisions: decisions(runId, log.state, new Date()),
    };
  }

  async clear(runId: string): Promise<void> {
    await this.#append(runId, (state) => ({ ...mark(state, new Date()), cleared: true }));
    // Whoever looks for the log meets its end, and removes it.
    const log = await this.#open(runId);
    await log?.[Symbol.asyncDispose]();
  }

  async prune(runId: string, oldest: Piece): Promise<number> {
    const data = await dataOf(oldest);
    for (;;) {
      await using log = await this.#need(runId);
      const revisions = (await log.all()).accepted.map(({ line }) => Number(line.revision));
      const dropped = revisions.filter((revision) => revision < oldest.revision).length;
      if (dropped === 0 || !revisions.includes(oldest.revision)) {
        return 0;
      }
      const next = generation(log.path) + 1;
      const line = movedLine(log.state, next, oldest, data.length, new Date());
      if (await log.append(line, data)) {
        await finish(log);
        return dropped;
      }
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

  protected override async append<T extends (object & { id: string }) | undefined>(
    runId: string,
    build: Build<T>,
  ): Promise<T> {
    const added = await this.#append(runId, (state) => {
      if (state.current === undefined) {
        throw notFound(runId);
      }
      return build(state);
    });
    if (added === 'no log') {
      throw notFound(runId);
    }
    return added;
  }

  protected override async states(): Promise<[string, RunLog][]> {
    const left = await ids(this.#runs);
    const found: [string, RunLog][] = [];
    const next = async () => {
      for (let runId = left.pop(); runId !== undefined; runId = left.pop()) {
        await using log = await this.#open(runId);
        if (log?.state.current !== undefined) {
          found.push([runId, log.state]);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    return found;
  }

  protected override async one(runId: string): Promise<[string, RunLog]> {
    await using log = await this.#need(runId);
    return [runId, log.state];
  }

  protected override async lines(runId: string): Promise<Entry[]> {
    await using log = await this.#need(runId);
    return (await log.all()).accepted;
  }

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

  /** @throws StoreError `state-not-found`. */
  async #need(runId: string): Promise<LogFile> {
    const log = await this.#open(runId);
    if (log?.state.current === undefined) {
      await log?.[Symbol.asyncDispose]();
      throw notFound(runId);
    }
    return log;
  }

  async #append<T extends (object & { id: string }) | undefined>(
    runId: string,
    build: Build<T>,
    data?: Uint8Array,
  ): Promise<T | 'no log'> {
    for (;;) {
      await using log = await this.#open(runId);
      if (log === undefined) {
        return 'no log';
      }
      const line = build(log.state);
      if (line === undefined || (await log.append(line, data))) {
        return line;
      }
    }
  }
}

async function dataOf({ text, data }: Piece): Promise<Buffer> {
  return dataLine(text === undefined ? data : await compress(text));
}

async function piecesOf(log: LogFile, entries: readonly Entry[]): Promise<Piece[]> {
  const data = await log.data(entries);
  return entries.map(({ line }, index) => {
    const { revision, whole, check } = line as unknown as RevisionLine;
    return {
      revision,
      ...(!whole && { base: revision - 1 }),
      checksum: Buffer.from(check, 'hex'),
      data: data[index] ?? new Uint8Array(),
    };
  });
}

/** Does what the line at the end of a log says. */
async function finish(log: LogFile): Promise<void> {
  if (log.state.ended?.cleared === true) {
    await remove(log.path);
    return;
  }
  const { accepted } = await log.all();
  const end = accepted.at(-1);
  const first = accepted.findIndex(({ line }) => line.revision === end?.line.oldest);
  if (end === undefined || first === -1 || !(await log.current())) {
    return; // somebody else has finished it, and the next generation is there
  }
  const parts: Buffer[] = [];
  let last: string | undefined;
  for (const entry of accepted.slice(first, -1)) {
    const { after: _, ...line } = entry.line;
    if (last === undefined) {
      const { size, check } = end.line;
      parts.push(encode({ ...line, whole: true, size, check }, await log.dataLine(end)));
    } else {
      const moved = { ...line, after: last };
      parts.push(
        encode(moved, line.revision === undefined ? undefined : await log.dataLine(entry)),
      );
    }
    last = line.id;
  }
  await succeed(log.path, Buffer.concat(parts));
}
