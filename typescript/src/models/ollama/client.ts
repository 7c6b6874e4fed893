/**
 * The official `ollama` client as a transport: raw JSON out, raw JSON in.
 *
 * The client of 0.6 does hosts, headers and HTTP. The rest of it cannot be used as it is:
 *
 * - it takes a string among `images` for a path and sends the file, and it writes into the request
 *   it is given: it gets copies, with images as bytes;
 * - a request that is not streamed cannot be cancelled, and `abort()` ends all streams at once: a
 *   request goes through a `fetch` of its own, which takes a signal and extra headers;
 * - an error in the middle of a stream is a plain `Error`, a line that is no JSON only a warning on
 *   the console, and a refusal in plain text writes to the console: answers are read here;
 * - `JSON.parse` rounds large integers in the arguments of calls: they are kept as digits.
 *
 * `config`, `fetch` and `ongoingStreamedRequests` are protected fields of the client. They are
 * touched in this file only, and tests fail on the day one of the reasons is gone.
 */
import type { ChatRequest, Ollama } from 'ollama';
import { OllamaError } from '../../errors.js';
import { isObj, type Obj, obj, str } from '../../state/json.js';
import { connectionError, invalidAnswer, refusal, reported } from './failures.js';
import { parseExact, unmark } from './numbers.js';

/** What goes with a request beside its body. */
export interface Transport {
  /** HTTP headers, over those of the client. */
  headers?: Readonly<Record<string, string>>;
  /** Query parameters. */
  query?: Readonly<Record<string, unknown>>;
  /** Closes the connection. */
  signal?: AbortSignal;
}

/** Milliseconds a finished stream has to end by itself before it is cut. */
const GRACE = 500;

/** A client for `host` that sends `apiKey`, if any. */
export async function createClient(host: string, apiKey?: string): Promise<Ollama> {
  const { Ollama } = await import('ollama');
  return new Ollama({
    host,
    headers: apiKey ? { Authorization: `Bearer ${apiKey}` } : {},
    fetch: (...request) => globalThis.fetch(...request),
  });
}

/** Where a client sends its requests, as far as it says. */
export function hostOf(client: Ollama): string {
  return str(obj((client as unknown as Obj).config).host) ?? '';
}

/**
 * The answer to `payload` as the server sent it.
 *
 * @throws OllamaError, and the signal's reason where it was aborted.
 */
export async function chat(client: Ollama, payload: Obj, transport: Transport = {}): Promise<Obj> {
  const exchange = new Exchange(client, transport);
  try {
    const response = await exchange.post({ ...payload, stream: false });
    return parse(await exchange.text(response));
  } finally {
    exchange.close();
  }
}

/**
 * The chunks of the answer to `payload`, up to the one that says it is done. The connection is
 * closed when the generator is, however it ends.
 *
 * @throws OllamaError, also for an error line and for a stream that ends before it is done; and
 * the signal's reason where it was aborted.
 */
export async function* stream(
  client: Ollama,
  payload: Obj,
  transport: Transport = {},
): AsyncGenerator<Obj, void, undefined> {
  const exchange = new Exchange(client, transport);
  try {
    const response = await exchange.post({ ...payload, stream: true });
    for await (const line of exchange.lines(response)) {
      const chunk = parse(line);
      if (chunk.done === true) {
        exchange.finish();
      }
      yield chunk;
      if (chunk.done === true) {
        return;
      }
    }
  } finally {
    exchange.close();
  }
  throw new OllamaError(
    'The stream ended early, before the server said it was done.',
    'ollama-stream-ended',
    { retryable: true },
  );
}

function parse(text: string): Obj {
  let answer: unknown;
  try {
    answer = parseExact(text);
  } catch {
    throw invalidAnswer(text);
  }
  if (!isObj(answer)) {
    throw invalidAnswer(text);
  }
  if (answer.error) {
    throw reported(answer);
  }
  return answer;
}

/** One request and its answer, on a connection that can be cut. */
class Exchange {
  readonly #client: Ollama;
  readonly #transport: Transport;
  readonly #cut = new AbortController();
  readonly #forward = () => this.#cut.abort(this.#transport.signal?.reason);
  #address = '';
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #progress: 'open' | 'finished' | 'ended' = 'open';

  constructor(client: Ollama, transport: Transport) {
    this.#client = client;
    this.#transport = transport;
    transport.signal?.throwIfAborted();
    transport.signal?.addEventListener('abort', this.#forward, { once: true });
  }

  /** The response to `payload`, its body not read. */
  async post(payload: Obj): Promise<Response> {
    const { fetch: send } = this.#client as unknown as { fetch?: typeof fetch };
    if (typeof send !== 'function') {
      throw new TypeError('ollamaClient is not a client of an ollama release this package knows.');
    }
    let response: Response | undefined;
    const view: Ollama = Object.create(this.#client, {
      fetch: {
        value: async (url: string, init: RequestInit) => {
          response = await this.#send(send, new URL(url), init);
          return new Response('{}'); // what the client reads; the answer is read here
        },
      },
      ongoingStreamedRequests: { value: [] },
    });
    await view.chat(structuredClone(payload) as unknown as ChatRequest & { stream: false });
    if (response === undefined) {
      throw new TypeError('ollamaClient did not use its fetch to ask the server.');
    }
    if (!response.ok) {
      throw refusal(response.status, await this.text(response));
    }
    return response;
  }

  /** The whole body. */
  async text(response: Response): Promise<string> {
    const text = await this.#read(response.text());
    this.#progress = 'ended';
    return text;
  }

  /** Non-blank lines. Only a line feed ends one: U+2028 may stand in a JSON string. */
  async *lines(response: Response): AsyncGenerator<string, void, undefined> {
    if (response.body === null) {
      return;
    }
    this.#reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    for (let done = false; !done; ) {
      const part = await this.#read(this.#reader.read());
      done = part.done;
      const text = part.done ? decoder.decode() : decoder.decode(part.value, { stream: true });
      rest += text;
      if (done || text.includes('\n')) {
        const lines = rest.split('\n');
        rest = done ? '' : (lines.pop() ?? '');
        for (const line of lines) {
          if (line.trim() !== '') {
            yield line;
          }
        }
      }
    }
    this.#progress = 'ended';
  }

  /** Takes the answer for whole: nothing of what may follow is waited for. */
  finish(): void {
    this.#progress = 'finished';
  }

  /** Closes the connection, but where the answer was read to its end: it serves again then. */
  close(): void {
    this.#transport.signal?.removeEventListener('abort', this.#forward);
    const cut = () => this.#cut.abort();
    if (this.#progress === 'open') {
      cut();
    } else if (this.#progress === 'finished') {
      const timer = setTimeout(cut, GRACE);
      this.#reader
        ?.read()
        .then(({ done }) => done || cut(), cut)
        .finally(() => clearTimeout(timer));
    }
  }

  /** What the server sends; a broken connection is an error of its own. */
  async #read<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      this.#transport.signal?.throwIfAborted();
      throw connectionError(error, this.#address);
    }
  }

  async #send(send: typeof fetch, url: URL, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (url.username !== '') {
      // fetch takes no credentials in a URL.
      const pair = [url.username, url.password].map(decodeURIComponent).join(':');
      headers.set('authorization', `Basic ${Buffer.from(pair).toString('base64')}`);
      url.username = '';
      url.password = '';
    }
    this.#address = url.href.replace(/\/api\/chat$/, '');
    for (const [name, value] of Object.entries(this.#transport.headers ?? {})) {
      headers.set(name, value);
    }
    for (const [name, value] of Object.entries(this.#transport.query ?? {})) {
      url.searchParams.append(name, String(value));
    }
    const body = unmark(String(init.body));
    const request = { ...init, headers, body, signal: this.#cut.signal };
    return this.#read(send(url.href, request));
  }
}
