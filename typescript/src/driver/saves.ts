/** The operations that keep a run: save and load. */
import { readFile } from 'node:fs/promises';
import { RunContext, RunState } from '@openai/agents';
import { digest, dumpRunState, loadRunState, type StateOptions, toNative } from '../state/index.js';
import type { Case } from './case.js';
import { stateOptions } from './convert.js';
import { isRow, type Row, row } from './json.js';
import { type AnyState, interruptions, position } from './outcome.js';
import { Failure, requiredText } from './protocol.js';
import type { AnyAgent } from './stubs.js';

function unknownForm(form: string): Failure {
  return new Failure('protocol', 'bad-request', `there is no form ${form}`);
}

/** `state.save`: the run as a document, as the SDK's own snapshot, or in a file. */
export async function save(open: Case, args: Row): Promise<Row> {
  const state = open.paused();
  const form = requiredText(args, 'form');
  switch (form) {
    case 'native':
      return { payload: position(state) };
    case 'portable': {
      const { document, lossy } = dumpRunState(state);
      return { payload: document, digest: digest(document), lossy };
    }
    case 'file': {
      const path = open.path(args);
      await open.file(args).save(state);
      return { digest: digest(JSON.parse(await readFile(path, 'utf8'))) };
    }
    default:
      throw unknownForm(form);
  }
}

async function loadNative(open: Case, payload: unknown, context: unknown): Promise<AnyState> {
  const snapshot = JSON.stringify(payload);
  return context === undefined
    ? RunState.fromString(open.agent, snapshot)
    : RunState.fromStringWithContext<unknown, AnyAgent>(
        open.agent,
        snapshot,
        new RunContext(context),
        { contextStrategy: 'replace' },
      );
}

/** `state.load`: a kept run becomes the run of the case. */
export async function load(open: Case, args: Row): Promise<Row> {
  const form = requiredText(args, 'form');
  // Damaged on purpose in negative cases: the port is the one to refuse it.
  const payload = args.payload as Row;
  const options: StateOptions = {
    ...stateOptions(row(args.options) ?? {}),
    ...(isRow(args.context) && { context: args.context }),
  };
  let lossy: readonly string[] = [];
  let state: AnyState;
  switch (form) {
    case 'native':
      state = await loadNative(open, payload, options.context);
      break;
    case 'portable':
      state = await loadRunState<unknown, AnyAgent>(payload, open.agent, options);
      lossy = toNative(payload, open.agent, options).lossy;
      break;
    case 'file':
      state = await open.file(args).load(options);
      break;
    default:
      throw unknownForm(form);
  }
  open.state = state;
  return {
    interruptions: interruptions(state),
    current_agent: row(position(state).currentAgent)?.name,
    lossy,
  };
}
