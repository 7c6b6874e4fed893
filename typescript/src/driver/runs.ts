/** The operations that run agents: start, advance, decide, input. */
import { AgentsError, MaxTurnsExceededError, RunState } from '@openai/agents';
import { OpenAIError } from 'openai';
import { InterruptionException, ModelError } from '../errors.js';
import { consumeResult, runAgent } from '../run.js';
import type { Case } from './case.js';
import { isRow, type Row, row, text } from './json.js';
import { type AnyState, callId, failed, finished, position } from './outcome.js';
import { Failure, requiredText } from './protocol.js';
import type { AnyAgent } from './stubs.js';
import { inputItems } from './wire.js';

const DEFAULT_MAX_TURNS = 10;

function optionsOf(args: Row): Row {
  return {
    ...('max_turns' in args && { maxTurns: args.max_turns }),
    ...(isRow(args.context) && { context: args.context }),
    ...(text(args.conversation_id) && { conversationId: args.conversation_id }),
    ...(text(args.previous_response_id) && { previousResponseId: args.previous_response_id }),
    ...(args.raise_on_interruption === true && { raiseOnInterruption: true }),
  };
}

/**
 * A state as it is after one turn of a run that has a turn limit of `maxTurns`.
 *
 * The SDK has no way to stop between two turns but its turn limit, which is lowered for it. The
 * limit is put back here, and the turn that was counted before the limit was seen is taken back.
 */
async function afterOneTurn(
  stopped: AnyState,
  agent: AnyAgent,
  currentTurn: number,
  maxTurns: unknown,
): Promise<AnyState> {
  const snapshot = { ...position(stopped), currentTurn, maxTurns };
  return RunState.fromString<unknown, AnyAgent>(agent, JSON.stringify(snapshot));
}

async function run(
  open: Case,
  given: string | ReturnType<typeof inputItems> | AnyState,
  args: Row,
  signal: AbortSignal,
): Promise<Row> {
  const before = given instanceof RunState ? position(given) : undefined;
  const turn = Number(before?.currentTurn ?? 0);
  const options = optionsOf(args);
  const limit = 'maxTurns' in options ? options.maxTurns : before?.maxTurns;
  const maxTurns = limit === undefined ? DEFAULT_MAX_TURNS : limit;
  const oneTurn = args.until === 'turn';
  // A turn that waits for decisions is not over: it is the one to finish.
  const lastTurn = row(before?.currentStep)?.type === 'next_step_interruption' ? turn : turn + 1;
  const stopped = (state: AnyState) => afterOneTurn(state, open.agent, lastTurn, maxTurns);
  try {
    const result = await consumeResult(
      await runAgent(open.agent, given, {
        ...options,
        ...(oneTurn && { maxTurns: lastTurn }),
        ...(open.session && { session: open.session }),
        stream: args.stream === true,
        signal,
        modelProvider: open.provider,
        runConfig: { tracingDisabled: !open.tracing },
      }),
    );
    const state = result.state as AnyState;
    open.state = oneTurn && result.interruptions.length > 0 ? await stopped(state) : state;
    return finished(result, open.state);
  } catch (error) {
    if (error instanceof InterruptionException) {
      open.state = error.state;
      throw error;
    }
    if (oneTurn && error instanceof MaxTurnsExceededError && error.state !== undefined) {
      open.state = await stopped(error.state);
      return finished({ lastAgent: error.state.currentAgent }, open.state);
    }
    if ([AgentsError, ModelError, OpenAIError].some((kind) => error instanceof kind)) {
      return failed(error, turn);
    }
    throw error;
  }
}

/** `run.start`: a new run of the root agent. */
export async function start(open: Case, args: Row, signal: AbortSignal): Promise<Row> {
  if (args.auto_previous_response_id === true) {
    const code = 'auto_previous_response_id';
    throw new Failure('unsupported', code, `this SDK has no ${code}`);
  }
  const input = text(args.input) ?? inputItems(args.input);
  return run(open, input, args, signal);
}

/** `run.advance`: the run goes on from where it is. */
export async function advance(open: Case, args: Row, signal: AbortSignal): Promise<Row> {
  return run(open, open.paused(), args, signal);
}

/** `run.decide`: a decision about one waiting call, or about every call of its tool. */
export async function decide(open: Case, args: Row): Promise<Row> {
  const state = open.paused();
  const wanted = requiredText(args, 'call_id');
  const waiting = state.getInterruptions().find((item) => callId(item) === wanted);
  if (waiting === undefined) {
    throw new Failure('protocol', 'unknown-call', `no call ${wanted} waits for a decision`);
  }
  const always = args.always === true;
  if (requiredText(args, 'decision') === 'approve') {
    state.approve(waiting, { alwaysApprove: always });
  } else {
    const message = text(args.message);
    state.reject(waiting, {
      alwaysReject: always,
      ...(message !== undefined && { message }),
    });
  }
  return {};
}

/** `run.input`: input for the next request to the model. */
export async function addInput(open: Case, args: Row): Promise<Row> {
  open.paused().addInput(inputItems(args.items));
  return {};
}
