/** Starts the PostgreSQL server of the tests when one first asks for it, and ends it after all. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The socket that answers whoever connects with the URL of the server. */
    postgres: string;
  }
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'timestep-vitest-'));
  const path = join(folder, 'postgres');
  let child: ChildProcess | undefined;
  let url: Promise<string> | undefined;
  const server = createServer(async (socket) => {
    url ??= start((started) => {
      child = started;
    });
    socket.end(await url);
  });
  server.listen(path);
  await once(server, 'listening');
  project.provide('postgres', path);
  return async () => {
    server.close();
    if (child?.exitCode === null) {
      child.stdin?.end();
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true });
  };
}

/** The URL of a server: the one that is given, or one that runs as long as its process does. */
async function start(started: (child: ChildProcess) => void): Promise<string> {
  const { TIMESTEP_POSTGRES_URL: given, TIMESTEP_PYTHON: python } = process.env;
  if (given !== undefined && given !== '') {
    return given;
  }
  const child = spawn(
    python ?? join(ROOT, '.venv/bin/python'),
    ['-W', 'ignore', '-m', 'conformance.harness.services'],
    { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  started(child);
  const lines = createInterface(child.stdout);
  const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit')]);
  return typeof line === 'string' ? line : '';
}
