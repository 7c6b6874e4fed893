/** The PostgreSQL engine of one folder, in this process. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Extension, PGlite } from '@electric-sql/pglite';
import { StoreError } from '../errors.js';
import type { Place } from './place.js';
import { template } from './template.js';

/** The PostgreSQL that PGLite 0.5 is. */
export const MAJOR = 18;

/** PostgreSQL's own default, 128 MB, is memory no store of ours ever fills. */
const BUFFERS = ['-c', 'shared_buffers=16MB'];
/** Beside a database that is being made: until it is gone, nobody was served from it. */
const CREATING = '.creating';

type Imports = { env: Record<string, unknown> };
type Instantiate = (imports: Imports, done: unknown) => unknown;

/**
 * PostgreSQL without its timers. They cannot interrupt a statement here, where nothing runs beside
 * it, and the one that writes down statistics would keep a process alive for ten seconds.
 */
const withoutTimers: Extension = {
  name: 'without_timers',
  setup: async (_database, options: { instantiateWasm: Instantiate }) => {
    const { instantiateWasm } = options;
    return {
      emscriptenOpts: {
        ...options,
        instantiateWasm: (imports: Imports, done: unknown) => {
          Object.assign(imports.env, { _setitimer_js: () => 0 });
          return instantiateWasm(imports, done);
        },
      },
    };
  },
};

/** The version of PGLite that is installed, or undefined. */
export function pgliteVersion(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite');
    const manifest = readFileSync(join(dirname(dirname(entry)), 'package.json'), 'utf8');
    return (JSON.parse(manifest) as { version: string }).version;
  } catch {
    return undefined;
  }
}

/** One engine. It has one session; whoever uses it holds the gate. */
export class Engine {
  #database: PGlite;

  private constructor(
    readonly place: Place,
    database: PGlite,
  ) {
    this.#database = database;
  }

  /**
   * Opens the database of a folder this process owns, and makes it first where there is none.
   *
   * @throws StoreError `missing-dependency`, `newer-database`, `database-unavailable`.
   */
  static async open(place: Place, empty?: Blob): Promise<Engine> {
    return new Engine(place, await open(place, empty));
  }

  /**
   * What a folder without a database starts from; undefined for one that has a database.
   *
   * @throws StoreError `missing-dependency`.
   */
  static async empty(place: Place): Promise<Blob | undefined> {
    const { PGlite, version } = await load();
    return exists(place) ? undefined : await template(PGlite, version);
  }

  /** PGLite's own interface to it. */
  get database(): PGlite {
    return this.#database;
  }

  /** Sends protocol messages and returns the answer, before anything else can run. */
  async send(messages: Uint8Array): Promise<Buffer> {
    const chunks: Buffer[] = [];
    await this.#database.execProtocolRawStream(messages, {
      syncToFs: false, // on a disk there is nothing to copy
      onRawData: (data) => {
        chunks.push(Buffer.from(data)); // a copy: the memory is the engine's
      },
    });
    return Buffer.concat(chunks);
  }

  /** Opens the database anew after the engine has died, as after a crash. */
  async reopen(): Promise<void> {
    this.#database = await open(this.place);
  }

  /** Writes everything down and ends. */
  async close(): Promise<void> {
    await this.#database.close();
  }
}

async function load(): Promise<{ PGlite: typeof PGlite; version: string }> {
  const version = pgliteVersion();
  if (version === undefined) {
    throw new StoreError(
      'A pglite: location needs the package @electric-sql/pglite.',
      'missing-dependency',
      { hint: 'npm install @electric-sql/pglite, or use a folder, which needs no package.' },
    );
  }
  return { PGlite: (await import('@electric-sql/pglite')).PGlite, version };
}

function exists(place: Place): boolean {
  return existsSync(join(place.data, 'PG_VERSION')) && !existsSync(join(place.folder, CREATING));
}

async function open(place: Place, empty?: Blob): Promise<PGlite> {
  const { PGlite, version } = await load();
  const options = {
    startParams: [...PGlite.defaultStartParams, ...BUFFERS],
    extensions: { withoutTimers },
  };
  try {
    if (exists(place)) {
      checkMajor(place);
      return await PGlite.create(place.data, options);
    }
    const loadDataDir = empty ?? (await template(PGlite, version));
    const creating = join(place.folder, CREATING);
    writeFileSync(creating, '');
    rmSync(place.data, { recursive: true, force: true });
    mkdirSync(place.data, { mode: 0o700 });
    const database = await PGlite.create(place.data, { ...options, loadDataDir });
    rmSync(creating);
    return database;
  } catch (error) {
    if (error instanceof StoreError) {
      throw error;
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreError(
      `PGLite ${version} cannot open the database in ${place.folder}: ${reason}.`,
      'database-unavailable',
      { hint: 'Restore the folder from a copy, or use another one.', cause: error },
    );
  }
}

function checkMajor(place: Place): void {
  const text = readFileSync(join(place.data, 'PG_VERSION'), 'utf8').trim();
  const major = Number.parseInt(text, 10);
  if (major > MAJOR) {
    throw new StoreError(
      `The database in ${place.folder} is of PostgreSQL ${text}; this PGLite is PostgreSQL ${MAJOR}.`,
      'newer-database',
      { hint: 'Upgrade Timestep and @electric-sql/pglite to the releases that wrote it.' },
    );
  }
  if (major !== MAJOR) {
    throw new StoreError(
      `The database in ${place.folder} is of PostgreSQL ${text}; this PGLite is PostgreSQL ${MAJOR} and cannot open it.`,
      'database-unavailable',
      { hint: 'Dump it with the release that wrote it, and load it into a new folder.' },
    );
  }
}
