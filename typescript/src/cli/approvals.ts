/**
 * Show the calls that wait for a decision, and decide them.
 *
 * Works on any location, and loads neither the SDK nor a run state.
 */
import { parseArgs } from 'node:util';
import { Approvals, waits } from '../approvals.js';
import type { Approval } from '../store/base.js';
import { asJson, indented, say, shorten, table, visible } from './text.js';
import { UsageError } from './usage.js';

const DURATION = /^([0-9]{1,6})([smhd])$/;
const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const TIME =
  /^([0-9]{4}-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})$/;
const SHORT_DIGEST = 12;
/** Characters of a line where the output is no terminal. */
const WIDTH = 120;

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
  return overview(shown, found.length - shown.length, options);
}

async function show(inbox: Approvals, options: Options): Promise<string[]> {
  const found = await inbox.get(options.runId ?? '', options.callId);
  return options.json ? asJson(record(found)) : details(found, options);
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
  if (options.json) {
    return asJson(record(decided));
  }
  return [
    `${visible(decided.callId)} of run ${visible(decided.runId)}: ${status(decided)}`,
    `  ${visible(decided.tool)} ${shorten(argumentsOf(decided), width() - 3)}`,
    'It is applied when the run is loaded.',
  ];
}

function overview(shown: Approval[], decided: number, options: Options): string[] {
  const lines: string[] = [];
  if (shown.length > 0) {
    const head = ['RUN', 'CALL', 'AGENT', 'TOOL', 'ASKED', 'DIGEST'];
    head.push(...(options.all ? ['STATUS'] : []), 'ARGUMENTS');
    lines.push(
      ...table([head, ...shown.map((each) => row(each, options.all ?? false))], width()),
      '',
      'Look at one:  timestep approvals show RUN CALL',
      'Decide it:    timestep approvals approve RUN CALL, or reject RUN CALL --message WHY',
    );
  } else {
    const of = options.runId === undefined ? '' : ` of run ${visible(options.runId)}`;
    lines.push(
      options.all ? `No call${of} is stored.` : `No call${of} waits for a decision.`,
      'A run that stops for an approval is listed once its state is saved in a',
      'RunStateStore of this location; another one is given with --location.',
    );
  }
  if (decided > 0) {
    const calls = decided === 1 ? '1 decided call has' : `${decided} decided calls have`;
    lines.push(`${calls} not been applied yet: timestep approvals list --all`);
  }
  return lines;
}

function row(approval: Approval, withStatus: boolean): string[] {
  const { runId, callId, agent, tool, requestedAt, argumentsDigest } = approval;
  const cells = [runId, callId, agent, tool, time(requestedAt)];
  cells.push(argumentsDigest.slice(0, SHORT_DIGEST));
  return [...cells, ...(withStatus ? [status(approval)] : []), argumentsOf(approval)];
}

function details(approval: Approval, options: Options): string[] {
  const lines = [
    `Run        ${visible(approval.runId)}`,
    `Call       ${visible(approval.callId)}`,
    `Agent      ${visible(approval.agent)}`,
    `Tool       ${visible(approval.tool)} (${approval.kind})`,
    `Asked      ${time(approval.requestedAt)}, in revision ${approval.revision}`,
    `Digest     ${approval.argumentsDigest}`,
    `Status     ${status(approval)}`,
  ];
  if (approval.message !== undefined) {
    lines.push(`Message    ${visible(approval.message)}`);
  }
  if (approval.arguments === undefined) {
    lines.push('Arguments  sealed; TIMESTEP_ENCRYPTION_KEYS has no key that opens them');
  } else {
    lines.push('Arguments', ...indented(approval.arguments).map((line) => `  ${line}`));
  }
  if (waits(approval)) {
    const call = [approval.runId, approval.callId];
    const digest = ['--digest', approval.argumentsDigest.slice(0, SHORT_DIGEST)];
    const hidden = options.location === undefined || options.location.includes('@'); // a password
    const where = hidden ? [] : ['--location', options.location ?? ''];
    const command = ['timestep', 'approvals', 'approve', ...call, ...digest, ...where];
    lines.push(
      '',
      `Decide it: ${visible(command.map(quoted).join(' '))}`,
      '           or reject, with --message WHY',
    );
  }
  return lines;
}

function status(approval: Approval): string {
  if (approval.decision === undefined) {
    return approval.resolved ? 'resolved without a decision' : 'waits for a decision';
  }
  let words = approval.decision === 'approve' ? 'approved' : 'rejected';
  words += approval.always ? ' always' : '';
  words += approval.decidedBy === undefined ? '' : ` by ${visible(approval.decidedBy)}`;
  words += approval.decidedAt === undefined ? '' : ` at ${time(approval.decidedAt)}`;
  if (approval.resolved) {
    return `${words}, applied`;
  }
  if (approval.expiresAt === undefined) {
    return words;
  }
  return waits(approval)
    ? `waits for a decision; ${words}, expired at ${time(approval.expiresAt)}`
    : `${words}, until ${time(approval.expiresAt)}`;
}

/** The approval in the form of `schemas/approvals.schema.json`. */
function record(approval: Approval): Record<string, unknown> {
  return {
    run_id: approval.runId,
    call_id: approval.callId,
    agent: approval.agent,
    tool: approval.tool,
    kind: approval.kind,
    arguments: approval.arguments ?? null,
    arguments_digest: approval.argumentsDigest,
    revision: approval.revision,
    requested_at: approval.requestedAt,
    waits: waits(approval),
    decision: approval.decision ?? null,
    always: approval.always,
    message: approval.message ?? null,
    decided_by: approval.decidedBy ?? null,
    decided_at: approval.decidedAt ?? null,
    expires_at: approval.expiresAt ?? null,
    resolved: approval.resolved,
  };
}

function argumentsOf(approval: Approval): string {
  return approval.arguments ?? '(sealed)';
}

function time(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

function width(): number {
  const set = /^[1-9][0-9]*$/.test(process.env.COLUMNS ?? '') ? Number(process.env.COLUMNS) : 0;
  return set || process.stdout.columns || WIDTH;
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
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
