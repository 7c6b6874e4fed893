/** What is printed of calls that wait: text for people, JSON for programs. */
import { waits } from '../approvals.js';
import type { Approval } from '../store/base.js';
import { indented, shorten, table, visible } from './text.js';

const SHORT_DIGEST = 12;
/** Characters of a line where the output is no terminal. */
const WIDTH = 120;

/** A table of calls, and what to do next; `decided` are left out, those that are decided. */
export function overview(
  shown: readonly Approval[],
  { decided, runId, everything }: { decided: number; runId?: string; everything: boolean },
): string[] {
  const lines: string[] = [];
  if (shown.length > 0) {
    const head = ['RUN', 'CALL', 'AGENT', 'TOOL', 'ASKED', 'DIGEST'];
    head.push(...(everything ? ['STATUS'] : []), 'ARGUMENTS');
    lines.push(
      ...table([head, ...shown.map((each) => row(each, everything))], width()),
      '',
      'Look at one:  timestep approvals show RUN CALL',
      'Decide it:    timestep approvals approve RUN CALL, or reject RUN CALL --message WHY',
    );
  } else {
    const of = runId === undefined ? '' : ` of run ${visible(runId)}`;
    lines.push(
      everything ? `No call${of} is stored.` : `No call${of} waits for a decision.`,
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

/** All there is to say of a call, and the command that approves it at this location. */
export function details(approval: Approval, location?: string): string[] {
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
    // A location with an @ may hold a password.
    const where = !location || location.includes('@') ? [] : ['--location', location];
    const command = ['timestep', 'approvals', 'approve', ...call, ...digest, ...where];
    lines.push(
      '',
      `Decide it: ${visible(command.map(quoted).join(' '))}`,
      '           or reject, with --message WHY',
    );
  }
  return lines;
}

/** What was decided just now. */
export function outcome(approval: Approval): string[] {
  return [
    `${visible(approval.callId)} of run ${visible(approval.runId)}: ${status(approval)}`,
    `  ${visible(approval.tool)} ${shorten(argumentsOf(approval), width() - 3)}`,
    'It is applied when the run is loaded.',
  ];
}

/** The approval in the form of `schemas/approvals.schema.json`. */
export function record(approval: Approval): Record<string, unknown> {
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

function row(approval: Approval, withStatus: boolean): string[] {
  const { runId, callId, agent, tool, requestedAt, argumentsDigest } = approval;
  const cells = [runId, callId, agent, tool, time(requestedAt)];
  cells.push(argumentsDigest.slice(0, SHORT_DIGEST));
  return [...cells, ...(withStatus ? [status(approval)] : []), argumentsOf(approval)];
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
