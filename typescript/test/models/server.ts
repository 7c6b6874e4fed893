/** A small HTTP server that answers as Ollama does, byte for byte as a test says. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate as tick } from 'node:timers/promises';

/** An answer: its pieces go out one by one. */
export interface Reply {
  pieces: Uint8Array[];
  status?: number;
  contentType?: string;
  /** What follows the last piece: the end, silence, or a broken connection. */
  after?: 'end' | 'hang' | 'break';
}

/** A request the server saw. */
export interface Sent {
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at bodies of any shape
  body: any;
}

/** The server: replies are used up in order, and those left over fail at the end. */
export interface OllamaServer extends AsyncDisposable {
  url: string;
  sent: Sent[];
  /** Resolves when a client has closed the connection of an answer that hangs. */
  closed: Promise<void>;
  /** Connections so far. */
  connections: () => number;
}

/** What the last chunk, or the whole answer, has beside the message. */
export const DONE = { done: true, done_reason: 'stop', prompt_eval_count: 5, eval_count: 3 };

export async function ollamaServer(...replies: Reply[]): Promise<OllamaServer> {
  const left = [...replies];
  const sent: Sent[] = [];
  let connections = 0;
  let close: () => void = () => {};
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });

  async function send(reply: Reply, response: ServerResponse): Promise<void> {
    response.writeHead(reply.status ?? 200, {
      'content-type': reply.contentType ?? 'application/x-ndjson',
    });
    response.flushHeaders();
    for (const piece of reply.pieces) {
      response.write(piece);
      await tick();
    }
    if (reply.after === 'break') {
      response.destroy();
    } else if (reply.after === 'hang') {
      response.on('close', close);
    } else {
      response.end();
    }
  }

  const server = createServer(async (request, response) => {
    const raw = await text(request);
    const { url = '', headers } = request;
    sent.push({ path: url, headers, text: raw, body: raw === '' ? undefined : JSON.parse(raw) });
    const reply = left.shift();
    if (reply === undefined) {
      response.writeHead(599).end();
      return;
    }
    await send(reply, response);
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    sent,
    closed,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      if (left.length > 0) {
        throw new Error(`${left.length} replies were not asked for`);
      }
    },
  };
}

const bytes = (value: string) => new TextEncoder().encode(value);

/** A chunk that is not the last. */
export function chunk(content = '', message: object = {}): object {
  return { message: { role: 'assistant', content, ...message }, done: false };
}

/** A tool call as the server writes it. */
export function called(name: string, args: unknown, call: object = {}): object {
  return { function: { name, arguments: args }, ...call };
}

/** Lines in one piece each, or re-split every `split` bytes. */
export function lines(texts: string[], split?: number): Reply {
  if (split === undefined) {
    return { pieces: texts.map(bytes) };
  }
  const data = bytes(texts.join(''));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += split) {
    pieces.push(data.subarray(at, at + split));
  }
  return { pieces };
}

/** The chunks as lines. */
export function streamed(chunks: object[], split?: number): Reply {
  return lines(
    chunks.map((each) => `${JSON.stringify(each)}\n`),
    split,
  );
}

/** The answer as one object. */
export function whole(
  content = '',
  {
    done = DONE,
    logprobs,
    ...message
  }: { done?: object; logprobs?: unknown; [key: string]: unknown } = {},
): Reply {
  const answer = {
    message: { role: 'assistant', content, ...message },
    ...done,
    ...(logprobs === undefined ? {} : { logprobs }),
  };
  return json(JSON.stringify(answer));
}

/** The answer as this text. */
export function json(answer: string, status = 200): Reply {
  return { pieces: [bytes(answer)], status, contentType: 'application/json; charset=utf-8' };
}

/** An error as the server reports it. */
export function failed(status: number, error: unknown): Reply {
  return json(JSON.stringify(typeof error === 'string' ? { error } : error), status);
}
