/** A request of the chat API, built from what the SDK asks of a model. */
import type { ModelRequest, ModelSettings } from '@openai/agents';
import { ModelError } from '../../errors.js';
import { isObj, type Obj } from '../../state/json.js';
import { toMessages } from './messages.js';
import { type OllamaTool, toTools } from './tools.js';

/**
 * How an output schema reaches the model.
 *
 * `always` sends it as `format`, which constrains decoding and can keep a model from calling
 * tools. `prompt` puts it into the system text only. `auto` does the first without tools; with
 * tools it does the second, and asks once more, with `format` and without tools, where an answer
 * does not validate. A model in Ollama's cloud, which does not enforce `format`, has `prompt`.
 */
export type StructuredOutput = 'auto' | 'always' | 'prompt';

/** The names the server takes in `options` (Ollama 0.33); it ignores others without a word. */
const OPTIONS = new Set([
  'draft_num_predict',
  'frequency_penalty',
  'main_gpu',
  'min_p',
  'num_batch',
  'num_ctx',
  'num_gpu',
  'num_keep',
  'num_predict',
  'num_thread',
  'presence_penalty',
  'repeat_last_n',
  'repeat_penalty',
  'seed',
  'stop',
  'temperature',
  'top_k',
  'top_p',
  'typical_p',
  'use_mmap',
]);

/** The names a request may set beside `options`. */
const FIELDS = new Set([
  'format',
  'keep_alive',
  'logprobs',
  'shift',
  'think',
  'top_logprobs',
  'truncate',
]);

/** Settings of the SDK that are options under another name. */
const AS_OPTION = {
  temperature: 'temperature',
  topP: 'top_p',
  frequencyPenalty: 'frequency_penalty',
  presencePenalty: 'presence_penalty',
  maxTokens: 'num_predict',
} as const satisfies Partial<Record<keyof ModelSettings, string>>;

/** The level of `think` for each reasoning effort, as Ollama's own OpenAI API has it. */
const THINK = new Map<string, boolean | string>([
  ['none', false],
  ['minimal', 'low'],
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high'],
  ['xhigh', 'max'],
  ['max', 'max'],
]);

const MODES: readonly unknown[] = ['auto', 'always', 'prompt'] satisfies StructuredOutput[];

const SCHEMA_PROMPT =
  'Answer with JSON only, without a code fence, that matches this JSON Schema:\n';

/** One request: what to send, and what is known about the answer it asks for. */
export interface OllamaRequest {
  /**
   * The bodies, without `stream`, to send one after the other until an answer has calls or fits
   * the schema.
   */
  attempts: [Obj, ...Obj[]];
  headers: Record<string, string>;
  query: Obj;
  /** The output schema; absent for text. */
  schema?: Obj;
  /** Whether a code fence around the answer is no part of it. */
  unfence: boolean;
  /** Settings the chat API cannot honour. */
  warnings: string[];
}

interface Extra {
  options: Obj;
  fields: Obj;
  headers: Record<string, string>;
  query: Obj;
  structuredOutput?: StructuredOutput;
}

/**
 * The request for one answer of `model`. Pure.
 *
 * A setting that is not given is not sent, so the model's own defaults hold; settings in
 * `providerData` win over those of the SDK. They have the names of the chat API; `extra_headers`,
 * `extra_query` and `extra_body` are known there too, as to the SDK's own models.
 *
 * @throws ModelError for input, tools and settings the chat API has no place for.
 */
export function buildRequest(
  model: string,
  request: ModelRequest,
  { structuredOutput, cloud }: { structuredOutput: StructuredOutput; cloud: boolean },
): OllamaRequest {
  const { modelSettings: settings, outputType } = request;
  const extra = extraOf(settings);
  const warnings: string[] = [];
  const tools = choose(toTools(request.tools, request.handoffs), settings.toolChoice, warnings);
  if (settings.parallelToolCalls === false && tools.length > 0) {
    warnings.push('parallelToolCalls: false cannot be set; every call is passed on');
  }

  const schema = outputType === 'text' ? undefined : (outputType.schema as unknown as Obj);
  const mode = cloud ? 'prompt' : (extra.structuredOutput ?? structuredOutput);
  const prompted =
    schema !== undefined && (mode === 'prompt' || (mode === 'auto' && tools.length > 0));
  const system =
    schema !== undefined && prompted
      ? withSchema(request.systemInstructions, schema)
      : request.systemInstructions;

  const payload: Obj = { model, messages: toMessages(system, request.input) };
  if (tools.length > 0) {
    payload.tools = tools;
  }
  if (schema !== undefined && !prompted) {
    payload.format = schema;
  }
  Object.assign(payload, fieldsOf(settings), extra.fields);
  const options = { ...optionsOf(settings), ...extra.options };
  if (Object.keys(options).length > 0) {
    payload.options = options;
  }

  const attempts: OllamaRequest['attempts'] = [payload];
  if (schema !== undefined && prompted && mode === 'auto' && !('format' in payload)) {
    const { tools: _tools, ...rest } = payload;
    attempts.push({ ...rest, format: schema });
  }
  return {
    attempts,
    headers: extra.headers,
    query: extra.query,
    schema,
    unfence: schema !== undefined && mode === 'prompt',
    warnings,
  };
}

/** The tools to send for a choice. The server knows none, so leaving tools out is all we can. */
function choose(
  tools: OllamaTool[],
  choice: ModelSettings['toolChoice'],
  warnings: string[],
): OllamaTool[] {
  if (choice === undefined || choice === null || choice === 'auto') {
    return tools;
  }
  if (choice === 'none') {
    return [];
  }
  if (choice === 'required') {
    warnings.push("toolChoice 'required' cannot be forced; the model may answer in text");
    return tools;
  }
  const chosen = tools.filter((tool) => tool.function.name === choice);
  if (chosen.length === 0) {
    throw new ModelError(
      `toolChoice '${choice}' is no function tool or handoff of the agent.`,
      'unsupported-setting',
    );
  }
  warnings.push(`toolChoice '${choice}' cannot be forced; only this tool is offered`);
  return chosen;
}

function optionsOf(settings: ModelSettings): Obj {
  const options: Obj = {};
  for (const [name, option] of Object.entries(AS_OPTION)) {
    const value = settings[name as keyof typeof AS_OPTION];
    if (value !== undefined && value !== null) {
      options[option] = value;
    }
  }
  return options;
}

function fieldsOf(settings: ModelSettings): Obj {
  const fields: Obj = {};
  const effort = settings.reasoning?.effort;
  if (effort !== undefined && effort !== null) {
    const think = THINK.get(effort);
    if (think === undefined) {
      throw new ModelError(`Ollama has no reasoning effort '${effort}'.`, 'unsupported-setting');
    }
    fields.think = think;
  }
  if (settings.truncation !== undefined && settings.truncation !== null) {
    fields.truncate = settings.truncation === 'auto';
  }
  return fields;
}

function extraOf(settings: ModelSettings): Extra {
  const extra: Extra = { options: {}, fields: {}, headers: {}, query: {} };
  addExtra(extra, settings.providerData ?? {});
  // The SDK has no setting for log probabilities; asking for some asks for them.
  if ('top_logprobs' in extra.fields && !('logprobs' in extra.fields)) {
    extra.fields.logprobs = true;
  }
  return extra;
}

function addExtra(extra: Extra, given: Obj): void {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) {
      continue;
    }
    if (name === 'options' && isObj(value)) {
      Object.assign(extra.options, value);
    } else if (OPTIONS.has(name)) {
      extra.options[name] = value;
    } else if (FIELDS.has(name)) {
      extra.fields[name] = value;
    } else if (/^structured(_o|O)utput$/.test(name) && MODES.includes(value)) {
      extra.structuredOutput = value as StructuredOutput;
    } else if (/^extra(_b|B)ody$/.test(name) && isObj(value)) {
      addExtra(extra, value);
    } else if (/^extra(_q|Q)uery$/.test(name) && isObj(value)) {
      Object.assign(extra.query, value);
    } else if (/^extra(_h|H)eaders$/.test(name) && isObj(value)) {
      for (const [header, text] of Object.entries(value)) {
        if (typeof text === 'string') {
          extra.headers[header] = text;
        }
      }
    } else {
      throw new ModelError(`Ollama has no setting '${name}' like this.`, 'unsupported-setting');
    }
  }
}

function withSchema(instructions: string | undefined, schema: Obj): string {
  const prompt = SCHEMA_PROMPT + JSON.stringify(schema);
  return instructions ? `${instructions}\n\n${prompt}` : prompt;
}
