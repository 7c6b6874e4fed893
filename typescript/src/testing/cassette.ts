/** A cassette behind `fetch`: plays what was recorded, or records what a server answers. */
import { readFile, writeFile } from 'node:fs/promises';
import { setImmediate as tick } from 'node:timers/promises';
import { type Entry, type Interaction, read, write } from './file.js';
import {
  type Asked,
  difference,
  isRow,
  keptHeaders,
  parsed,
  pathOf,
  pieces,
  REQUEST_HEADERS,
  RESPONSE_HEADERS,
} from './matching.js';

/** Options of {@link openCassette}. */
export interface CassetteOptions {
  /**
   * `none` (the default) plays only, and a request that was not recorded is answered with an
   * error; `once` records a file that does not exist.
   */
  record?: 'none' | 'once';
  /** Cuts streamed bodies into pieces of this many bytes, in place of the recorded ones. */
  split?: number;
  /** Sends what is recorded; the global `fetch` by default. */
  fetch?: typeof fetch;
}

/**
 * Opens the cassette at `path`.
 *
 * @throws {Error} of the file system where there is no such file and nothing is to be recorded.
 */
export async function openCassette(path: string, options: CassetteOptions = {}): Promise<Cassette> {
  try {
    return new Cassette(path, read(await readFile(path, 'utf8')), options);
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!absent || options.record !== 'once') {
      throw error;
    }
    return new Cassette(path, undefined, options);
  }
}

/** An open cassette. Every interaction is played once; the first that fits is taken. */
export class Cassette {
  /** To be given to a client in place of `fetch`. */
  readonly fetch: typeof fetch;
  /** Turns that were not played yet. */
  get unused(): number[] {
    const turns = new Set((this.#interactions ?? []).map(({ turn }) => turn));
    return [...turns].filter((turn) => !this.#played.has(turn));
  }

  readonly #path: string;
  readonly #interactions: readonly Interaction[] | undefined;
  readonly #options: CassetteOptions;
  readonly #played = new Set<number>();
  readonly #entries: Promise<Entry>[] = [];

  /** `interactions` to play; undefined to record. */
  constructor(
    path: string,
    interactions: readonly Interaction[] | undefined,
    options: CassetteOptions = {},
  ) {
    this.#path = path;
    this.#interactions = interactions;
    this.#options = options;
    this.fetch = async (input, init) => {
      const request = new Request(input, init);
      request.signal.throwIfAborted();
      const body = await request.text();
      const asked = { method: request.method, uri: request.url, body: body === '' ? null : body };
      return this.#interactions === undefined
        ? this.#record(asked, request)
        : this.#play(asked, request.signal);
    };
  }

  /** Writes what was recorded, once every answer has been read to its end; nothing when playing. */
  async save(): Promise<void> {
    if (this.#interactions === undefined) {
      await writeFile(this.#path, write(await Promise.all(this.#entries)));
    }
  }

  #play(asked: Asked, signal: AbortSignal): Response {
    const left = (this.#interactions ?? []).filter(({ turn }) => !this.#played.has(turn));
    const reasons: string[] = [];
    for (const { turn, request, response } of left) {
      const reason = difference(asked, request);
      if (reason === undefined) {
        this.#played.add(turn);
        return played(response, signal, this.#options.split);
      }
      reasons.push(reason);
    }
    const [nearest = 'every interaction is played'] = [
      ...reasons.filter((reason) => reason.startsWith('the body')),
      ...reasons,
    ];
    return missed(asked, `${asked.method} ${pathOf(asked.uri)} is not in the cassette: ${nearest}`);
  }

  async #record(asked: Asked, request: Request): Promise<Response> {
    const send = this.#options.fetch ?? fetch;
    const response = await send(asked.uri, {
      method: asked.method,
      headers: request.headers,
      body: asked.body,
      signal: request.signal,
    });
    // The client decodes nothing here: fetch has already done so.
    const [kept, given] = response.body === null ? [null, null] : response.body.tee();
    const entry = recorded(asked, request, response, kept);
    entry.catch(() => {});
    this.#entries.push(entry);
    const { status, statusText, headers } = response;
    return new Response(given, { status, statusText, headers: decoded(headers) });
  }
}

async function recorded(
  asked: Asked,
  request: Request,
  response: Response,
  body: ReadableStream<Uint8Array> | null,
): Promise<Entry> {
  const parts: Uint8Array[] = [];
  for await (const part of body ?? []) {
    parts.push(part);
  }
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const sent = parsed(asked.body);
  const streamed = isRow(sent) && sent.stream === true;
  const chunks = parts.map((part) => part.length).filter((length) => length > 0);
  return {
    request: {
      method: asked.method,
      uri: bareUri(asked.uri),
      headers: keptHeaders(listed(request.headers), REQUEST_HEADERS),
      body: asked.body,
    },
    response: {
      status: { code: response.status, message: response.statusText },
      headers: keptHeaders(listed(response.headers), RESPONSE_HEADERS),
      body: { string: text.decode(Buffer.concat(parts)), ...(streamed && { chunks }) },
    },
  };
}

function played(answer: Interaction['response'], signal: AbortSignal, split?: number): Response {
  const data = new TextEncoder().encode(answer.text);
  const cut = answer.streamed ? pieces(data, answer.chunks, split) : [data];
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // A piece a turn of the event loop, as a socket would give them.
      await tick();
      const next = cut.shift();
      if (signal.aborted) {
        controller.error(signal.reason);
      } else if (next === undefined) {
        controller.close();
      } else {
        controller.enqueue(next);
      }
    },
  });
  const headers = new Headers();
  for (const [name, values] of Object.entries(answer.headers)) {
    for (const value of values) {
      headers.append(name, value);
    }
  }
  return new Response(body, {
    status: answer.status,
    statusText: answer.message,
    headers: decoded(headers),
  });
}

/** An answer that no client retries, in the form the API of the path writes errors. */
function missed(asked: Asked, message: string): Response {
  const error = pathOf(asked.uri).startsWith('/api/')
    ? message
    : { message, type: 'cassette', param: null, code: 'cassette-miss' };
  return Response.json({ error }, { status: 400 });
}

/** Headers of a body that is no longer compressed or cut by the transport. */
function decoded(headers: Headers): Headers {
  const left = new Headers(headers);
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) {
    left.delete(name);
  }
  return left;
}

function listed(headers: Headers): [string, string[]][] {
  return [...headers].map(([name, value]) => [name, [value]]);
}

function bareUri(uri: string): string {
  const { origin, pathname } = new URL(uri);
  return `${origin}${pathname}`;
}
