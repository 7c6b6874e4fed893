/**
 * The SDK's own item converter, reached from outside: it is not exported.
 *
 * From the wire: a conversations session reads items and converts them. To the wire: the Responses
 * model converts its input, and a local server keeps the request.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  OpenAIConversationsSession,
  OpenAIResponsesModel,
  setTracingDisabled,
  withTrace,
} from '@openai/agents';
import OpenAI from 'openai';
import type { Obj } from '../../src/state/json.js';

setTracingDisabled(true);

/** The converter, and how to end it. */
export interface Converter extends AsyncDisposable {
  /** The `protocol` item of a wire item; the SDK's error where it refuses. */
  toProtocol(wire: Obj): Promise<Obj | Error>;
  /** The wire item of a `protocol` item; the SDK's error where it refuses. */
  toWire(item: Obj): Promise<Obj | Error>;
}

function settle<T>(work: Promise<T>): Promise<T | Error> {
  return work.catch((error: unknown) => (error instanceof Error ? error : new Error('unknown')));
}

/** Starts the server and the client behind the converter. */
export async function converter(): Promise<Converter> {
  let stored: Obj[] = [];
  let sent: Obj | undefined;
  const server = createServer(async (request, response) => {
    response.writeHead(request.method === 'GET' ? 200 : 400, {
      'content-type': 'application/json',
    });
    if (request.method === 'GET') {
      response.end(JSON.stringify({ object: 'list', data: stored, has_more: false }));
      return;
    }
    sent = JSON.parse(await text(request)) as Obj;
    response.end('{"error":{"message":"only listening"}}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new OpenAI({
    apiKey: 'none',
    baseURL: `http://127.0.0.1:${port}/v1`,
    maxRetries: 0,
  });
  const session = new OpenAIConversationsSession({ client: client as never, conversationId: 'c' });
  const model = new OpenAIResponsesModel(client as never, 'gpt-x');
  return {
    async toProtocol(wire) {
      stored = [wire];
      const items = await settle(session.getItems());
      return items instanceof Error ? items : (JSON.parse(JSON.stringify(items[0])) as Obj);
    },
    async toWire(item) {
      sent = undefined;
      const error = await settle(
        withTrace('convert', () =>
          model.getResponse({
            input: [item as never],
            modelSettings: {},
            tools: [],
            outputType: 'text',
            handoffs: [],
            tracing: false,
          }),
        ),
      );
      const input = (sent as Obj | undefined)?.input;
      return Array.isArray(input) ? (input[0] as Obj) : (error as Error);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
