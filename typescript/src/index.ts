/** Durable OpenAI Agents runs that cross languages. Importing this loads no SDK. */
export type { DecisionOptions } from './approvals.js';
export { Approvals } from './approvals.js';
export {
  ApprovalError,
  CrossingError,
  DocumentError,
  GraphError,
  InterruptionException,
  LoadError,
  ModelError,
  OllamaError,
  SnapshotError,
  StoreError,
  TimestepError,
} from './errors.js';
export type {
  MultiModelProviderOptions,
  OllamaModelOptions,
  OllamaModelProviderOptions,
  StructuredOutput,
} from './models/index.js';
export {
  MultiModelProvider,
  MultiModelProviderMap,
  OllamaModel,
  OllamaModelProvider,
} from './models/index.js';
export type { EventHandler, RunAgentOptions, RunHooks } from './run.js';
export { consumeResult, runAgent } from './run.js';
export type { SessionOptions } from './session.js';
export { Session } from './session.js';
export type {
  Approval,
  Claim,
  Decision,
  Revision,
  RunSummary,
  StoreOptions,
} from './store/index.js';
export { RunStateStore } from './store/index.js';
export type { KeyPair, KeySource, Keys } from './store/seal.js';
export { Keyring } from './store/seal.js';
