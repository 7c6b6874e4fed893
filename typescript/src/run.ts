/** Running an agent with the official SDK, and draining what it streams. */
import type {
  Agent,
  AgentInputItem,
  ModelProvider,
  NonStreamRunOptions,
  RunConfig,
  RunHookEvents,
  Runner,
  RunResult,
  RunState,
  RunStreamEvent,
  StreamedRunResult,
} from '@openai/agents';
import { InterruptionException } from './errors.js';
import { MultiModelProvider } from './models/index.js';

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
type AnyAgent = Agent<any, any>;
// biome-ignore lint/suspicious/noExplicitAny: as above
type AnyResult = RunResult<any, any> | StreamedRunResult<any, any>;

/** Listeners for the events of one run, by the SDK's own event names. */
export type RunHooks = {
  [Name in keyof RunHookEvents<unknown>]?: (...details: RunHookEvents<unknown>[Name]) => void;
};

/**
 * Options of {@link runAgent}: those of the SDK's `Runner.run` (`session`, `context`, `maxTurns`,
 * `conversationId`, `signal`, ...) and the following. A resumed run keeps the turn limit in its
 * state unless `maxTurns` is given; `null` is no limit.
 */
export type RunAgentOptions<TContext, TAgent extends AnyAgent> = Omit<
  NonStreamRunOptions<TContext, TAgent>,
  'stream'
> & {
  /** Whether to stream: the result is then a `StreamedRunResult`. */
  stream?: boolean;
  /**
   * Looks models up by name; wins over the one in `runConfig`. With neither, a
   * `MultiModelProvider` does: what the SDK's `setDefaultModelProvider` set is not asked.
   */
  modelProvider?: ModelProvider;
  /** The SDK's run configuration; nothing else in it is changed. */
  runConfig?: Partial<RunConfig>;
  /** Listeners for the run's events. */
  hooks?: RunHooks;
  /**
   * Whether a run that stops for approvals throws {@link InterruptionException}; a streamed one
   * does so when {@link consumeResult} has drained it.
   */
  raiseOnInterruption?: boolean;
};

/** Called with every stream event, in order; may be async. */
export type EventHandler = (event: RunStreamEvent) => void | Promise<void>;

const raiseWhenDrained = new WeakSet<AnyResult>();

/**
 * A run of `agent` by the official SDK: its `RunResult`, or its `StreamedRunResult`.
 *
 * @param agent - The agent that starts.
 * @param input - Text, input items, or a run state to resume. With a session, input items come
 * after its history, unless a `sessionInputCallback` says otherwise.
 * @throws InterruptionException where `raiseOnInterruption` asks for it.
 */
export async function runAgent<TAgent extends AnyAgent, TContext = undefined>(
  agent: TAgent,
  input: string | AgentInputItem[] | RunState<TContext, TAgent>,
  options?: RunAgentOptions<TContext, TAgent> & { stream?: false },
): Promise<RunResult<TContext, TAgent>>;
export async function runAgent<TAgent extends AnyAgent, TContext = undefined>(
  agent: TAgent,
  input: string | AgentInputItem[] | RunState<TContext, TAgent>,
  options: RunAgentOptions<TContext, TAgent> & { stream: true },
): Promise<StreamedRunResult<TContext, TAgent>>;
export async function runAgent<TAgent extends AnyAgent, TContext = undefined>(
  agent: TAgent,
  input: string | AgentInputItem[] | RunState<TContext, TAgent>,
  options?: RunAgentOptions<TContext, TAgent>,
): Promise<RunResult<TContext, TAgent> | StreamedRunResult<TContext, TAgent>>;
export async function runAgent<TAgent extends AnyAgent, TContext = undefined>(
  agent: TAgent,
  input: string | AgentInputItem[] | RunState<TContext, TAgent>,
  options: RunAgentOptions<TContext, TAgent> = {},
): Promise<RunResult<TContext, TAgent> | StreamedRunResult<TContext, TAgent>> {
  const { stream, modelProvider, runConfig, hooks, raiseOnInterruption, ...runOptions } = options;
  const { Runner } = await import('@openai/agents');
  const runner = new Runner({
    ...runConfig,
    modelProvider: modelProvider ?? runConfig?.modelProvider ?? new MultiModelProvider(),
  });
  listen(runner, hooks);

  if (stream) {
    const result = await runner.run<TAgent, TContext>(agent, input, { ...runOptions, stream });
    if (raiseOnInterruption) {
      raiseWhenDrained.add(result);
    }
    return result;
  }
  const result = await runner.run<TAgent, TContext>(agent, input, runOptions);
  if (raiseOnInterruption) {
    throwIfInterrupted(result);
  }
  return result;
}

/**
 * The same result, drained: every event seen, the session written, all background work done.
 *
 * A result that was not streamed is handed back as it is; of one whose events another reader has,
 * only the end is awaited. `onEvent` gets every event in order and
 * is awaited where it is async. If it throws, it is called no more, the run is still drained to
 * its end so that nothing is left half done, and then its error is thrown.
 *
 * @throws The run's own error; an `AggregateError` of both where `onEvent` failed too; and
 * {@link InterruptionException} for a run started with `raiseOnInterruption`.
 */
export async function consumeResult<TResult extends AnyResult>(
  result: TResult,
  { onEvent }: { onEvent?: EventHandler } = {},
): Promise<TResult> {
  if (!isStreamed(result)) {
    return result;
  }

  const handlerErrors: unknown[] = [];
  try {
    for await (const event of eventsOf(result)) {
      if (onEvent !== undefined && handlerErrors.length === 0) {
        try {
          await onEvent(event);
        } catch (error) {
          handlerErrors.push(error);
        }
      }
    }
    await result.completed;
  } catch (error) {
    if (handlerErrors.length > 0) {
      throw new AggregateError([error, ...handlerErrors], 'the run and onEvent both failed');
    }
    throw error;
  }
  if (handlerErrors.length > 0) {
    throw handlerErrors[0];
  }

  if (raiseWhenDrained.has(result)) {
    throwIfInterrupted(result);
  }
  return result;
}

/** The events nobody else reads: a stream has one reader, and the run goes on without any. */
function eventsOf(
  result: StreamedRunResult<unknown, AnyAgent>,
): AsyncIterable<RunStreamEvent> | RunStreamEvent[] {
  const stream: object = result.toStream(); // the SDK's type of it has no `locked`
  return 'locked' in stream && stream.locked ? [] : result;
}

function isStreamed(result: AnyResult): result is StreamedRunResult<unknown, AnyAgent> {
  return 'completed' in result;
}

function listen(runner: Runner, hooks: RunHooks = {}): void {
  for (const [name, listener] of Object.entries(hooks)) {
    runner.on(name as keyof RunHookEvents, listener as (...details: unknown[]) => void);
  }
}

function throwIfInterrupted(result: AnyResult): void {
  const { interruptions, state } = result;
  if (interruptions.length > 0) {
    throw new InterruptionException({ interruptions, state, result });
  }
}
