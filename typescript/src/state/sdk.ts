import type { Agent, RunState } from '@openai/agents';
import { TimestepError } from '../errors.js';
import type { Converted, PortableRunState, StateOptions } from './document.js';

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
export async function loadRunState<TContext, TAgent extends Agent<any, any>>(
  _document: PortableRunState | Record<string, unknown>,
  _agent: TAgent,
  _options: StateOptions = {},
): Promise<RunState<TContext, TAgent>> {
  throw new TimestepError('not here yet', 'load-failed', 'load');
}

// biome-ignore lint/suspicious/noExplicitAny: as above
export function dumpRunState(_state: RunState<any, any>): Converted<PortableRunState> {
  throw new TimestepError('not here yet', 'load-failed', 'load');
}
