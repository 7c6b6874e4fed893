/** Files and folders that are whole and durable, readable by their owner alone. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';

/** A name nobody uses, for a file beside this one. */
export function temporaryName(path: string): string {
  return `.${basename(path)}.${randomUUID()}.tmp`;
}

/** Writes a new file and syncs it. Nothing is left behind where that fails. */
export async function write(path: string, content: string | Uint8Array): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const file = await fs.open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } catch (error) {
    await fs.rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Whether `error` says that a file or folder is not there. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** The file a symbolic link leads to, there or not, so that the link itself stays. */
export async function realPath(path: string): Promise<string> {
  try {
    return await fs.realpath(path);
  } catch (error) {
    if (!isMissing(error)) {
      throw error;
    }
  }
  try {
    return await realPath(resolve(dirname(path), await fs.readlink(path)));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EINVAL') {
      return resolve(path); // no link
    }
    throw error;
  }
}

/** Creates `folder` with its parents; returns the folders that have a new entry afterwards. */
export async function createFolders(folder: string, mode = 0o777): Promise<string[]> {
  const first = await fs.mkdir(folder, { recursive: true, mode });
  const changed = [folder];
  for (let made = folder; first !== undefined && made.length >= first.length; ) {
    made = dirname(made);
    changed.push(made);
  }
  return changed;
}

/** Syncs the entries of a folder. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') {
    return; // a folder cannot be opened there, and a rename is durable as it is
  }
  const handle = await fs.open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
