/** A model for tests: a local server that answers with the output items it is given, in order. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { OpenAIProvider } from '@openai/agents';

type Item = Record<string, unknown>;

/** Where the model is, and what it was asked. */
export interface Answers extends AsyncDisposable {
  url: string;
  provider: OpenAIProvider;
  /** The input items of every request. */
  inputs: Item[][];
}

/** A model that answers each request with the next items, as JSON or as a stream. */
export async function answering(...answers: Item[][]): Promise<Answers> {
  const inputs: Item[][] = [];
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await text(request)) as { input: Item[] | string; stream?: boolean };
    const output = answers[inputs.length];
    inputs.push(
      typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : body.input,
    );
    if (output === undefined) {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end('{"error":{"message":"no answer left"}}');
      return;
    }
    const whole = {
      id: `resp_${inputs.length}`,
      object: 'response',
      created_at: 0,
      status: 'completed',
      model: 'gpt-x',
      output,
      parallel_tool_calls: true,
      tool_choice: 'auto',
      tools: [],
      usage: {
        input_tokens: 1,
        output_tokens: 1,
        total_tokens: 2,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens_details: { reasoning_tokens: 0 },
      },
    };
    if (!body.stream) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(whole));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const events = [
      { type: 'response.created', response: { ...whole, status: 'in_progress', output: [] } },
      ...output.map((item, index) => ({
        type: 'response.output_item.done',
        output_index: index,
        item,
      })),
      { type: 'response.completed', response: whole },
    ];
    for (const [index, event] of events.entries()) {
      const data = JSON.stringify({ ...event, sequence_number: index });
      response.write(`event: ${event.type}\ndata: ${data}\n\n`);
    }
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/v1`;
  return {
    url,
    provider: new OpenAIProvider({ apiKey: 'none', baseURL: url, useResponses: true }),
    inputs,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A message of the model. */
export function said(text: string, id = `msg_${text.length}`): Item {
  return {
    type: 'message',
    id,
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text, annotations: [] }],
  };
}

/** A call of the model. */
export function called(name: string, callId: string, args: object = { city: 'Oslo' }): Item {
  return {
    type: 'function_call',
    id: `fc_${callId}`,
    call_id: callId,
    name,
    arguments: JSON.stringify(args),
    status: 'completed',
  };
}
