/**
 * One folder, one owner: whoever listens on its socket.
 *
 * PGLite itself has no lock, and two engines on one folder lose what was written without a word.
 * The system ends a listener with its process, so an owner that was killed holds nothing; the
 * file of its socket stays and refuses connections. Putting a new socket in its place is done by
 * one process at a time, the one that has made `<folder>/.takeover`.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Place } from './place.js';

/** A takeover takes milliseconds; one this old was cut off. In milliseconds. */
const STALE = 10_000;

/** The ownership of a folder, while {@link held} says so. */
export class Lock {
  readonly #socket: string;
  readonly #inode: bigint | undefined;

  constructor(
    /** What listens. */
    readonly server: Server,
    socket: string,
  ) {
    this.#socket = socket;
    this.#inode = inode(socket);
  }

  /**
   * Whether the socket in the folder is still this one. Somebody who removes the file makes room
   * for another owner, so an owner asks before everything it does to the database.
   */
  held(): boolean {
    return this.#inode !== undefined && inode(this.#socket) === this.#inode;
  }

  /** Gives the folder away, if it is still held. What is connected stays so. */
  release(): void {
    if (this.held()) {
      unlinkSync(this.#socket);
    }
    this.server.close();
  }
}

/** Becomes the owner of a folder, or returns undefined where it has one. */
export async function takeLock(
  place: Place,
  accept: (socket: Socket) => void,
): Promise<Lock | undefined> {
  const takeover = join(place.folder, '.takeover');
  for (;;) {
    if (await isOwned(place)) {
      return undefined;
    }
    const guard = enter(takeover);
    if (guard === undefined) {
      await sleep(20);
      continue;
    }
    try {
      if (await isOwned(place)) {
        return undefined;
      }
      // Nothing is awaited from here on: the guard must not grow old in between.
      if (inode(takeover) === guard) {
        return await listen(place.socket, accept);
      }
    } finally {
      leave(takeover, guard);
    }
  }
}

/** Whether somebody listens on the socket of a folder. */
export async function isOwned(place: Place): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(place.socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') {
        resolve(false);
      } else if (error.code === 'EAGAIN') {
        resolve(true); // so many wait already that the system lets no more queue
      } else {
        reject(error);
      }
    });
  });
}

/**
 * Puts a socket that listens in its place, before anything else in this process can run.
 *
 * It is made beside it: nobody sees one that does not listen yet, and when the system closes it
 * by itself it removes that other name, not the socket of an owner who came later.
 */
function listen(path: string, accept: (socket: Socket) => void): Promise<Lock> {
  const server = createServer(accept);
  const fresh = join(dirname(path), `.s.${randomBytes(4).toString('hex')}`);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: fresh, exclusive: true });
    if (server.listening) {
      renameSync(fresh, path);
      resolve(new Lock(server, path));
    }
  });
}

/** Makes the guard, and says which it is; undefined where another one is at work. */
function enter(takeover: string): bigint | undefined {
  try {
    mkdirSync(takeover, { mode: 0o700 });
    return inode(takeover);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }
  const found = statSync(takeover, { throwIfNoEntry: false });
  if (found !== undefined && Date.now() - found.mtimeMs > STALE) {
    const old = `${takeover}.${randomBytes(4).toString('hex')}`;
    try {
      renameSync(takeover, old);
      rmdirSync(old);
    } catch {
      // somebody else was faster
    }
  }
  return undefined;
}

function leave(takeover: string, guard: bigint): void {
  if (inode(takeover) === guard) {
    rmdirSync(takeover);
  }
}

/** What a path names; as long as a socket is open, nothing else gets its number. */
function inode(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
