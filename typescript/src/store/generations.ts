/** A log's place in a folder: its name, its generations, and how it appears and goes. */
import { randomBytes, randomInt } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StoreError } from '../errors.js';
import { createFolders, isMissing, syncFolder, write } from './disk.js';

/** What a file system takes as a name, in bytes. */
const LONGEST = 255;

const LOG = /^([1-9]\d{0,15})\.log$/;

/**
 * The name of the folder of a run or session.
 *
 * @throws StoreError `unknown-location` for an id that cannot be.
 */
export function folderName(id: string): string {
  checkId(id);
  const name = [...Buffer.from(id)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9_-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
  if (name.length > LONGEST) {
    throw new StoreError(`the id ${id} is too long for the name of a folder`, 'unknown-location', {
      hint: 'Give a shorter one, or use a database.',
    });
  }
  return name;
}

/** @throws StoreError `unknown-location` for what is no run id or session id. */
export function checkId(id: string): void {
  if (
    typeof id !== 'string' ||
    id.length === 0 ||
    [...id].length > 200 ||
    /[\0\p{Surrogate}]/u.test(id)
  ) {
    throw new StoreError(
      `${JSON.stringify(id)} is no id: an id is text of 1 to 200 characters`,
      'unknown-location',
    );
  }
}

/** The ids of the folders in a folder. */
export async function ids(folder: string): Promise<string[]> {
  const names = await list(folder);
  return names
    .filter((name) => /^(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+$/.test(name))
    .map(decodeURIComponent);
}

/**
 * The newest log in a folder; undefined if there is none.
 *
 * Older ones are removed: whoever made the newest of them did not come to that, and one that stays
 * would bring back a run that is cleared.
 */
export async function newest(folder: string): Promise<string | undefined> {
  const logs = (await list(folder)).filter((name) => LOG.test(name));
  const numbers = logs.map(generation);
  const last = Math.max(...numbers);
  for (const number of numbers) {
    if (number < last) {
      await fs.rm(join(folder, `${number}.log`), { force: true });
    }
  }
  return numbers.length === 0 ? undefined : join(folder, `${last}.log`);
}

/** The generation of a log. */
export function generation(path: string): number {
  return Number(LOG.exec(basename(path))?.[1]);
}

async function list(folder: string): Promise<string[]> {
  try {
    return await fs.readdir(folder);
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  }
}

/** Creates the folder of a run with a log, as a whole; whether there was none. */
export async function create(folder: string, content: Uint8Array): Promise<boolean> {
  const parent = dirname(folder);
  const changed = await createFolders(parent, 0o700);
  const temporary = join(parent, `.${randomBytes(8).toString('hex')}`);
  await fs.mkdir(temporary, 0o700);
  try {
    const number = Date.now() * 1000 + randomInt(1000);
    await write(join(temporary, `${number}.log`), content);
    await syncFolder(temporary);
    while (!(await renamed(temporary, folder))) {
      if ((await newest(folder)) !== undefined) {
        return false;
      }
      await removeLeftovers(folder);
    }
  } finally {
    await fs.rm(temporary, { recursive: true, force: true });
  }
  for (const each of changed) {
    await syncFolder(each);
  }
  return true;
}

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await fs.rename(from, to);
    return true;
  } catch (error) {
    if (isTaken(error)) {
      return false;
    }
    throw error;
  }
}

/** Puts the next generation in place, unless somebody has, and removes the one before. */
export async function succeed(path: string, content: Uint8Array): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${randomBytes(8).toString('hex')}`);
  try {
    await write(temporary, content);
    await fs.access(path);
    await fs.link(temporary, join(folder, `${generation(path) + 1}.log`));
  } catch (error) {
    if (!isTaken(error) && !isMissing(error)) {
      throw error; // else somebody else has moved the log, or removed it since
    }
  } finally {
    await fs.rm(temporary, { force: true });
  }
  await syncIfThere(folder);
  await newest(folder);
}

/** Removes a log that is over, and its folder if nothing newer is there. */
export async function remove(path: string): Promise<void> {
  const folder = dirname(path);
  await fs.rm(path, { force: true });
  if ((await newest(folder)) === undefined) {
    await removeLeftovers(folder);
  }
  await syncIfThere(dirname(folder));
}

/** Removes the folder of a run that has no log, with what writers that died left in it. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await list(folder)) {
    if (name.startsWith('.')) {
      await fs.rm(join(folder, name), { force: true });
    }
  }
  try {
    await fs.rmdir(folder);
  } catch (error) {
    if (!isTaken(error) && !isMissing(error)) {
      throw error;
    }
  }
}

async function syncIfThere(folder: string): Promise<void> {
  try {
    await syncFolder(folder);
  } catch (error) {
    if (!isMissing(error)) {
      throw error;
    }
  }
}

function isTaken(error: unknown): boolean {
  return ['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '');
}
