/** A model of Ollama behind the SDK's `Model` interface. */
import type {
  GenerationSpanData,
  Model,
  ModelRequest,
  ModelResponse,
  ModelRetryAdvice,
  ModelRetryAdviceRequest,
  protocol,
  Span,
} from '@openai/agents';
import type { Ollama } from 'ollama';
import { OllamaError } from '../../errors.js';
import type { Obj } from '../../state/json.js';
import { chat, stream, type Transport } from './client.js';
import { callIds } from './messages.js';
import { buildRequest, type OllamaRequest, type StructuredOutput } from './request.js';
import { Answer, CallIds, newId, rawUsage, toItems, toUsage, unfence } from './response.js';
import { fits } from './schema.js';
import { EventWriter } from './stream.js';

/** Options of {@link OllamaModel} that a provider passes on. */
export interface OllamaModelOptions {
  /** How an output schema reaches the model; `auto` when absent. */
  structuredOutput?: StructuredOutput;
  /** Makes the 24 hexadecimal digits of call ids the server did not give. */
  newId?: () => string;
  /** Told, once for each model object, of settings the chat API cannot honour; else the log is. */
  onWarning?: (warning: string) => void;
}

/**
 * The model `model` of a server, asked over Ollama's native chat API.
 *
 * `ollamaClient` is an `Ollama` of the `ollama` package, release 0.6, or a function that gives one
 * when it is needed. `cloud` says that the model runs at ollama.com, which does not enforce output
 * schemas.
 */
export class OllamaModel implements Model {
  readonly model: string;
  readonly #client: () => Ollama | Promise<Ollama>;
  readonly #cloud: boolean;
  readonly #structuredOutput: StructuredOutput;
  readonly #newId: () => string;
  readonly #onWarning: ((warning: string) => void) | undefined;
  readonly #warned = new Set<string>();

  constructor(
    model: string,
    ollamaClient: Ollama | (() => Ollama | Promise<Ollama>),
    options: OllamaModelOptions & { cloud?: boolean } = {},
  ) {
    this.model = model;
    this.#client = typeof ollamaClient === 'function' ? ollamaClient : () => ollamaClient;
    this.#cloud = options.cloud ?? false;
    this.#structuredOutput = options.structuredOutput ?? 'auto';
    this.#newId = options.newId ?? newId;
    this.#onWarning = options.onWarning;
  }

  /**
   * The whole answer.
   *
   * @throws ModelError for what cannot be asked, OllamaError where the server fails, and the SDK's
   * `ModelBehaviorError` where the length limit left nothing to see.
   */
  async getResponse(request: ModelRequest): Promise<ModelResponse> {
    const asked = await this.#build(request);
    const { withGenerationSpan } = await import('@openai/agents');
    if (!request.tracing) {
      return this.#answer(request, asked, undefined);
    }
    return withGenerationSpan(async (span) => {
      try {
        return await this.#answer(request, asked, span);
      } catch (error) {
        traceFailure(span, request, error);
        throw error;
      }
    });
  }

  /**
   * The answer as events, the last `response_done`.
   *
   * A server that refuses does so before any event. The connection is closed when the iterator is.
   *
   * @throws What {@link getResponse} throws.
   */
  async *getStreamedResponse(
    request: ModelRequest,
  ): AsyncGenerator<protocol.StreamEvent, void, undefined> {
    const asked = await this.#build(request);
    const { createGenerationSpan, resetCurrentSpan, setCurrentSpan } = await import(
      '@openai/agents'
    );
    const span = request.tracing ? createGenerationSpan() : undefined;
    if (span) {
      span.start();
      setCurrentSpan(span);
    }
    try {
      yield* this.#events(request, asked, span);
    } catch (error) {
      traceFailure(span, request, error);
      throw error;
    } finally {
      if (span) {
        span.end();
        resetCurrentSpan();
      }
    }
  }

  /** Whether asking again may help. The server keeps nothing, so asking twice is safe. */
  getRetryAdvice({ error }: ModelRetryAdviceRequest): ModelRetryAdvice | undefined {
    if (!(error instanceof OllamaError)) {
      return undefined;
    }
    const { code, message, retryable, status } = error;
    return {
      suggested: retryable,
      replaySafety: 'safe',
      reason: message,
      normalized: {
        ...(status === undefined ? {} : { statusCode: status }),
        errorCode: code,
        isNetworkError: code === 'ollama-unreachable' || code === 'ollama-stream-ended',
      },
    };
  }

  async #answer(
    request: ModelRequest,
    asked: OllamaRequest,
    span: Span<GenerationSpanData> | undefined,
  ): Promise<ModelResponse> {
    this.#describe(span, request, asked);
    const ids = new CallIds(callIds(request.input), this.#newId);
    const counts: Obj[] = [];
    let answer = new Answer();
    for (const payload of asked.attempts) {
      answer = new Answer(answer.thinking);
      answer.add(await chat(await this.#client(), payload, transportOf(request, asked)), ids);
      counts.push(await answer.check());
      if (await isFinal(answer, asked)) {
        break;
      }
    }
    unfenceAnswer(answer, asked);
    traceAnswer(span, request, answer, counts);
    const { Usage } = await import('@openai/agents');
    return {
      usage: new Usage(toUsage(counts)),
      output: toItems(answer, this.model),
      ...(request.modelSettings.preserveRawUsage ? { rawUsage: rawUsage(counts) } : {}),
    };
  }

  async *#events(
    request: ModelRequest,
    asked: OllamaRequest,
    span: Span<GenerationSpanData> | undefined,
  ): AsyncGenerator<protocol.StreamEvent, void, undefined> {
    this.#describe(span, request, asked);
    const ids = new CallIds(callIds(request.input), this.#newId);
    const holdText = asked.unfence || asked.attempts.length > 1;
    const writer = new EventWriter(this.model, { holdText });
    const counts: Obj[] = [];
    let answer = new Answer();
    for (const payload of asked.attempts) {
      answer = new Answer(answer.thinking);
      const chunks = stream(await this.#client(), payload, transportOf(request, asked));
      for await (const chunk of chunks) {
        yield* writer.add(chunk, answer.add(chunk, ids));
      }
      counts.push(await answer.check());
      if (await isFinal(answer, asked)) {
        break;
      }
    }
    unfenceAnswer(answer, asked);
    traceAnswer(span, request, answer, counts);
    yield* writer.finish(answer, counts, request.modelSettings);
  }

  async #build(request: ModelRequest): Promise<OllamaRequest> {
    const asked = buildRequest(this.model, request, {
      structuredOutput: this.#structuredOutput,
      cloud: this.#cloud,
    });
    const unused = (['previousResponseId', 'conversationId', 'prompt'] as const)
      .filter((name) => request[name] !== undefined && request[name] !== null)
      .map((name) => `${name} is ignored; Ollama keeps nothing between requests`);
    for (const warning of [...asked.warnings, ...unused]) {
      if (!this.#warned.has(warning)) {
        this.#warned.add(warning);
        await this.#warn(warning);
      }
    }
    return asked;
  }

  async #warn(warning: string): Promise<void> {
    if (this.#onWarning !== undefined) {
      this.#onWarning(warning);
      return;
    }
    const { getLogger } = await import('@openai/agents');
    getLogger('timestep:models:ollama').warn(`${this.model}: ${warning}`);
  }

  #describe(
    span: Span<GenerationSpanData> | undefined,
    request: ModelRequest,
    asked: OllamaRequest,
  ): void {
    if (span !== undefined) {
      const { temperature, topP, frequencyPenalty, presencePenalty, reasoning } =
        request.modelSettings;
      span.spanData.model = this.model;
      span.spanData.model_config = {
        temperature,
        top_p: topP,
        frequency_penalty: frequencyPenalty,
        presence_penalty: presencePenalty,
        reasoning_effort: reasoning?.effort,
      };
      if (request.tracing === true) {
        span.spanData.input = asked.attempts[0].messages as Obj[];
      }
    }
  }
}

function transportOf({ signal }: ModelRequest, { headers, query }: OllamaRequest): Transport {
  return { headers, query, signal };
}

/** Whether the answer has calls, or a text that fits the schema. */
async function isFinal(answer: Answer, { schema }: OllamaRequest): Promise<boolean> {
  return answer.calls.length > 0 || schema === undefined || (await fits(answer.text, schema));
}

function unfenceAnswer(answer: Answer, asked: OllamaRequest): void {
  if (asked.unfence && answer.calls.length === 0) {
    answer.content = unfence(answer.content);
  }
}

function traceAnswer(
  span: Span<GenerationSpanData> | undefined,
  request: ModelRequest,
  answer: Answer,
  counts: readonly Obj[],
): void {
  if (span === undefined) {
    return;
  }
  const { requests, inputTokens, outputTokens, totalTokens } = toUsage(counts);
  span.spanData.usage = {
    requests,
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    total_tokens: totalTokens,
  };
  if (request.tracing === true) {
    const message: Obj = { role: 'assistant', content: answer.text };
    if (answer.thinking !== '') {
      message.thinking = answer.thinking;
    }
    if (answer.calls.length > 0) {
      message.tool_calls = answer.calls.map(({ callId, ...call }) => ({ id: callId, ...call }));
    }
    span.spanData.output = [message];
  }
}

function traceFailure(
  span: Span<GenerationSpanData> | undefined,
  request: ModelRequest,
  error: unknown,
): void {
  const name = error instanceof Error ? error.name : typeof error;
  span?.setError({
    message: 'The model did not answer',
    data: { error: request.tracing === true ? String(error) : name },
  });
}
