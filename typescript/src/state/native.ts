import type { Agent } from '@openai/agents';
import { TimestepError } from '../errors.js';
import type { Converted, PortableRunState, StateOptions } from './document.js';

export function toNative(
  _document: PortableRunState | Record<string, unknown>,
  // biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
  _agent?: Agent<any, any>,
  _options: StateOptions = {},
): Converted {
  throw new TimestepError('not here yet', 'load-failed', 'load');
}
