/** Models by name: which provider answers, and the models of Ollama. */
export { OllamaModel, type OllamaModelOptions } from './ollama/model.js';
export { OllamaModelProvider, type OllamaModelProviderOptions } from './ollama/provider.js';
export type { StructuredOutput } from './ollama/request.js';
export {
  MultiModelProvider,
  MultiModelProviderMap,
  type MultiModelProviderOptions,
  type Route,
} from './routing.js';
