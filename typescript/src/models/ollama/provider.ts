/** Which server answers for a model name, under which name, and with which key. */
import type { ModelProvider } from '@openai/agents';
import type { Ollama } from 'ollama';
import { ModelError } from '../../errors.js';
import { createClient, hostOf } from './client.js';
import { OllamaModel, type OllamaModelOptions } from './model.js';

const CLOUD = 'https://ollama.com';
const LOCAL = 'http://127.0.0.1:11434';

/** A server, the model's name there, and the key to send, if any. */
export interface Target {
  host: string;
  model: string;
  apiKey?: string;
  /** Whether the model runs at ollama.com, also where a local server passes it on. */
  cloud: boolean;
}

/** Options of {@link OllamaModelProvider}. */
export interface OllamaModelProviderOptions extends OllamaModelOptions {
  /** The key; `OLLAMA_API_KEY` when absent. */
  apiKey?: string;
  /** The server; see {@link resolve} for the one when absent. */
  baseUrl?: string;
  /** Used for every model as it is, in place of a client of our own. */
  ollamaClient?: Ollama;
}

/**
 * Where `model` is asked.
 *
 * A `baseUrl` wins. Without one, a cloud model (a tag `cloud` or one that ends in `-cloud`) is
 * asked at ollama.com, where its name lacks the suffix, if there is a key; every other is asked at
 * `OLLAMA_HOST` or the local server.
 *
 * The key is `apiKey` or `OLLAMA_API_KEY`. It is sent to https://ollama.com, and `apiKey` also to
 * the `baseUrl` it was given with; no other host sees it.
 */
export function resolve(
  model: string,
  { apiKey, baseUrl }: { apiKey?: string; baseUrl?: string } = {},
): Target {
  const key = apiKey || process.env.OLLAMA_API_KEY || undefined;
  const [base, isCloud] = cut(model);
  const host = baseUrl || (isCloud && key ? CLOUD : process.env.OLLAMA_HOST || LOCAL);
  if (isCloudHost(host)) {
    return { host, model: base, apiKey: key, cloud: true };
  }
  return { host, model, apiKey: baseUrl ? apiKey || undefined : undefined, cloud: isCloud };
}

/**
 * Models of Ollama by name, as `llama3` or `gpt-oss:120b-cloud`.
 *
 * Host, name and key are found anew for each model, see {@link resolve}; models of one host and
 * key share a client. The `ollama` package is loaded when a model is first asked.
 */
export class OllamaModelProvider implements ModelProvider {
  readonly #options: OllamaModelProviderOptions;
  readonly #models = new Map<string, OllamaModel>();
  readonly #clients = new Map<string, Promise<Ollama>>();

  constructor(options: OllamaModelProviderOptions = {}) {
    this.#options = options;
  }

  /**
   * The model of this name.
   *
   * @throws ModelError `missing-model` for none.
   */
  getModel(modelName?: string): OllamaModel {
    if (!modelName) {
      throw new ModelError('Ollama has no default model; name one.', 'missing-model');
    }
    const { ollamaClient, apiKey, baseUrl, ...options } = this.#options;
    const target = resolve(modelName, {
      apiKey,
      baseUrl: ollamaClient === undefined ? baseUrl : hostOf(ollamaClient),
    });
    const key = JSON.stringify(target);
    let model = this.#models.get(key);
    if (model === undefined) {
      const client = ollamaClient ?? (() => this.#client(target));
      model = new OllamaModel(target.model, client, { ...options, cloud: target.cloud });
      this.#models.set(key, model);
    }
    return model;
  }

  #client({ host, apiKey }: Target): Promise<Ollama> {
    const key = JSON.stringify([host, apiKey]);
    let client = this.#clients.get(key);
    if (client === undefined) {
      client = createClient(host, apiKey);
      this.#clients.set(key, client);
    }
    return client;
  }
}

/** The name without its cloud suffix, and whether it had one. */
function cut(model: string): [name: string, isCloud: boolean] {
  const colon = model.lastIndexOf(':');
  const tag = model.slice(colon + 1);
  if (colon === -1 || tag.includes('/')) {
    return [model, false];
  }
  if (tag === 'cloud') {
    return [model.slice(0, colon), true];
  }
  return tag.endsWith('-cloud') ? [model.slice(0, -'-cloud'.length), true] : [model, false];
}

function isCloudHost(host: string): boolean {
  if (!URL.canParse(host)) {
    return false;
  }
  const { protocol, hostname, port } = new URL(host);
  return protocol === 'https:' && hostname === 'ollama.com' && port === '';
}
