/**
 * Show the calls that wait for a decision, and decide them.
 *
 * Works on any location, and loads neither the SDK nor a run state.
 */
import { parseArgs } from 'node:util';
import { Approvals, waits } from '../approvals.js';
import { details, outcome, overview, record } from './approvalText.js';
import { asJson, say } from './text.js';
import { UsageError } from './usage.js';

const DURATION = /^([0-9]{1,6})([smhd])$/;
const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const TIME =
  /^([0-9]{4}-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})$/;

const STRING = { type: 'string' } as const;
const FLAG = { type: 'boolean' } as const;
const COMMON = { location: STRING, json: FLAG, help: { ...FLAG, short: 'h' } } as const;
const DECISION = {
  digest: STRING,
  always: FLAG,
  message: STRING,
  expires: STRING,
  by: STRING,
} as const;
const ALL = { ...COMMON, ...DECISION, all: FLAG } as const;
type Name = keyof typeof ALL;

interface Options {
  location?: string;
  json?: boolean;
  all?: boolean;
  digest?: string;
  always?: boolean;
  message?: string;
  expires?: string;
  by?: string;
  runId: string | undefined;
  callId: string | undefined;
}

interface Action {
  run(approvals: Approvals, options: Options): Promise<string[]>;
  what: string;
  positionals: readonly string[];
  /** How many of them there must be. */
  required: number;
  options: Partial<typeof ALL>;
}

const ACTIONS: Record<string, Action> = {
  list: {
    run: list,
    what: 'list the calls that wait, oldest first',
    positionals: ['RUN'],
    required: 0,
    options: { ...COMMON, all: FLAG },
  },
  show: {
    run: show,
    what: 'show a call with its whole arguments',
    positionals: ['RUN', 'CALL'],
    required: 1,
    options: COMMON,
  },
  approve: {
    run: (approvals, options) => decide('approve', approvals, options),
    what: 'let a call run',
    positionals: ['RUN', 'CALL'],
    required: 1,
    options: { ...COMMON, ...DECISION },
  },
  reject: {
    run: (approvals, options) => decide('reject', approvals, options),
    what: 'keep a call from running',
    positionals: ['RUN', 'CALL'],
    required: 1,
    options: { ...COMMON, ...DECISION },
  },
};

const HELP: Record<Name, [value: string, what: string]> = {
  help: ['', 'show this help message and exit'],
  location: [
    'LOCATION',
    'a file, a folder, postgresql://... or pglite:<folder> (default: TIMESTEP_LOCATION or .timestep)',
  ],
  json: ['', 'print JSON for programs'],
  all: ['', 'also those decided, and those their run has gone past'],
  digest: [
    'DIGEST',
    'of the arguments you decide on, its first 8 digits or more; refused if they have changed',
  ],
  always: ['', 'decide every later call of the tool too'],
  message: ['TEXT', 'what the model is told of a rejection; beside an approval it is only kept'],
  expires: ['WHEN', 'when the decision stops counting: 90s, 30m, 2h, 7d or 2026-01-31T12:00:00Z'],
  by: ['NAME', 'who decides (default: TIMESTEP_USER or the login name)'],
};

/** Runs one action; its exit code. */
export async function approvals(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === '-h' || name === '--help') {
    await say(help());
    return 0;
  }
  const action = name === undefined || !Object.hasOwn(ACTIONS, name) ? undefined : ACTIONS[name];
  if (name === undefined || action === undefined) {
    const what = name === undefined ? 'an ACTION is required' : `no action '${name}'`;
    const names = Object.keys(ACTIONS).join(', ');
    throw new UsageError(`${what} (there are: ${names})`, help()[0] ?? '');
  }
  const options = parse(name, action, rest);
  if (options === undefined) {
    await say(helpOf(name, action));
    return 0;
  }
  try {
    await using inbox = new Approvals(options.location);
    await say(await action.run(inbox, options));
  } catch (error) {
    if (error instanceof RangeError) {
      throw new UsageError(error.message, usage(name, action));
    }
    throw error;
  }
  return 0;
}

/** The options, or undefined where help was asked for. */
function parse(name: string, action: Action, args: string[]): Options | undefined {
  try {
    const { values, positionals } = parseArgs({
      args,
      options: action.options as typeof ALL,
      allowPositionals: true,
    });
    if (values.help) {
      return undefined;
    }
    if (positionals.length < action.required) {
      throw new TypeError(`${action.positionals[positionals.length]} is required`);
    }
    if (positionals.length > action.positionals.length) {
      const more = positionals.slice(action.positionals.length).join(' ');
      throw new TypeError(`unrecognized arguments: ${more}`);
    }
    return { ...values, runId: positionals[0], callId: positionals[1] };
  } catch (error) {
    if (error instanceof TypeError) {
      throw new UsageError(error.message, usage(name, action));
    }
    throw error;
  }
}

async function list(inbox: Approvals, options: Options): Promise<string[]> {
  const found = await inbox.list(options.runId, { resolved: options.all ?? false });
  const shown = options.all ? found : found.filter(waits);
  if (options.json) {
    return asJson(shown.map(record));
  }
  const decided = found.length - shown.length;
  return overview(shown, { decided, runId: options.runId, everything: options.all ?? false });
}

async function show(inbox: Approvals, options: Options): Promise<string[]> {
  const found = await inbox.get(options.runId ?? '', options.callId);
  return options.json ? asJson(record(found)) : details(found, options.location);
}

async function decide(
  decision: 'approve' | 'reject',
  inbox: Approvals,
  options: Options,
): Promise<string[]> {
  const { digest, always, message, by } = options;
  const expires = options.expires === undefined ? undefined : expiry(options.expires);
  const decided = await inbox[decision](options.runId ?? '', options.callId, {
    digest,
    always,
    message,
    by,
    expires,
  });
  return options.json ? asJson(record(decided)) : outcome(decided);
}

function expiry(text: string): Date | number {
  const [, number, unit] = DURATION.exec(text) ?? [];
  if (number !== undefined && unit !== undefined) {
    return Number(number) * (UNITS[unit] ?? 0);
  }
  const [, day] = TIME.exec(text) ?? [];
  // A day that is not in its month is not refused by Date, which takes the next month.
  if (day !== undefined && new Date(day).toISOString().startsWith(day)) {
    const at = new Date(text);
    if (!Number.isNaN(at.getTime())) {
      return at;
    }
  }
  throw new RangeError(`--expires takes 90s, 30m, 2h, 7d or 2026-01-31T12:00:00Z, not ${text}`);
}

function help(): string[] {
  const actions = Object.entries(ACTIONS).map(([name, { what }]) => `  ${name.padEnd(8)} ${what}`);
  return [
    'usage: timestep approvals [-h] ACTION ...',
    '',
    'Show the calls that wait for a decision, and decide them.',
    '',
    'actions:',
    ...actions,
  ];
}

function helpOf(name: string, action: Action): string[] {
  const options = (Object.keys(action.options) as Name[]).map((each) => {
    const [value, what] = HELP[each];
    return `  ${`--${each} ${value}`.padEnd(20)} ${what}`;
  });
  return [usage(name, action), '', `${action.what}.`, '', 'options:', ...options];
}

function usage(name: string, action: Action): string {
  const places = action.positionals.map((each, at) => (at < action.required ? each : `[${each}]`));
  return `usage: timestep approvals ${name} [OPTIONS] ${places.join(' ')}`;
}
