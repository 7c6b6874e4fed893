/** Where runs and sessions are kept: what a location says, and opening it. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { StoreError } from '../errors.js';
import type { Backend } from './base.js';

/** A location, understood. */
export type Location =
  | { kind: 'file' | 'folder' | 'pglite'; path: string }
  | { kind: 'postgresql'; url: string };

const FORMS =
  'Give a .json file (one run), a folder (many runs and sessions), postgresql://user@host/database, or pglite:<folder>.';

/** The location of whoever names none: `TIMESTEP_LOCATION`, or the folder `.timestep`. */
export function defaultLocation(): string {
  return process.env.TIMESTEP_LOCATION || '.timestep';
}

/**
 * What a location says; paths are made absolute. One that is understood already stays as it is.
 *
 * @throws StoreError `unknown-location`.
 */
export function parse(location: string | Location): Location {
  if (typeof location === 'object' && location !== null && 'kind' in location) {
    return location;
  }
  if (typeof location !== 'string' || location === '' || location.includes('\0')) {
    throw unknown(location);
  }
  if (/^postgres(ql)?:\/\//.test(location)) {
    return { kind: 'postgresql', url: location };
  }
  if (location.startsWith('pglite:')) {
    const path = location.slice('pglite:'.length);
    if (path === '' || path.startsWith('//')) {
      throw unknown(location);
    }
    return { kind: 'pglite', path: resolve(path) };
  }
  // A name like "c:" has one letter before its colon; a scheme has more.
  if (/^[A-Za-z][A-Za-z0-9+.-]+:(\/\/|$)/.test(location)) {
    throw unknown(location);
  }
  const path = resolve(location);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    const file = /\.json$/.test(location);
    return { kind: file ? 'file' : 'folder', path };
  }
  if (found.isFile()) {
    return { kind: 'file', path };
  }
  if (found.isDirectory()) {
    return { kind: 'folder', path };
  }
  throw unknown(location);
}

function unknown(location: unknown): StoreError {
  return new StoreError(`${JSON.stringify(location)} is no location`, 'unknown-location', {
    hint: FORMS,
  });
}

interface Opened {
  backend: Promise<Backend>;
  users: number;
}

const opened = new Map<string, Opened>();

/**
 * The backend of a location, shared by all who open it in this process. The last one to close it
 * closes it for good.
 *
 * @throws StoreError `unknown-location`, and what opening a database may.
 */
export async function openBackend(location: string | Location): Promise<Backend> {
  const parsed = parse(location);
  const key = `${parsed.kind}:${parsed.kind === 'postgresql' ? parsed.url : parsed.path}`;
  let entry = opened.get(key);
  if (entry === undefined) {
    entry = { backend: open(parsed), users: 0 };
    opened.set(key, entry);
  }
  const { backend } = entry;
  entry.users += 1;
  const forget = () => {
    entry.users -= 1;
    if (entry.users === 0 && opened.get(key) === entry) {
      opened.delete(key);
    }
    return entry.users === 0;
  };
  try {
    return shared(await backend, forget);
  } catch (error) {
    forget();
    throw error;
  }
}

async function open(location: Location): Promise<Backend> {
  switch (location.kind) {
    case 'postgresql': {
      const { openPostgres } = await import('./postgres.js');
      return await openPostgres(location.url);
    }
    case 'pglite': {
      const { openPglite } = await import('./pglite.js');
      return await openPglite(location.path);
    }
    case 'file': {
      const { FileBackend } = await import('./file.js');
      return new FileBackend(location.path);
    }
    case 'folder': {
      const { FolderBackend } = await import('./folder.js');
      return new FolderBackend(location.path);
    }
  }
}

/** One user's view of a backend, with a `close` of its own. */
function shared(backend: Backend, forget: () => boolean): Backend {
  let closed = false;
  return new Proxy(backend, {
    get(target, name) {
      if (name === 'close') {
        return async () => {
          if (!closed) {
            closed = true;
            if (forget()) {
              await target.close();
            }
          }
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
