#!/usr/bin/env node
/**
 * `timestep-pglite <folder>`: serves the PGLite database of a folder on a Unix socket.
 *
 * Prints one line of JSON: `{"owner": true, "host", "pid"}` when it serves, `{"owner": false,
 * "host"}` when another process does already, or `{"error": {"code", "message", "hint"}}`. Ends
 * when its input ends, so that it never outlives the process that started it, or on SIGTERM.
 */
import { TimestepError } from '../errors.js';
import { place } from './place.js';
import { Owner } from './server.js';

async function main(): Promise<number> {
  const [folder, ...more] = process.argv.slice(2);
  if (folder === undefined || folder.startsWith('-') || more.length > 0) {
    process.stderr.write('usage: timestep-pglite FOLDER\n');
    return 2;
  }
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, resolve);
    }
    process.stdin
      .on('end', resolve)
      .on('error', () => resolve())
      .resume();
  });
  const opened = await Promise.race([Owner.open(folder), asked.then(() => null)]);
  if (opened === null) {
    return 0;
  }
  if (opened === undefined) {
    say({ owner: false, host: place(folder).host });
    return 0;
  }
  say({ owner: true, host: opened.place.host, pid: process.pid });
  await asked;
  await opened.close();
  return 0;
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    if (!(error instanceof TimestepError)) {
      throw error;
    }
    const { code, message, hint } = error;
    say({ error: { code, message, hint } });
    process.stderr.write(`error[${code}]: ${message}\nhint: ${hint}\n`);
    process.exitCode = 1;
    process.stdin.destroy();
  },
);
