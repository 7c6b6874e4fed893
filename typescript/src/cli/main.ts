#!/usr/bin/env node
/** The `timestep` command. Exit codes: 0 done, 1 refused with a typed error, 2 wrong usage. */
import { readFile } from 'node:fs/promises';
import { TimestepError } from '../errors.js';
import { complain, say } from './text.js';
import { UsageError } from './usage.js';

/** Runs a command with its arguments; its exit code. */
export type Command = (args: string[]) => Promise<number>;

const SUMMARIES = {
  approvals: 'Show the calls that wait for a decision, and decide them.',
  doctor: 'Say what is installed, and whether a location can be used and how safe it is.',
};

/** Each is loaded when it is asked for. */
const COMMANDS: Record<keyof typeof SUMMARIES, Command> = {
  approvals: async (args) => (await import('./approvals.js')).approvals(args),
  doctor: async (args) => (await import('./doctor.js')).doctor(args),
};

const USAGE = 'usage: timestep [-h] [--version] COMMAND ...';

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === '-h' || name === '--help') {
    const width = Math.max(...Object.keys(SUMMARIES).map((each) => each.length));
    const lines = Object.entries(SUMMARIES).map(([key, what]) => `  ${key.padEnd(width)}  ${what}`);
    await say([USAGE, '', 'commands:', ...lines]);
    return 0;
  }
  if (name === '--version') {
    await say([await version()]);
    return 0;
  }
  if (name === undefined || !Object.hasOwn(COMMANDS, name)) {
    const names = Object.keys(COMMANDS).join(', ');
    const what = name === undefined ? 'a COMMAND is required' : `no command '${name}'`;
    throw new UsageError(`${what} (there are: ${names})`, USAGE);
  }
  return COMMANDS[name as keyof typeof COMMANDS](rest);
}

async function version(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader, a pager for example, has seen enough.
  process.exit(error.code === 'EPIPE' ? 1 : 70);
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    complain([...error.usage.split('\n'), `timestep: error: ${error.message}`]);
    process.exitCode = 2;
  } else if (error instanceof TimestepError) {
    complain([`error[${error.code}]: ${error.message}`, `hint: ${error.hint}`]);
    process.exitCode = 1;
  } else if (error instanceof Error && 'syscall' in error) {
    complain([`error: ${error.message}`]);
    process.exitCode = 1;
  } else {
    throw error;
  }
}
