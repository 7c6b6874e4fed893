/** A model for tests: a local server that plays turns of a cassette behind the real client. */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Agent, OpenAIProvider, setTracingDisabled, tool } from '@openai/agents';
import { parse } from 'yaml';
import { z } from 'zod';

setTracingDisabled(true);

interface Interaction {
  turn: number;
  response: { headers: Record<string, string[]>; body: { string: string } };
}

/** A scripted model: where to reach it, and the body of every request so far. */
export interface Model extends AsyncDisposable {
  provider: OpenAIProvider;
  requests: Record<string, unknown>[];
}

/** Plays `turns` of `cassettes/NAME.yaml`, one a request, as JSON or as a stream. */
export async function scripted(turns: number[], name = 'weather'): Promise<Model> {
  const file = new URL(`../../cassettes/${name}.yaml`, import.meta.url);
  const { interactions } = parse(await readFile(file, 'utf8')) as { interactions: Interaction[] };
  const requests: Record<string, unknown>[] = [];

  async function answer(request: IncomingMessage): Promise<Interaction['response'] | undefined> {
    const body = JSON.parse(await text(request)) as Record<string, unknown>;
    const turn = turns[requests.length];
    requests.push(body);
    const kind = body.stream ? 'text/event-stream' : 'application/json';
    return interactions.find(
      ({ turn: number, response }) =>
        number === turn && response.headers['content-type']?.[0]?.startsWith(kind),
    )?.response;
  }

  const server = createServer(async (request, response) => {
    const found = await answer(request);
    if (found === undefined) {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end('{"error":{"message":"no turn left"}}');
      return;
    }
    response.writeHead(200, { 'content-type': found.headers['content-type']?.[0] });
    response.end(found.body.string);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    provider: new OpenAIProvider({ apiKey: 'none', baseURL: `http://127.0.0.1:${port}/v1` }),
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An agent with one tool, which notes the cities it was asked for in `calls`. */
export function weatherAgent(calls: string[] = [], { approval = true } = {}) {
  const getWeather = tool({
    name: 'get_weather',
    description: 'The weather in a city.',
    parameters: z.object({ city: z.string() }),
    needsApproval: approval,
    execute: ({ city }) => {
      calls.push(city);
      return `${city} is sunny`;
    },
  });
  return new Agent({ name: 'Weather', model: 'gpt-x', tools: [getWeather] });
}
