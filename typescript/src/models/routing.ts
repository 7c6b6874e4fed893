/** Which provider answers for a model name: the part before the first slash decides. */
import type { Model, ModelProvider, OpenAIProvider, OpenAIProviderOptions } from '@openai/agents';
import { ModelError } from '../errors.js';
import { withoutForeign } from './foreign.js';
import { OllamaModelProvider } from './ollama/provider.js';

/** The prefixes that need no entry in a map. */
const BUILT_IN = ['ollama', 'openai'] as const;

type BuiltIn = (typeof BUILT_IN)[number];

/** Prefixes of model names and the provider each leads to. */
export class MultiModelProviderMap {
  #mapping = new Map<string, ModelProvider>();

  /** Lets `prefix` lead to `provider`, in place of the one it led to. */
  addProvider(prefix: string, provider: ModelProvider): void {
    this.#mapping.set(prefix, provider);
  }

  /** Takes the prefix out, and says whether it was in. */
  removeProvider(prefix: string): boolean {
    return this.#mapping.delete(prefix);
  }

  /** The provider of a prefix, where there is one. */
  getProvider(prefix: string): ModelProvider | undefined {
    return this.#mapping.get(prefix);
  }

  /** Whether the prefix is in the map. */
  hasPrefix(prefix: string): boolean {
    return this.#mapping.has(prefix);
  }

  /** A copy of the map. */
  getMapping(): Map<string, ModelProvider> {
    return new Map(this.#mapping);
  }

  /** Puts a copy of `mapping` in place of everything in the map. */
  setMapping(mapping: Iterable<readonly [prefix: string, provider: ModelProvider]>): void {
    this.#mapping = new Map(mapping);
  }
}

/** Options of {@link MultiModelProvider}; those of OpenAI are the SDK's `OpenAIProvider`'s. */
export interface MultiModelProviderOptions {
  /** Providers of your own; looked up before the built-in ones. */
  providerMap?: MultiModelProviderMap;
  openaiApiKey?: string;
  openaiBaseUrl?: string;
  openaiClient?: OpenAIProviderOptions['openAIClient'];
  openaiOrganization?: string;
  openaiProject?: string;
  openaiUseResponses?: boolean;
}

/** Where a model name leads. */
export interface Route {
  /** The prefix that decided; `openai` for a name without one. */
  prefix: string;
  provider: ModelProvider;
  /** The name the provider is asked for; absent for its default. */
  model: string | undefined;
}

/**
 * Models of several providers: `gpt-4.1`, `openai/gpt-4.1`, `ollama/llama3`, your own.
 *
 * A name without a slash, and no name, are OpenAI's. Of any other name the part before the first
 * slash is the prefix, looked up in `providerMap` first, so that `openai` and `ollama` can be
 * replaced. With no option of OpenAI's, a client or key set for the whole application holds.
 */
export class MultiModelProvider implements ModelProvider {
  readonly providerMap: MultiModelProviderMap | undefined;
  readonly #openai: OpenAIProviderOptions;
  readonly #created = new Map<BuiltIn, ModelProvider>();

  constructor(options: MultiModelProviderOptions = {}) {
    this.providerMap = options.providerMap;
    this.#openai = {
      apiKey: options.openaiApiKey,
      baseURL: options.openaiBaseUrl,
      openAIClient: options.openaiClient,
      organization: options.openaiOrganization,
      project: options.openaiProject,
      useResponses: options.openaiUseResponses,
    };
  }

  /**
   * The model of this name.
   *
   * @throws ModelError `unknown-prefix`, `missing-model` for an empty name, and `missing-key`
   * where OpenAI is asked without a key.
   */
  async getModel(modelName?: string): Promise<Model> {
    const { provider, model } = this.route(modelName);
    return provider.getModel(model);
  }

  /**
   * The provider of this name and the name it is asked for.
   *
   * @throws ModelError `unknown-prefix`, and `missing-model` for an empty name.
   */
  route(modelName?: string | null): Route {
    if (modelName === '') {
      throw new ModelError('The name of the model is empty.', 'missing-model');
    }
    const name = modelName ?? undefined;
    const slash = name?.indexOf('/') ?? -1;
    if (name === undefined || slash === -1) {
      return { prefix: 'openai', provider: this.#provider('openai'), model: name };
    }
    const prefix = name.slice(0, slash);
    const provider = this.#provider(prefix);
    const model = name.slice(slash + 1);
    if (model === '') {
      throw new ModelError(
        `No model is named after the prefix in '${modelName}'.`,
        'missing-model',
      );
    }
    return { prefix, provider, model };
  }

  /**
   * Closes every provider in the map and every one created here, each once, where it can be.
   *
   * @throws What a provider throws; an `AggregateError` where several do. None keeps another open.
   */
  async close(): Promise<void> {
    const providers = new Set<ModelProvider>([
      ...(this.providerMap?.getMapping().values() ?? []),
      ...this.#created.values(),
    ]);
    this.#created.clear();
    providers.delete(this);
    const closings = await Promise.allSettled([...providers].map(closeProvider));
    const failures = closings.flatMap((closing) =>
      closing.status === 'rejected' ? [closing.reason] : [],
    );
    if (failures.length === 1) {
      throw failures[0];
    }
    if (failures.length > 1) {
      throw new AggregateError(failures, 'several model providers could not be closed');
    }
  }

  #provider(prefix: string): ModelProvider {
    const added = this.providerMap?.getProvider(prefix);
    if (added !== undefined) {
      return added;
    }
    if (!isBuiltIn(prefix)) {
      const own = this.providerMap?.getMapping().keys() ?? [];
      const known = [...new Set([...BUILT_IN, ...own])].sort().join(', ');
      throw new ModelError(
        `No provider for the prefix '${prefix}'. Known prefixes: ${known}. ` +
          `Add one with MultiModelProviderMap.addProvider('${prefix}', provider).`,
        'unknown-prefix',
      );
    }
    let provider = this.#created.get(prefix);
    if (provider === undefined) {
      provider = prefix === 'openai' ? new OpenAI(this.#openai) : new OllamaModelProvider();
      this.#created.set(prefix, provider);
    }
    return provider;
  }
}

/** The SDK's provider, which names the variable where it has no key. */
class OpenAI implements ModelProvider {
  readonly #options: OpenAIProviderOptions;
  #provider: Promise<OpenAIProvider> | undefined;

  constructor(options: OpenAIProviderOptions) {
    this.#options = options;
  }

  async getModel(modelName?: string): Promise<Model> {
    this.#provider ??= this.#create();
    try {
      return withoutForeign(await (await this.#provider).getModel(modelName));
    } catch (error) {
      if (error instanceof Error && error.message.includes('OPENAI_API_KEY')) {
        throw new ModelError(
          'OpenAI has no key: OPENAI_API_KEY is not set or empty, and no other was given.',
          'missing-key',
          { cause: error },
        );
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    await (await this.#provider)?.close();
  }

  async #create(): Promise<OpenAIProvider> {
    const { OpenAIProvider } = await import('@openai/agents');
    // A model keeps no websocket open, as with the SDK's own default provider.
    return new OpenAIProvider({ ...this.#options, cacheResponsesWebSocketModels: false });
  }
}

function isBuiltIn(prefix: string): prefix is BuiltIn {
  return BUILT_IN.some((each) => each === prefix);
}

async function closeProvider(provider: ModelProvider): Promise<void> {
  const { close } = provider as { close?: () => unknown };
  await close?.call(provider);
}
