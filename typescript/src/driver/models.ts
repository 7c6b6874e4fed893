/** The operations that ask a model without an agent: `model.call` and `model.route`. */
import {
  Agent,
  fileSearchTool,
  handoff,
  type Model,
  type ModelProvider,
  type ModelRequest,
  type ModelSettings,
  type Usage,
  webSearchTool,
  withTrace,
} from '@openai/agents';
import {
  MultiModelProvider,
  MultiModelProviderMap,
  OllamaModelProvider,
  type StructuredOutput,
} from '../models/index.js';
import { resolve } from '../models/ollama/provider.js';
import { numbered } from './ids.js';
import { isRow, type Row, row, rows, text, texts } from './json.js';
import { asFailure, Failure, requiredText } from './protocol.js';
import { inputItems, wireItems } from './wire.js';

const PLACEHOLDERS: readonly unknown[] = ['FAKE_ID', '__fake_id__'];

const EVENTS = new Map([
  ['response_started', 'started'],
  ['output_text_delta', 'text'],
  ['response_done', 'completed'],
]);

const HOSTED = new Map([
  ['web_search', () => webSearchTool()],
  ['file_search', () => fileSearchTool('vs_1')],
]);

/** Settings that have the name in the SDK's own case and the same value. */
const RENAMED = new Map<string, keyof ModelSettings>([
  ['frequency_penalty', 'frequencyPenalty'],
  ['max_tokens', 'maxTokens'],
  ['parallel_tool_calls', 'parallelToolCalls'],
  ['presence_penalty', 'presencePenalty'],
  ['reasoning', 'reasoning'],
  ['store', 'store'],
  ['temperature', 'temperature'],
  ['tool_choice', 'toolChoice'],
  ['top_p', 'topP'],
  ['truncation', 'truncation'],
]);

/** `model.call`: one answer of a model. */
export async function call(args: Row, signal: AbortSignal): Promise<Row> {
  const warnings: string[] = [];
  const reply = await withEnvironment(args.env, async () => {
    const provider = providerOf(args, warnings);
    try {
      const model = await provider.getModel(requiredText(args, 'model'));
      const asked = requestOf(args, signal);
      // Models of OpenAI make a span, which needs a trace, whether or not anybody listens.
      return await withTrace('model.call', async () =>
        args.stream === true ? await stream(model, asked) : await ask(model, asked),
      );
    } finally {
      await provider.close();
    }
  });
  return { ...reply, ...(warnings.length > 0 && { warnings }) };
}

/** `model.route`: the provider of a name, and what it is asked for. */
export async function route(args: Row): Promise<Row> {
  const providerMap = new MultiModelProviderMap();
  for (const prefix of texts(args.providers)) {
    providerMap.addProvider(prefix, new Named());
  }
  const name = text(args.name);
  return withEnvironment(args.env, async () => {
    const multi = new MultiModelProvider({ providerMap });
    try {
      const { prefix, provider, model } = multi.route(name);
      await multi.getModel(name);
      if (provider instanceof Named) {
        return { provider: prefix, model: provider.asked ?? null };
      }
      if (prefix !== 'ollama') {
        return { provider: prefix, model: model ?? null };
      }
      const target = resolve(model ?? '');
      const told = { host: target.host, sends_key: target.apiKey !== undefined };
      return { provider: prefix, model: target.model, ...told };
    } finally {
      await multi.close();
    }
  });
}

/** A provider that the application added: it only notes what it is asked for. */
class Named implements ModelProvider {
  asked: string | undefined;

  getModel(modelName?: string): Model {
    this.asked = modelName;
    return undefined as unknown as Model;
  }
}

function providerOf(args: Row, warnings: string[]): MultiModelProvider {
  const providerMap = new MultiModelProviderMap();
  const [apiKey, baseUrl] = [text(args.api_key), text(args.base_url)];
  const structuredOutput = text(args.structured_output) as StructuredOutput | undefined;
  providerMap.addProvider(
    'ollama',
    new OllamaModelProvider({
      ...(apiKey !== undefined && { apiKey }),
      ...(baseUrl !== undefined && { baseUrl }),
      ...(structuredOutput !== undefined && { structuredOutput }),
      newId: numbered(texts(args.ids)),
      onWarning: (warning) => warnings.push(warning),
    }),
  );
  return new MultiModelProvider({
    providerMap,
    ...(apiKey !== undefined && { openaiApiKey: apiKey }),
    ...(baseUrl !== undefined && { openaiBaseUrl: baseUrl }),
    ...(typeof args.openai_use_responses === 'boolean' && {
      openaiUseResponses: args.openai_use_responses,
    }),
  });
}

function requestOf(args: Row, signal: AbortSignal): ModelRequest {
  const schema = row(args.output_schema);
  const instructions = text(args.instructions);
  return {
    ...(instructions !== undefined && { systemInstructions: instructions }),
    input: text(args.input) ?? inputItems(args.input),
    modelSettings: settingsOf(row(args.settings) ?? {}),
    tools: [...rows(args.tools).map(toolOf), ...texts(args.hosted_tools).map(hostedTool)],
    outputType:
      schema === undefined
        ? 'text'
        : {
            type: 'json_schema',
            name: String(schema.name),
            strict: schema.strict !== false,
            schema: schema.schema as never,
          },
    handoffs: rows(args.handoffs).map(handoffOf),
    tracing: false,
    signal,
  };
}

async function ask(model: Model, request: ModelRequest): Promise<Row> {
  const { output, usage } = await model.getResponse(request);
  return { output: itemsOf(output), usage: usageOf(usage) };
}

async function stream(model: Model, request: ModelRequest): Promise<Row> {
  const events: string[] = [];
  const deltas: string[] = [];
  let reply: Row | undefined;
  try {
    for await (const event of model.getStreamedResponse(request)) {
      const kind = EVENTS.get(event.type);
      if (kind !== undefined && (kind !== 'text' || events.at(-1) !== 'text')) {
        events.push(kind);
      }
      if (event.type === 'output_text_delta') {
        deltas.push(event.delta);
      } else if (event.type === 'response_done') {
        // As in Python, the events tell no number of requests.
        const { requests: _, ...usage } = usageOf(event.response.usage);
        reply = { output: itemsOf(event.response.output), usage };
      }
    }
  } catch (error) {
    const failure = asFailure(error);
    failure.details.events = events;
    throw failure;
  }
  if (reply === undefined) {
    throw new Failure('implementation', 'no-response', 'the stream has no response_done');
  }
  return { ...reply, events, deltas };
}

function itemsOf(output: readonly unknown[]): Row[] {
  return wireItems(output).map(({ id, ...item }) =>
    id === undefined || PLACEHOLDERS.includes(id) ? item : { id, ...item },
  );
}

type Counts = Partial<Pick<Usage, 'requests' | 'inputTokens' | 'outputTokens' | 'totalTokens'>> & {
  inputTokensDetails?: unknown;
  outputTokensDetails?: unknown;
};

function usageOf(usage: Counts): Row {
  return {
    requests: usage.requests ?? 1,
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    total_tokens: usage.totalTokens,
    input_tokens_details: { cached_tokens: detail(usage.inputTokensDetails, 'cached_tokens') },
    output_tokens_details: {
      reasoning_tokens: detail(usage.outputTokensDetails, 'reasoning_tokens'),
    },
  };
}

/** A count of the details of one request, or of several. */
function detail(details: unknown, name: string): number {
  const each = Array.isArray(details) ? rows(details) : [row(details) ?? {}];
  return each.reduce((total, counts) => total + Number(counts[name] ?? 0), 0);
}

function settingsOf(settings: Row): ModelSettings {
  const known: Row = {};
  const providerData: Row = {};
  for (const [name, value] of Object.entries(settings)) {
    const renamed = RENAMED.get(name);
    if (renamed !== undefined) {
      known[renamed] = value;
    } else if (name === 'extra_args' && isRow(value)) {
      Object.assign(providerData, value);
    } else {
      providerData[name] = value;
    }
  }
  return { ...known, ...(Object.keys(providerData).length > 0 && { providerData }) };
}

function toolOf(described: Row): ModelRequest['tools'][number] {
  return {
    type: 'function',
    name: String(described.name),
    description: String(described.description),
    parameters: described.parameters as never,
    strict: described.strict === true,
  };
}

function hostedTool(kind: string): ModelRequest['tools'][number] {
  const made = HOSTED.get(kind)?.();
  if (made === undefined) {
    throw new Failure('protocol', 'bad-request', `hosted_tools knows no ${kind}`);
  }
  return { type: 'hosted_tool', name: made.name, providerData: made.providerData };
}

function handoffOf(described: Row): ModelRequest['handoffs'][number] {
  const [name, description] = [text(described.tool_name), text(described.description)];
  const { toolName, toolDescription, inputJsonSchema, strictJsonSchema } = handoff(
    new Agent({ name: String(described.agent) }),
    {
      ...(name !== undefined && { toolNameOverride: name }),
      ...(description !== undefined && { toolDescriptionOverride: description }),
    },
  );
  return { toolName, toolDescription, inputJsonSchema, strictJsonSchema };
}

/** Runs with these variables, or without those that are null; afterwards they are as before. */
async function withEnvironment<T>(values: unknown, run: () => Promise<T>): Promise<T> {
  const given = row(values) ?? {};
  const before = Object.fromEntries(Object.keys(given).map((name) => [name, process.env[name]]));
  setEnvironment(given);
  try {
    return await run();
  } finally {
    setEnvironment(before);
  }
}

function setEnvironment(values: Row): void {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === 'string') {
      process.env[name] = value;
    } else {
      delete process.env[name];
    }
  }
}
