/** Other processes that use the same stores: of Python, and of this language as it is built. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PYTHON = process.env.TIMESTEP_PYTHON ?? `${ROOT}.venv/bin/python`;
/** The built modules of the store. */
export const DIST = new URL('../../dist/store/', import.meta.url).href;

const SCRIPT = `
import asyncio, json, sys
from tests.store.runs import store_at, text_of

async def answer(what, location, run_id, *rest):
    async with store_at(location, run_id) as store:
        state = await store.load()
        was = store.revision
        if what == "copy":
            async with store_at(*rest) as copy:
                saved = [await copy.save(state) for _ in range(3)][-1]
        else:
            saved = await store.save(state)
        return {"was": was, "input": text_of(state), "saved": saved}

for line in sys.stdin:
    try:
        said = asyncio.run(answer(*json.loads(line)))
    except Exception as error:
        said = {"error": str(error)}
    print(json.dumps(said), flush=True)
`;

type Answers = AsyncIterator<string>;

let running: { child: ChildProcessByStdio<Writable, Readable, null>; answers: Answers } | undefined;

afterAll(async () => {
  if (running !== undefined) {
    const { child } = running;
    running = undefined;
    child.stdin.end();
    await once(child, 'exit');
  }
});

/**
 * What a Python process, one for all tests of a file, makes of a run: it saves it again
 * (`resave`), or thrice at another place (`copy`, with that location and run id).
 */
export async function python(...args: string[]): Promise<unknown> {
  if (running === undefined) {
    const child = spawn(PYTHON, ['-W', 'error', '-c', SCRIPT], {
      cwd: ROOT,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    running = { child, answers: createInterface(child.stdout)[Symbol.asyncIterator]() };
  }
  running.child.stdin.write(`${JSON.stringify(args)}\n`);
  const { value, done } = await running.answers.next();
  if (done) {
    throw new Error('the Python process has ended');
  }
  const said = JSON.parse(value) as { error?: string };
  if (said.error !== undefined) {
    throw new Error(said.error);
  }
  return said;
}

/** A process of the built package that runs a module and tells lines. */
export interface Worker {
  process: ChildProcess;
  lines: AsyncIterator<string>;
  /** Resolves with what it ended by: its exit code, or a signal. */
  ended: Promise<number | string | null>;
}

const COMMON = `
import { createHash } from 'node:crypto';
import { FileBackend } from '${DIST}file.js';
import { FolderBackend } from '${DIST}folder.js';
const [place, ...args] = process.argv.slice(1);
const backend = place.endsWith('.json') ? new FileBackend(place) : new FolderBackend(place);
const facts = {
  agent: 'A', status: 'run_again', turn: 1, language: 'typescript',
  pending: [], decided: {}, calls: [], usage: [],
};
const piece = (revision, text) => {
  const data = Buffer.from(text);
  const hash = createHash('sha256').update(revision + ':0:').update(data).digest();
  const checksum = new Uint8Array(hash.subarray(0, 8));
  return place.endsWith('.json')
    ? { revision, checksum, data }
    : { revision, checksum, data: new Uint8Array(), text };
};
const newest = () => backend.read('run').then((run) => run.newest, (error) => {
  if (error.code !== 'state-not-found') throw error;
  return 0;
});
`;

/** Runs a module, which has `backend`, `piece`, `facts`, `newest` and `args`. */
export function worker(module: string, args: string[], { shell }: { shell?: string } = {}): Worker {
  const node = [process.execPath, '--input-type=module', '-e', COMMON + module, ...args];
  const [command, ...rest] =
    shell === undefined ? node : ['bash', '-c', `${shell}; exec "$@"`, 'bash', ...node];
  const child = spawn(command ?? '', rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit').then(([code, signal]) => signal ?? code);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { process: child, lines, ended };
}
