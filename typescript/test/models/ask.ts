/** Asking a model directly, without a runner. */
import type { ModelRequest, ModelResponse, protocol, SerializedTool } from '@openai/agents';
import { OllamaModelProvider, type OllamaModelProviderOptions } from '../../src/models/index.js';
import type { OllamaModel } from '../../src/models/ollama/model.js';
import { type OllamaServer, ollamaServer, type Reply } from './server.js';

/** Call id digits that count up. */
export function numbered(): () => string {
  let number = 0;
  return () => {
    number += 1;
    return number.toString(16).padStart(24, '0');
  };
}

/** A request with these parts. */
export function request(parts: Partial<ModelRequest> = {}): ModelRequest {
  return {
    input: 'Hi',
    modelSettings: {},
    tools: [],
    outputType: 'text',
    handoffs: [],
    tracing: false,
    ...parts,
  };
}

/** A model behind a server, asked for one answer at a time. */
export class Asker implements AsyncDisposable {
  readonly warnings: string[] = [];

  constructor(
    readonly model: OllamaModel,
    readonly server: OllamaServer,
  ) {}

  ask(parts?: Partial<ModelRequest>): Promise<ModelResponse> {
    return this.model.getResponse(request(parts));
  }

  events(parts?: Partial<ModelRequest>): AsyncGenerator<protocol.StreamEvent, void, undefined> {
    return this.model.getStreamedResponse(request(parts));
  }

  async stream(parts?: Partial<ModelRequest>): Promise<protocol.StreamEvent[]> {
    const events: protocol.StreamEvent[] = [];
    for await (const event of this.events(parts)) {
      events.push(event);
    }
    return events;
  }

  /** The body of the only request. */
  get body() {
    if (this.server.sent.length !== 1) {
      throw new Error(`${this.server.sent.length} requests`);
    }
    return this.server.sent[0]?.body;
  }

  get bodies() {
    return this.server.sent.map(({ body }) => body);
  }

  async [Symbol.asyncDispose]() {
    await this.server[Symbol.asyncDispose]();
  }
}

/** A model of a server that gives these replies. */
export async function asker(
  replies: Reply[],
  { model = 'llama3', ...options }: OllamaModelProviderOptions & { model?: string } = {},
): Promise<Asker> {
  const server = await ollamaServer(...replies);
  const provider = new OllamaModelProvider({
    baseUrl: server.url,
    newId: numbered(),
    onWarning: (warning) => asking.warnings.push(warning),
    ...options,
  });
  const asking = new Asker(provider.getModel(model), server);
  return asking;
}

/** A function tool as the SDK describes it to a model. */
export function tool(name: string, parameters: object = {}, description = ''): SerializedTool {
  const schema = { type: 'object', properties: {}, required: [], additionalProperties: false };
  return {
    type: 'function',
    name,
    description,
    strict: false,
    parameters: { ...schema, ...parameters } as never,
  };
}

/** The items of an answer, or of the last event, without what every item has. */
export function output(answer: ModelResponse | protocol.StreamEvent[]): object[] {
  return itemsOf(answer).map(({ id, providerData, ...item }) => {
    const { provider_data, content: _content, ...rest } = providerData ?? {};
    // The SDK takes reasoning items of one id for one item, so they have none.
    const expected = item.type === 'reasoning' ? undefined : 'FAKE_ID';
    if (id !== expected || provider_data?.model !== 'llama3' || Object.keys(rest).length > 0) {
      throw new Error(`not as every item: ${JSON.stringify({ id, providerData })}`);
    }
    return item;
  });
}

function itemsOf(answer: ModelResponse | protocol.StreamEvent[]): protocol.OutputModelItem[] {
  if (!Array.isArray(answer)) {
    return answer.output as protocol.OutputModelItem[];
  }
  return response(answer).output;
}

/** The whole response at the end of a stream. */
export function response(events: protocol.StreamEvent[]) {
  const last = events.at(-1);
  if (last?.type !== 'response_done') {
    throw new Error(`the stream ends with ${last?.type}`);
  }
  return last.response;
}
