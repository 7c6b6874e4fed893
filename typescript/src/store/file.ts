/** One run in one file, with its log beside it (`docs/storage.md`, "A file"). */
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StoreError } from '../errors.js';
import { validate } from '../state/document.js';
import type { Backend, Facts, Piece, Revision, StoredRun } from './base.js';
import { runIdOf, FORMAT as SEALED } from './content.js';
import { createFolders, isMissing, realPath, syncFolder, temporaryName, write } from './disk.js';
import { facts as factsOf } from './facts.js';
import { decisions, notFound, revisionLine, revision as revisionOf } from './lines.js';
import { apply, EMPTY, type Line, mark, type RevisionLine, type RunLog } from './log.js';
import { type Build, LogBackend } from './logBackend.js';
import { LogFile } from './logFile.js';
import { checksum } from './pieces.js';
import { decode, refuseRawSnapshot } from './text.js';

/** What is there: the document, and what is known of it. */
interface Seen {
  /** The content of the file; undefined where there is none. */
  content?: Buffer;
  state: RunLog;
  /** The line for a document that the log does not know; `state` has it already. */
  adoption?: RevisionLine;
}

/**
 * A file that keeps one run, in its newest revision only. The data of its pieces is the content
 * of the file.
 */
export class FileBackend extends LogBackend implements Backend {
  /** The id of the run: the name of the file without `.json`. */
  readonly runId: string;
  readonly #path: string;

  constructor(path: string) {
    super();
    this.#path = path;
    this.runId = runIdOf(path);
  }

  async save(runId: string, piece: Piece, facts: Facts, owner?: string): Promise<void> {
    this.#check(runId);
    const path = await realPath(this.#path);
    const file = temporaryName(path);
    const line = (state: RunLog) =>
      revisionLine(runId, state, { piece, facts, owner }, { size: 0, file }, new Date());
    line((await this.#look(path)).state); // throws what is due before anything is written
    const folders = await createFolders(dirname(path));
    const temporary = join(dirname(path), file);
    await write(temporary, piece.data);
    let added: RevisionLine;
    try {
      added = await this.#append(path, line);
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw error;
    }
    if (!(await putInPlace(temporary, path))) {
      await this.#expect(path, added);
    }
    for (const folder of folders) {
      await syncFolder(folder);
    }
  }

  async read(runId: string, revision?: number): Promise<StoredRun> {
    const { content, current, state } = await this.#need(runId);
    const newest = current.revision;
    if (revision !== undefined && revision !== newest) {
      throw new StoreError(
        `${this.#path} has no revision ${revision}, only ${newest}`,
        'revision-not-found',
      );
    }
    return {
      revision: newest,
      newest,
      pieces: [{ revision: newest, checksum: Buffer.from(current.check, 'hex'), data: content }],
      decisions: decisions(runId, state, new Date()),
    };
  }

  async clear(runId: string): Promise<void> {
    this.#check(runId);
    const path = await realPath(this.#path);
    const { content } = await this.#look(path);
    if (content === undefined && (await readIfThere(logOf(path))) === undefined) {
      return;
    }
    await this.#append(path, (state) => ({ ...mark(state, new Date()), cleared: true }));
    await removeLeftovers(path);
    await this.#look(path); // whoever looks meets the end of the log, and removes both
  }

  override async history(runId: string): Promise<Revision[]> {
    const { content, current } = await this.#need(runId);
    return [{ ...revisionOf(current), size: content.length }];
  }

  async prune(runId: string): Promise<number> {
    await this.#need(runId);
    return 0;
  }

  addItems(): Promise<void> {
    return this.#refuseSessions();
  }

  readItems(): Promise<(string | Uint8Array)[]> {
    return this.#refuseSessions();
  }

  popItem(): Promise<string | Uint8Array | undefined> {
    return this.#refuseSessions();
  }

  clearItems(): Promise<void> {
    return this.#refuseSessions();
  }

  protected override async append<T extends (object & { id: string }) | undefined>(
    runId: string,
    build: Build<T>,
  ): Promise<T> {
    const { state } = await this.#need(runId);
    const line = build(state); // throws what is due before anything is written
    if (line === undefined) {
      return line;
    }
    return await this.#append(await realPath(this.#path), (now) => {
      if (now.current === undefined) {
        throw notFound(runId);
      }
      return build(now);
    });
  }

  protected override async states(): Promise<[string, RunLog][]> {
    const { content, state } = await this.#look();
    if (state.current === undefined) {
      return [];
    }
    if (content !== undefined && state.current.agent === '') {
      refuseDamaged(content, this.#path);
    }
    return [[this.runId, state]];
  }

  protected override async one(runId: string): Promise<[string, RunLog]> {
    return [runId, (await this.#need(runId)).state];
  }

  protected override async lines(runId: string): Promise<{ line: Line }[]> {
    await this.#need(runId);
    const path = await realPath(this.#path);
    const { adoption } = await this.#look(path);
    await using log = await LogFile.open(logOf(path));
    const accepted = (await log?.all())?.accepted ?? [];
    return adoption === undefined ? accepted : [...accepted, { line: adoption as unknown as Line }];
  }

  #refuseSessions(): Promise<never> {
    const error = new StoreError(
      `${this.#path} is a file, which keeps no sessions`,
      'unknown-location',
      { hint: 'Give a folder or a database.' },
    );
    return Promise.reject(error);
  }

  #check(runId: string): void {
    if (runId !== this.runId) {
      throw new StoreError(
        `${this.#path} keeps the run ${this.runId}, not ${runId}`,
        'unknown-location',
        { hint: 'Give a folder or a database for many runs.' },
      );
    }
  }

  async #need(runId: string): Promise<{ content: Buffer; current: RevisionLine; state: RunLog }> {
    this.#check(runId);
    const { content, state } = await this.#look();
    if (content === undefined || state.current === undefined) {
      throw new StoreError(`no run state at ${this.#path}`, 'state-not-found');
    }
    return { content, current: state.current, state };
  }

  /** What is there. Finishes what somebody has begun; writes nothing new. */
  async #look(path?: string): Promise<Seen> {
    const target = path ?? (await realPath(this.#path));
    for (;;) {
      await using log = await LogFile.open(logOf(target));
      const seen = await this.#see(target, log);
      if (seen !== undefined) {
        return seen;
      }
    }
  }

  /** Appends what is right upon what is there, after a line for a document the log has not. */
  async #append<T extends (object & { id: string }) | undefined>(
    path: string,
    build: Build<T>,
  ): Promise<T> {
    for (;;) {
      await using log = await openLog(path);
      const seen = await this.#see(path, log);
      if (seen?.adoption !== undefined) {
        await log.append(seen.adoption);
      } else if (seen?.content === undefined && log.state.current !== undefined && seen) {
        // Somebody has removed the document, and with it the run.
        const cleared = { ...mark(log.state, new Date()), cleared: true };
        await log.append(cleared);
      } else if (seen !== undefined) {
        const line = build(seen.state);
        if (line === undefined || (await log.append(line))) {
          return line;
        }
      }
    }
  }

  /** Checks that a save whose temporary file has gone was finished by somebody else. */
  async #expect(path: string, { id, file }: RevisionLine): Promise<void> {
    const { content, adoption } = await this.#look(path);
    await using log = await LogFile.open(logOf(path));
    if (log?.state.current?.id === id && (content === undefined || adoption !== undefined)) {
      const error = new Error(`ENOENT: the temporary file ${file} was removed`);
      throw Object.assign(error, { code: 'ENOENT', path: file });
    }
  }

  /** What is there; undefined where it changed under this very look. */
  async #see(path: string, log: LogFile | undefined): Promise<Seen | undefined> {
    if (log?.state.ended !== undefined) {
      await finish(log, path);
      return undefined;
    }
    const state = log?.state ?? EMPTY;
    const { current } = state;
    if (current?.file !== undefined) {
      await putInPlace(join(dirname(path), basename(current.file)), path);
    }
    const content = await readIfThere(path);
    if (log === undefined) {
      if ((await readIfThere(logOf(path))) !== undefined) {
        return undefined;
      }
    } else if ((await log.refresh()).length > 0) {
      return undefined;
    }
    if (content === undefined) {
      return { state: current === undefined ? state : EMPTY };
    }
    if (current !== undefined && current.check === checkOf(current.revision, content)) {
      return { content, state };
    }
    const adoption = await adopted(this.runId, state, content, path);
    return { content, state: apply(state, adoption as unknown as Line), adoption };
  }
}

function logOf(path: string): string {
  return `${path}.log`;
}

function checkOf(revision: number, content: Uint8Array): string {
  return Buffer.from(checksum(revision, undefined, content)).toString('hex');
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
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

/** Puts the document of an accepted save in place; false where somebody was quicker. */
async function putInPlace(temporary: string, path: string): Promise<boolean> {
  try {
    await fs.rename(temporary, path);
  } catch (error) {
    if (isMissing(error)) {
      return false;
    }
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}

/** Removes what writers that died before they wrote their line have left behind. */
async function removeLeftovers(path: string): Promise<void> {
  for (const name of await fs.readdir(dirname(path))) {
    if (name.startsWith(`.${basename(path)}.`) && name.endsWith('.tmp')) {
      await fs.rm(join(dirname(path), name), { force: true });
    }
  }
}

/** Removes the run of a log that was cleared. */
async function finish(log: LogFile, path: string): Promise<void> {
  if (!(await log.current())) {
    return;
  }
  const { file } = log.state.current ?? {};
  if (file !== undefined) {
    await fs.rm(join(dirname(path), basename(file)), { force: true });
  }
  await fs.rm(path, { force: true });
  await fs.rm(log.path, { force: true });
  await syncFolder(dirname(path));
}

/** The line of a document that somebody else has put there. */
async function adopted(
  runId: string,
  state: RunLog,
  content: Buffer,
  path: string,
): Promise<RevisionLine> {
  const revision = (state.current?.revision ?? 0) + 1;
  const check = checksum(revision, undefined, content);
  const piece: Piece = { revision, checksum: check, data: content };
  const changed = await fs.stat(path).then(
    ({ mtime }) => mtime,
    () => new Date(),
  );
  const saved = { piece, facts: factsIn(content), owner: state.claim?.claim };
  const { owner: _, ...line } = revisionLine(runId, state, saved, { size: 0 }, changed);
  return line;
}

/** @throws DocumentError for what is no document, sealed or in clear. */
function refuseDamaged(content: Buffer, source: string): void {
  const document = decode(content, source);
  if (document.format !== SEALED) {
    refuseRawSnapshot(document, source);
    validate(document);
  }
}

/** The facts of a document; next to nothing where it is sealed or damaged. */
function factsIn(content: Buffer): Facts {
  try {
    const document: unknown = decode(content, 'the file');
    validate(document);
    return factsOf(document, undefined, new Map());
  } catch {
    return {
      agent: '',
      status: 'not_started',
      turn: 0,
      language: 'typescript',
      pending: [],
      decided: {},
      calls: [],
      usage: [],
    };
  }
}
