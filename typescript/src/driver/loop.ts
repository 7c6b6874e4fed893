/**
 * The driver's life: lines in, one operation at a time, lines out.
 *
 * `cancel` and `ping` are answered while another operation runs; everything else waits its turn.
 */
import type { Readable } from 'node:stream';
import type { Row } from './json.js';
import {
  asFailure,
  errorLine,
  Failure,
  isExpected,
  MAX_LINE,
  okLine,
  parseRequest,
  type Request,
} from './protocol.js';

/** What answers requests: one operation by name, which stops early when it is aborted. */
export interface Handlers {
  handle(op: string, args: Row, signal: AbortSignal): Promise<Row>;
}

/**
 * The lines of a byte stream. A line that is longer than a message may be is cut off.
 *
 * Split by hand: `readline` also ends a line at U+2028, which JSON may hold.
 */
async function* linesOf(source: Readable): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...parts, chunk.subarray(start, end)]);
      parts = [];
      length = 0;
      start = end + 1;
    }
    if (start < chunk.length && length <= MAX_LINE) {
      parts.push(chunk.subarray(start));
      length += chunk.length - start;
    }
  }
  if (parts.length > 0) {
    yield Buffer.concat(parts);
  }
}

async function answer(handlers: Handlers, request: Request, signal: AbortSignal): Promise<string> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () =>
      reject(new Failure('driver', 'cancelled', 'the request was cancelled')),
    );
  });
  try {
    const ok = handlers.handle(request.op, request.args, signal);
    return okLine(request.id, await Promise.race([ok, aborted]));
  } catch (error) {
    if (!isExpected(error)) {
      console.error(error);
    }
    return errorLine(request.id, asFailure(error));
  }
}

/** Answers requests until `bye` or the end of input; what was asked before is still answered. */
export async function serve(
  handlers: Handlers,
  source: Readable,
  write: (line: string) => void,
): Promise<void> {
  let last: Promise<void> = Promise.resolve();
  let running: AbortController | undefined;

  for await (const line of linesOf(source)) {
    let request: Request;
    try {
      request = parseRequest(line);
    } catch (error) {
      write(errorLine(null, asFailure(error)));
      continue;
    }
    if (request.op === 'bye') {
      await last;
      write(okLine(request.id, {}));
      return;
    }
    if (request.op === 'ping' || request.op === 'cancel') {
      if (request.op === 'cancel') {
        running?.abort();
      }
      write(okLine(request.id, {}));
      continue;
    }
    last = last.then(async () => {
      running = new AbortController();
      write(await answer(handlers, request, running.signal));
      running = undefined;
    });
  }
  await last;
}
