/** Durable OpenAI Agents runs that cross languages. Importing this loads no SDK. */
export {
  CrossingError,
  DocumentError,
  GraphError,
  InterruptionException,
  LoadError,
  SnapshotError,
  StoreError,
  TimestepError,
} from './errors.js';
export type { EventHandler, RunAgentOptions, RunHooks } from './run.js';
export { consumeResult, runAgent } from './run.js';
export { RunStateStore } from './store/index.js';
