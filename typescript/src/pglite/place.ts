/**
 * Where the database of a folder is, and where its owner listens.
 *
 * The socket is `<folder>/.s.PGSQL.5432`. A socket's path may be about 100 bytes long; a longer
 * one is reached through a symbolic link with a short name, so that everybody still meets at the
 * one socket in the folder.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { StoreError } from '../errors.js';

const SOCKET = '.s.PGSQL.5432';
/** The longest path, in bytes, that every system takes for a socket. */
const LONGEST = 100;
/** What a folder may hold and still be one of PGLite: anything else belongs to somebody. */
const OWN = /^(data|\.creating|\.takeover(\..*)?|\.s\..*)$/;

/** The paths of one PGLite folder. */
export interface Place {
  /** The folder itself, without symbolic links. */
  readonly folder: string;
  /** The database in it. */
  readonly data: string;
  /** What a PostgreSQL client gives as host; at most 100 bytes with the socket's name. */
  readonly host: string;
  /** The socket, by its short name where it has one. */
  readonly socket: string;
}

/**
 * The paths of a folder, which is made, and closed to other users.
 *
 * @throws StoreError `database-unavailable`: it cannot be made, or it holds something else.
 */
export function place(path: string): Place {
  if (process.platform === 'win32') {
    throw new StoreError(
      'A pglite: location needs Unix sockets, which this system does not have.',
      'database-unavailable',
      { hint: 'Use a folder, or postgresql://...' },
    );
  }
  const folder = own(resolve(path));
  const host = Buffer.byteLength(join(folder, SOCKET)) > LONGEST ? short(folder) : folder;
  return { folder, data: join(folder, 'data'), host, socket: join(host, SOCKET) };
}

function own(path: string): string {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const folder = realpathSync(path);
    const strange = readdirSync(folder).find((name) => !OWN.test(name));
    if (strange !== undefined) {
      throw new StoreError(
        `${path} is no folder of a PGLite database: it holds ${strange}.`,
        'database-unavailable',
        { hint: 'Give a folder of its own, as in pglite:timestep-database.' },
      );
    }
    if ((statSync(folder).mode & 0o077) !== 0) {
      chmodSync(folder, 0o700);
    }
    return folder;
  } catch (error) {
    if (error instanceof StoreError) {
      throw error;
    }
    throw unavailable(path, error);
  }
}

/** A link to the folder with a short name, in a folder nobody else can write to. */
function short(folder: string): string {
  const uid = process.getuid?.() ?? 0;
  const links = `/tmp/timestep-${uid}`;
  const link = join(links, createHash('sha256').update(folder).digest('hex').slice(0, 16));
  try {
    mkdirSync(links, { recursive: true, mode: 0o700 });
    const found = lstatSync(links);
    if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
      throw new Error(`${links} is not a folder of this user alone`);
    }
    if (target(link) !== folder) {
      const fresh = `${link}.${process.pid}`;
      symlinkSync(folder, fresh);
      renameSync(fresh, link);
    }
    return link;
  } catch (error) {
    throw unavailable(folder, error);
  }
}

function target(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}

function unavailable(path: string, cause: unknown): StoreError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StoreError(`${path} cannot hold a database: ${reason}.`, 'database-unavailable', {
    hint: 'Give a folder this user can write to.',
    cause,
  });
}
