/** One run in one file, with its log beside it (`docs/storage.md`, "A file"). */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
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
import { createFolders, isMissing, realPath, syncFolder, temporaryName, write } from './disk.js';
import {
  claimLine,
  type DecisionDetails,
  decideLine,
  decisions,
  everyCall,
  notFound,
  revisionLine,
  revision as revisionOf,
  summary,
  waiting,
} from './lines.js';
import { EMPTY, mark, type RevisionLine, type RunLog } from './log.js';
import { LogFile } from './logFile.js';

/** What the file holds, and what the log says of it. */
interface Content {
  bytes: Buffer;
  /** With the revision of what is in the file, whoever put it there. */
  state: RunLog;
}

/** A file that keeps one run: its newest revision, as JSON that people and other tools can read. */
export class FileBackend implements Backend {
  readonly runId: string;
  readonly #given: string;

  constructor(path: string) {
    this.#given = path;
    this.runId = fileRunId(path);
  }

  async save(runId: string, piece: Piece, facts: Facts, owner?: string): Promise<void> {
    this.#check(runId);
    const path = await realPath(this.#given);
    const folder = dirname(path);
    const changed = await createFolders(folder);
    const file = temporaryName(path);
    await write(join(folder, file), piece.text ?? piece.data);
    try {
      await this.#append(path, ({ state }, now) =>
        revisionLine(runId, state, { piece, facts, owner }, { size: 0, file }, now),
      );
    } catch (error) {
      await fs.rm(join(folder, file), { force: true });
      throw error;
    }
    await settle(join(folder, file), path);
    for (const each of changed) {
      await syncFolder(each);
    }
  }

  async read(runId: string, revision?: number): Promise<StoredRun> {
    const { bytes, state } = await this.#need(runId);
    const newest = state.current?.revision ?? 0;
    if (revision !== undefined && revision !== newest) {
      throw new StoreError(
        `${this.#given} has no revision ${revision}: a file keeps the newest one, ${newest}`,
        'revision-not-found',
      );
    }
    return {
      revision: newest,
      newest,
      pieces: [{ revision: newest, checksum: checksum(newest, bytes), data: bytes }],
      decisions: decisions(runId, state, new Date()),
    };
  }

  async clear(runId: string): Promise<void> {
    this.#check(runId);
    const path = await realPath(this.#given);
    if ((await readFile(path)) === undefined && (await readFile(logOf(path))) === undefined) {
      return;
    }
    await this.#append(path, ({ state }, now) => ({ ...mark(state, now), cleared: true }));
    await using log = await LogFile.open(logOf(path));
    if (log?.state.ended !== undefined) {
      await finish(log, path);
    }
  }

  async runs(): Promise<RunSummary[]> {
    const content = await this.#content();
    return content === undefined ? [] : [summary(this.runId, content.state, new Date())];
  }

  async history(runId: string): Promise<Revision[]> {
    const { bytes, state } = await this.#need(runId);
    return state.current === undefined
      ? []
      : [{ ...revisionOf(state.current), size: bytes.length }];
  }

  async prune(runId: string): Promise<number> {
    await this.#need(runId);
    return 0;
  }

  async claim(runId: string, owner: string, milliseconds: number, seen?: number): Promise<Claimed> {
    this.#check(runId);
    const { until } = await this.#append(await realPath(this.#given), (content, now) => {
      need(runId, content);
      return claimLine(runId, content.state, { owner, milliseconds, seen }, now);
    });
    return { owner, until: new Date(until) };
  }

  async release(runId: string, owner: string): Promise<void> {
    const { state } = await this.#need(runId);
    if (state.claim?.claim === owner) {
      await this.#append(await realPath(this.#given), (content, now) => ({
        ...mark(content.state, now),
        release: owner,
      }));
    }
  }

  async approvals(
    runId?: string,
    { resolved = false }: { resolved?: boolean } = {},
  ): Promise<StoredApproval[]> {
    const content = runId === undefined ? await this.#content() : await this.#need(runId);
    if (content === undefined) {
      return [];
    }
    if (resolved) {
      await using log = await LogFile.open(logOf(await realPath(this.#given)));
      if (log !== undefined) {
        return everyCall(this.runId, await log.all());
      }
    }
    return waiting(this.runId, content.state);
  }

  async decide(
    runId: string,
    callId: string,
    decision: Decision,
    details: DecisionDetails,
  ): Promise<void> {
    this.#check(runId);
    await this.#append(await realPath(this.#given), (content, now) => {
      need(runId, content);
      return decideLine(runId, content.state, callId, decision, details, now);
    });
  }

  addItems(): Promise<void> {
    return Promise.reject(this.#noSessions());
  }

  readItems(): Promise<(string | Uint8Array)[]> {
    return Promise.reject(this.#noSessions());
  }

  popItem(): Promise<string | Uint8Array | undefined> {
    return Promise.reject(this.#noSessions());
  }

  clearItems(): Promise<void> {
    return Promise.reject(this.#noSessions());
  }

  async close(): Promise<void> {}

  #noSessions(): StoreError {
    return new StoreError(`${this.#given} is a file, which keeps no sessions`, 'unknown-location', {
      hint: 'Give a folder, postgresql://user@host/database or pglite:<folder>.',
    });
  }

  #check(runId: string): void {
    if (runId !== this.runId) {
      throw new StoreError(
        `${this.#given} keeps the run ${this.runId}, not ${JSON.stringify(runId)}`,
        'unknown-location',
        { hint: 'Leave the run id out, or give a folder, which keeps many runs.' },
      );
    }
  }

  async #need(runId: string): Promise<Content> {
    this.#check(runId);
    const content = await this.#content();
    if (content === undefined) {
      throw notFound(runId);
    }
    return content;
  }

  /** What is in the file, with what the log says of it; undefined where there is no run. */
  async #content(): Promise<Content | undefined> {
    const path = await realPath(this.#given);
    for (;;) {
      await using log = await LogFile.open(logOf(path));
      if (log === undefined) {
        const bytes = await readFile(path);
        // A log that has come since knows better.
        if ((await readFile(logOf(path))) === undefined) {
          return bytes && { bytes, state: await adopted(EMPTY, bytes, path) };
        }
        continue;
      }
      const content = await contentOf(log, path);
      if (content !== 'again') {
        return content.bytes === undefined ? undefined : (content as Content);
      }
    }
  }

  /** Appends the line that is right upon what is there now; the line that was accepted. */
  async #append<T extends object & { id: string }>(
    path: string,
    build: (content: { bytes?: Buffer; state: RunLog }, now: Date) => T,
  ): Promise<T> {
    for (;;) {
      await using log = await openLog(path);
      const content = await contentOf(log, path);
      if (content === 'again') {
        continue;
      }
      const line = build(content, new Date());
      if (await log.append({ line })) {
        return line;
      }
    }
  }
}

/** The run id of a file: its name without `.json`. */
export function fileRunId(path: string): string {
  return basename(path).replace(/\.json$/, '');
}

/** What tells the content of a file from another. */
export function checksum(revision: number, bytes: Uint8Array): Uint8Array {
  const hash = createHash('sha256').update(`${revision}:0:`).update(bytes).digest();
  return new Uint8Array(hash.subarray(0, 8));
}

function logOf(path: string): string {
  return `${path}.log`;
}

function need(runId: string, { bytes }: { bytes?: Buffer }): void {
  if (bytes === undefined) {
    throw notFound(runId);
  }
}

async function readFile(path: string): Promise<Buffer | undefined> {
  try {
    return await fs.readFile(path);
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

/** The log, which is created where there is none. */
async function openLog(path: string): Promise<LogFile> {
  for (;;) {
    const found = await LogFile.open(logOf(path));
    if (found !== undefined) {
      return found;
    }
    await (await fs.open(logOf(path), 'a', 0o600)).close();
    await syncFolder(dirname(path));
  }
}

/** Puts the document of an accepted save in place, unless somebody has. */
async function settle(temporary: string, path: string): Promise<void> {
  try {
    await fs.rename(temporary, path);
  } catch (error) {
    if (!isMissing(error)) {
      throw error;
    }
  }
  await syncFolder(dirname(path));
}

/** Removes the run of a log that was cleared. */
async function finish(log: LogFile, path: string): Promise<void> {
  const { file } = log.state.current ?? {};
  if (await log.current()) {
    if (file !== undefined) {
      await fs.rm(join(dirname(path), basename(file)), { force: true });
    }
    await fs.rm(path, { force: true });
    await fs.rm(log.path, { force: true });
    await syncFolder(dirname(path));
  }
}

/** What is in the file as the log has it; 'again' where the log went on or ended meanwhile. */
async function contentOf(
  log: LogFile,
  path: string,
): Promise<{ bytes?: Buffer; state: RunLog } | 'again'> {
  if (log.state.ended !== undefined) {
    await finish(log, path);
    return 'again';
  }
  const { current } = log.state;
  if (current?.file !== undefined) {
    const temporary = join(dirname(path), basename(current.file));
    if ((await fs.stat(temporary).catch(() => undefined)) !== undefined) {
      await settle(temporary, path);
    }
  }
  const bytes = await readFile(path);
  await log.refresh();
  if (log.state.current !== current || log.state.ended !== undefined) {
    return 'again';
  }
  if (bytes === undefined) {
    if (current === undefined) {
      return { state: log.state };
    }
    // Somebody else has removed the document, and with it the run.
    const cleared = { ...mark(log.state, new Date()), cleared: true };
    await log.append({ line: cleared });
    return 'again';
  }
  const same =
    current !== undefined &&
    Buffer.from(checksum(current.revision, bytes)).toString('hex') === current.check;
  return { bytes, state: same ? log.state : await adopted(log.state, bytes, path) };
}

/** The state of a run whose document somebody else has put in its place. */
async function adopted(state: RunLog, bytes: Buffer, path: string): Promise<RunLog> {
  const revision = (state.current?.revision ?? 0) + 1;
  const changed = await fs.stat(path).then(
    ({ mtime }) => mtime,
    () => new Date(),
  );
  const at = changed.toISOString();
  const document = parsed(bytes);
  const writer = document.writer as { language?: unknown } | undefined;
  const current: RevisionLine = {
    id: '',
    at,
    revision,
    size: 0,
    check: Buffer.from(checksum(revision, bytes)).toString('hex'),
    language: String(writer?.language ?? ''),
    status: String(document.status ?? 'interrupted'),
    agent: String(document.current_agent ?? ''),
    turn: Number(document.current_turn ?? 0),
    created: state.current?.created ?? at,
    pending: [],
    decided: [],
  };
  return { ...state, current, decided: new Map() };
}

function parsed(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // reading the run says what is wrong with it
  }
}
