/**
 * An empty database, packed: unpacking it takes a second, making one takes ten and 900 MB.
 *
 * It is made once and kept in the user's cache folder, its name saying the version of PGLite and
 * the digest of its content. A copy that is damaged is not used.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PGlite } from '@electric-sql/pglite';

/** Nobody takes longer than this to make one, in milliseconds. */
const LONGEST = 120_000;

/** An empty database as a gzipped tar, for `loadDataDir`. */
export async function template(engine: typeof PGlite, version: string): Promise<Blob> {
  const folder = cacheFolder();
  const name = `pglite-${version}-`;
  const making = join(folder, `${name}making`);
  let alone = false;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (;;) {
      const found = await kept(folder, name);
      if (found !== undefined) {
        return found;
      }
      alone = begin(making);
      if (alone) {
        break;
      }
      await sleep(100);
    }
  } catch {
    return await make(engine); // a cache that cannot be written to is none
  }
  try {
    const made = (await kept(folder, name)) ?? (await make(engine));
    await keep(folder, name, made).catch(() => undefined);
    return made;
  } finally {
    rmdirSync(making);
  }
}

function cacheFolder(): string {
  const given = process.env.XDG_CACHE_HOME;
  const usual = process.platform === 'darwin' ? 'Library/Caches' : '.cache';
  return join(given || join(homedir(), usual), 'timestep');
}

/** Several that start at once wait for the first, for the sake of memory. */
function begin(making: string): boolean {
  try {
    mkdirSync(making, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }
  const found = statSync(making, { throwIfNoEntry: false });
  if (found !== undefined && Date.now() - found.mtimeMs > LONGEST) {
    rmdirSync(making);
  }
  return false;
}

async function kept(folder: string, name: string): Promise<Blob | undefined> {
  const names = (await readdir(folder)).filter(
    (each) => each.startsWith(name) && each.endsWith('.tar.gz'),
  );
  for (const each of names.sort()) {
    const content = await readFile(join(folder, each));
    if (each === fileName(name, content)) {
      return packed(content);
    }
    await rm(join(folder, each), { force: true });
  }
  return undefined;
}

async function keep(folder: string, name: string, made: Blob): Promise<void> {
  const content = Buffer.from(await made.arrayBuffer());
  const path = join(folder, fileName(name, content));
  const fresh = `${path}.${randomBytes(4).toString('hex')}`;
  await writeFile(fresh, content, { mode: 0o600, flush: true });
  await rename(fresh, path);
}

function fileName(name: string, content: Uint8Array): string {
  return `${name}${createHash('sha256').update(content).digest('hex').slice(0, 32)}.tar.gz`;
}

function packed(content: Uint8Array): Blob {
  return new Blob([new Uint8Array(content)], { type: 'application/x-gzip' });
}

async function make(engine: typeof PGlite): Promise<Blob> {
  const database = await engine.create('memory://');
  try {
    await database.exec('CHECKPOINT');
    const dumped = await database.dumpDataDir('gzip');
    return packed(new Uint8Array(await dumped.arrayBuffer()));
  } finally {
    await database.close();
  }
}
