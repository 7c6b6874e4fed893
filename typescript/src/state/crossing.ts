/**
 * Taking over a run that another language wrote: what is refused.
 */
import { CrossingError, type CrossingErrorCode, DocumentError } from '../errors.js';
import type { Run } from './calls.js';
import type { PortableRunState, StateOptions } from './document.js';
import { APPROVABLE, approvalId } from './interruptions.js';
import { step, str } from './json.js';
import { toProtocol } from './protocol/items.js';
import { itemsOfResponse } from './response.js';
import { unanswered } from './status.js';

/** A run and the JSON Pointer to it. */
type Placed = [Run, string];

/** A run and the runs nested in it, outermost first. */
export function* runs(run: Run, pointer = ''): Iterable<Placed> {
  yield [run, pointer];
  for (const [callId, nested] of Object.entries(run.response?.nested_runs ?? {})) {
    yield* runs(nested, `${pointer}/response/nested_runs${step(callId)}`);
  }
}

/** What an option of the caller answers. */
function isAnswered(code: string, options: StateOptions): boolean {
  return (
    (code === 'guardrails-unknown' &&
      options.assumeInputGuardrailsCompleted === true &&
      options.assumeNoLocalMcp === true) ||
    (code === 'mcp-binding-unknown' && options.assumeNoLocalMcp === true)
  );
}

function checkBound(document: PortableRunState, options: StateOptions): void {
  const bound = (document.cannot_cross ?? []).filter(({ code }) => !isAnswered(code, options));
  const lost = bound.some(({ code }) => code === 'step-missing');
  if (document.status === 'completed' && !lost) {
    throw new CrossingError('the run is completed', 'run-completed', { pointer: '/status' });
  }
  const [first] = bound;
  if (first) {
    const known = (CrossingError.codes as readonly string[]).includes(first.code);
    throw new CrossingError(
      known ? first.message : `${first.code}: ${first.message}`,
      known ? (first.code as CrossingErrorCode) : 'unsupported-item',
      { pointer: first.pointer },
    );
  }
}

function checkApprovals([run, at]: Placed): void {
  run.interruptions.forEach(({ item }, index) => {
    if (!APPROVABLE.has(item.type) || toProtocol(item).type === 'unknown') {
      throw new CrossingError(
        `@openai/agents has no approval of a ${item.type ?? 'message'}`,
        'unsupported-approval',
        { pointer: `${at}/interruptions/${index}` },
      );
    }
  });
}

/** @openai/agents would pass over a call that waits but is in no response, approved or not. */
function checkWaiting([run, at]: Placed): void {
  const members = [...runs(run)].flatMap(([each]) => itemsOfResponse(each.response, each.items));
  const known = new Set(members.map(({ item }) => approvalId(item)));
  run.interruptions.forEach(({ item }, index) => {
    const id = approvalId(item);
    if (!known.has(id)) {
      throw new CrossingError(
        `call ${id} waits, but no response being processed has it; it would never run`,
        'unsupported-approval',
        { pointer: `${at}/interruptions/${index}` },
      );
    }
  });
}

/** Calls of the current response that wait must have a form; in the history any item may travel. */
function checkItems([run, at]: Placed): void {
  if (run.status !== 'interrupted') {
    return;
  }
  const open = unanswered(run.items);
  itemsOfResponse(run.response, run.items).forEach(({ type, item }, index) => {
    const waits = open.has(str(item.call_id) ?? '');
    if (type === 'tool_call_item' && waits && toProtocol(item).type === 'unknown') {
      throw new CrossingError(
        `@openai/agents cannot run a ${item.type} that waits`,
        'unsupported-item',
        { pointer: `${at}/items/${(run.response?.start ?? 0) + index}` },
      );
    }
  });
}

function checkDecisions({ decisions }: PortableRunState): void {
  decisions.forEach(({ tool }, index) => {
    if (tool.kind === 'mcp_request') {
      throw new CrossingError(
        `the decision on request ${tool.request_id} names no MCP server and tool`,
        'ambiguous-approval',
        { pointer: `/decisions/${index}` },
      );
    }
  });
}

function checkContext([run, at]: Placed, options: StateOptions): void {
  if (run.context_type === 'omitted' && options.context === undefined) {
    throw new CrossingError("the context's data is not in the document", 'context-omitted', {
      pointer: `${at}/context`,
    });
  }
}

/** Where a value holds an integer that JavaScript has rounded, or may have. */
export function unsafeInteger(value: unknown, pointer = ''): string | undefined {
  if (typeof value === 'number') {
    return Number.isInteger(value) && !Number.isSafeInteger(value) ? pointer : undefined;
  }
  if (typeof value !== 'object' || value === null) {
    return undefined;
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const entry: unknown = value[index];
      if (typeof entry === 'object' || typeof entry === 'number') {
        const found = unsafeInteger(entry, '');
        if (found !== undefined) {
          return `${pointer}/${index}${found}`;
        }
      }
    }
    return undefined;
  }
  for (const key in value) {
    const entry = (value as Record<string, unknown>)[key];
    if (typeof entry === 'object' || typeof entry === 'number') {
      const found = unsafeInteger(entry, '');
      if (found !== undefined) {
        return pointer + step(key) + found;
      }
    }
  }
  return undefined;
}

/**
 * Refuses a run that @openai/agents must not go on with, in the order of docs/run-state.md.
 *
 * @throws {CrossingError} a completed run, what binds the run to its language, then what TypeScript
 * has no form for.
 * @throws {DocumentError} `unsafe-integer`
 */
export function checkCrossing(document: PortableRunState, options: StateOptions): void {
  checkBound(document, options);
  const levels = [...runs(document)];
  levels.forEach(checkApprovals);
  levels.forEach(checkWaiting);
  levels.forEach(checkItems);
  checkDecisions(document);
  for (const level of levels) {
    checkContext(level, options);
  }
  const { residue: _residue, writer: _writer, ...core } = document;
  const pointer = unsafeInteger(core);
  if (pointer !== undefined) {
    throw new DocumentError(
      `${pointer} is an integer that JavaScript cannot hold exactly`,
      'unsafe-integer',
      { pointer },
    );
  }
}
