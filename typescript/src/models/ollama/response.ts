/** An answer of the chat API, as output items and usage of the SDK. */
import type { protocol } from '@openai/agents';
import { OllamaError } from '../../errors.js';
import { isObj, type Obj, obj, objs, str } from '../../state/json.js';
import { parseExact, stringifyExact } from './numbers.js';

/** The SDK's id for items that have none; its OpenAI models leave it out again. */
const PLACEHOLDER_ID = 'FAKE_ID';

const FENCE = /^\s*```[\w-]*[^\S\n]*\n([\s\S]*?)\s*```\s*$/;

/** 24 random hexadecimal digits. */
export function newId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString('hex');
}

/**
 * The ids of one response's calls, unique in the run.
 *
 * Both SDKs take a call whose id they have seen for a replay and do not run it. So the server's id
 * is kept only where it is new; `newId` makes the digits of the others.
 */
export class CallIds {
  readonly #used: Set<string>;
  readonly #newId: () => string;

  constructor(used: ReadonlySet<string>, makeId: () => string = newId) {
    this.#used = new Set(used);
    this.#newId = makeId;
  }

  /** The server's id, or a new one. */
  take(given: unknown): string {
    let id = str(given) ?? '';
    while (id === '' || this.#used.has(id)) {
      id = `call_${this.#newId()}`;
    }
    this.#used.add(id);
    return id;
  }
}

/** A call of the model; `arguments` is compact JSON. */
export interface Call {
  callId: string;
  name: string;
  arguments: string;
}

/** What a chunk adds to an answer. */
export interface Part {
  thinking: string;
  content: string;
  logprobs: Obj[];
}

/** What the model has thought, said and called so far. */
export class Answer {
  thinking: string;
  content = '';
  readonly calls: Call[] = [];
  readonly logprobs: Obj[] = [];
  /** The object that ended the answer, which alone has counts and the reason. */
  done: Obj | undefined;

  /** @param thinking - What the model thought in an attempt before. */
  constructor(thinking = '') {
    this.thinking = thinking;
  }

  /** The content, but for white space in front of calls. */
  get text(): string {
    return this.calls.length > 0 && this.content.trim() === '' ? '' : this.content;
  }

  /** Adds a chunk, and says what it brought beside calls. */
  add(chunk: Obj, ids: CallIds): Part {
    const message = obj(chunk.message);
    const part = {
      thinking: str(message.thinking) ?? '',
      content: str(message.content) ?? '',
      logprobs: objs(chunk.logprobs).map(toLogprob),
    };
    this.thinking += part.thinking;
    this.content += part.content;
    this.logprobs.push(...part.logprobs);
    this.calls.push(...objs(message.tool_calls).map((call) => toCall(call, ids)));
    if (chunk.done === true) {
      this.done = chunk;
    }
    return part;
  }

  /**
   * The object that ended the answer.
   *
   * @throws OllamaError where the server did not finish or only loaded the model, and the SDK's
   * `ModelBehaviorError`, as of its own chat model, where the length limit left nothing to see.
   */
  async check(): Promise<Obj> {
    if (this.done === undefined) {
      throw new OllamaError(
        'The answer is not complete: the server did not say it was done.',
        'ollama-stream-ended',
        { retryable: true },
      );
    }
    const reason = this.done.done_reason;
    if (reason === 'load' || reason === 'unload') {
      throw new OllamaError(
        `The server only ${reason}ed the model and answered nothing.`,
        'ollama-not-run',
        { body: this.done },
      );
    }
    if (reason === 'length' && this.text === '' && this.calls.length === 0) {
      const { ModelBehaviorError } = await import('@openai/agents');
      throw new ModelBehaviorError(
        "The model reached its length limit before any text or call (done_reason 'length').",
      );
    }
    return this.done;
  }
}

/**
 * The items of an answer: reasoning, message, calls, each where there is one.
 *
 * The model's name stands where the portable form and openai-agents keep it, in `provider_data`,
 * so that both ports know the thinking of such a model again and keep it from OpenAI.
 */
export function toItems(answer: Answer, model: string): protocol.OutputModelItem[] {
  const base = () => ({ id: PLACEHOLDER_ID, providerData: { provider_data: { model } } });
  const items: protocol.OutputModelItem[] = [];
  if (answer.thinking !== '') {
    const content = [{ type: 'reasoning_text' as const, text: answer.thinking }];
    const { providerData } = base();
    // Without an id: the SDK takes reasoning items of one id, the placeholder too, for one item.
    items.push({
      type: 'reasoning',
      content: [],
      rawContent: content,
      providerData: { content, ...providerData },
    });
  }
  if (answer.text !== '') {
    const providerData = { annotations: [], logprobs: answer.logprobs };
    items.push({
      ...base(),
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: answer.text, providerData }],
    });
  }
  return [
    ...items,
    ...answer.calls.map((call) => ({ ...base(), type: 'function_call' as const, ...call })),
  ];
}

/** Token counts of one or more requests, in the form of the SDK's usage data. */
export interface UsageCounts {
  requests: number;
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  inputTokensDetails: { cached_tokens: number; cache_write_tokens: number };
  outputTokensDetails: { reasoning_tokens: number };
}

/** The usage of one or more requests. A count the server left out is zero, never a guess. */
export function toUsage(answers: readonly Obj[]): UsageCounts {
  const sum = (name: string) =>
    answers.reduce(
      (total, { [name]: value }) => total + (typeof value === 'number' ? value : 0),
      0,
    );
  const inputTokens = sum('prompt_eval_count');
  const outputTokens = sum('eval_count');
  return {
    requests: answers.length,
    inputTokens,
    outputTokens,
    totalTokens: inputTokens + outputTokens,
    // openai-agents always counts tokens written to a cache; Ollama does not tell.
    inputTokensDetails: { cached_tokens: sum('prompt_eval_cached_count'), cache_write_tokens: 0 },
    outputTokensDetails: { reasoning_tokens: 0 },
  };
}

/** The counts and durations as the server gave them, of the last request. */
export function rawUsage(answers: readonly Obj[]): Obj {
  return Object.fromEntries(
    Object.entries(answers.at(-1) ?? {}).filter(([name]) => /_(count|duration)$/.test(name)),
  );
}

/** The text without one code fence around all of it. */
export function unfence(text: string): string {
  return FENCE.exec(text)?.[1] ?? text;
}

function toCall(call: Obj, ids: CallIds): Call {
  const { name, arguments: given } = obj(call.function);
  return { callId: ids.take(call.id), name: str(name) ?? '', arguments: toArguments(given) };
}

/** Arguments as compact JSON of an object: some models give null, or JSON in a string. */
function toArguments(value: unknown): string {
  if (isObj(value)) {
    return stringifyExact(value);
  }
  if (value === undefined || value === null) {
    return '{}';
  }
  const parsed = typeof value === 'string' ? parsedObject(value) : undefined;
  return stringifyExact(parsed ?? { value });
}

function parsedObject(text: string): Obj | undefined {
  try {
    const value = parseExact(text);
    return isObj(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function toLogprob(entry: Obj): Obj {
  return { ...toToken(entry), top_logprobs: objs(entry.top_logprobs).map(toToken) };
}

function toToken(entry: Obj): Obj {
  const token = str(entry.token) ?? '';
  return {
    token,
    bytes: entry.bytes ?? [...new TextEncoder().encode(token)],
    logprob: entry.logprob ?? 0,
  };
}
