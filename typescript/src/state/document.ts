/**
 * The portable document: its types, and whether a value is one.
 */
import { createRequire } from 'node:module';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import { DocumentError } from '../errors.js';
import type { PortableRunState } from '../generated/runState.js';
import { runStateSchema } from '../generated/runStateSchema.js';

export type {
  Decision,
  NestedRun,
  PortableRunState,
  RunItem,
  ToolKey,
  Usage,
  WireItem,
} from '../generated/runState.js';

/** What marks a document as a portable run state. */
export const FORMAT = 'timestep.run_state';

/** The version of the format this port writes; it reads every one up to it. */
export const VERSION = '1';

/** A converted snapshot or document. */
export interface Converted<T = Record<string, unknown>> {
  /** The result: a portable document or a native snapshot. */
  readonly document: T;
  /** JSON Pointers of what did not come along; see docs/run-state.md. */
  readonly lossy: readonly string[];
  /** Whether a live agent graph was there to check against. */
  readonly checked: boolean;
}

/** Options of the conversions. */
export interface StateOptions {
  /** A snapshot of schema 1.20 or older: its input guardrails had completed. */
  assumeInputGuardrailsCompleted?: boolean;
  /** A snapshot of schema 1.20 or older: none of its calls is served by a local MCP server. */
  assumeNoLocalMcp?: boolean;
  /** The application's run context, replacing the one in the document. */
  context?: unknown;
}

let compiled: ValidateFunction | undefined;

function validator(): ValidateFunction {
  if (!compiled) {
    // Loaded on first use and synchronously, so that importing the package stays cheap.
    const require = createRequire(import.meta.url);
    const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js');
    compiled = new Ajv2020({ strict: false, discriminator: false }).compile(runStateSchema);
  }
  return compiled;
}

function describe(error: ErrorObject): string {
  const extra = 'additionalProperty' in error.params ? ` (${error.params.additionalProperty})` : '';
  return `${error.instancePath || 'the document'} ${error.message ?? 'is invalid'}${extra}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a value that is no portable run state looks like, in words, when it can be told. */
function lookalike(value: Record<string, unknown>): string {
  const schema = String(value.$schemaVersion);
  if ('currentTurn' in value) {
    return `this is a raw @openai/agents snapshot (schema ${schema})`;
  }
  if ('current_turn' in value && '$schemaVersion' in value) {
    return `this is a raw openai-agents snapshot of Python (schema ${schema})`;
  }
  return 'this is no portable run state';
}

/** Things JSON Schema cannot say: the response's range lies inside the history. */
function checkRange(run: Pick<PortableRunState, 'items' | 'response'>, at: string): void {
  const { response, items } = run;
  if (response === null) {
    return;
  }
  if ((response.start ?? 0) + (response.count ?? 0) > items.length) {
    throw new DocumentError(`${at}/response ends beyond the last item`, 'malformed', {
      pointer: `${at}/response`,
    });
  }
  for (const [callId, nested] of Object.entries(response.nested_runs ?? {})) {
    const step = callId.replaceAll('~', '~0').replaceAll('/', '~1');
    checkRange(nested, `${at}/response/nested_runs/${step}`);
  }
}

/**
 * Checks that a value is a portable run state.
 *
 * @throws {DocumentError} `not-a-run-state`, `newer-version`, or `malformed` with the JSON Pointer
 * of the first place at fault.
 */
export function validate(document: unknown): asserts document is PortableRunState {
  if (!isObject(document)) {
    throw new DocumentError('a portable run state is a JSON object', 'malformed', { pointer: '' });
  }
  if (document.format !== FORMAT) {
    throw new DocumentError(lookalike(document), 'not-a-run-state', { pointer: '/format' });
  }
  const version = document.version;
  if (
    typeof version === 'string' &&
    /^[0-9]+$/.test(version) &&
    Number(version) > Number(VERSION)
  ) {
    throw new DocumentError(
      `the document has version ${version}; this port reads up to ${VERSION}`,
      'newer-version',
      { pointer: '/version' },
    );
  }
  const check = validator();
  if (!check(document)) {
    const error = check.errors?.[0];
    throw new DocumentError(error ? describe(error) : 'the document is invalid', 'malformed', {
      pointer: error?.instancePath ?? '',
    });
  }
  checkRange(document as unknown as PortableRunState, '');
}
