/** `fault.arm`: the process ends, or a call fails, at a boundary of the file system. */
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import type { Row } from './json.js';
import { Failure, requiredText } from './protocol.js';

type Call = (...args: unknown[]) => unknown;
type Owner = Record<string, Call>;

const MODULE = ['rename', 'link', 'rm', 'unlink'];
const HANDLE = ['write', 'writeFile', 'sync', 'datasync'];
const CALLS: Record<string, readonly string[]> = {
  write: ['write', 'writeFile'],
  sync: ['sync', 'datasync'],
  rename: ['rename'],
  link: ['link'],
  remove: ['rm', 'unlink'],
};

const real = new Map<string, { owner: Owner; call: Call }>();

/** The calls as they are, found once: those of open files have no exported class. */
async function find(): Promise<void> {
  if (real.size > 0) {
    return;
  }
  const file = await fs.open(process.execPath);
  await file.close();
  const owners: [Owner, string[]][] = [
    [fs as unknown as Owner, MODULE],
    [Object.getPrototypeOf(file) as Owner, HANDLE],
  ];
  for (const [owner, names] of owners) {
    for (const name of names) {
      const call = owner[name];
      if (call !== undefined) {
        real.set(name, { owner, call });
      }
    }
  }
}

function half(data: unknown): Uint8Array {
  const bytes = Buffer.from(data as Uint8Array);
  return bytes.subarray(0, bytes.length >> 1);
}

/** `fault.arm`: once, at the `nth` call of a kind from now on, or until the case is closed. */
export async function arm(args: Row): Promise<Row> {
  const at = requiredText(args, 'at');
  const names = CALLS[at];
  if (names === undefined) {
    throw new Failure('protocol', 'bad-request', `no fault can be armed at ${at}`);
  }
  await find();
  let passed = 0;
  for (const name of names) {
    const found = real.get(name);
    if (found === undefined) {
      continue;
    }
    const { owner, call } = found;
    owner[name] = async function (this: unknown, ...given: unknown[]): Promise<unknown> {
      const counts = HANDLE.includes(name) || existsSync(given[0] as string);
      passed += counts ? 1 : 0;
      if (!counts || passed !== args.nth) {
        return call.apply(this, given);
      }
      if (at === 'write') {
        await call.apply(this, [half(given[0])]);
      }
      if (args.how === 'exit') {
        process.kill(process.pid, 'SIGKILL');
      }
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    };
  }
  syncBuiltinESMExports();
  return {};
}

/** No fault is armed from now on. */
export function disarm(): void {
  for (const [name, { owner, call }] of real) {
    owner[name] = call;
  }
  syncBuiltinESMExports();
}
