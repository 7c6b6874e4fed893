import { TimestepError } from '../errors.js';
import type { Converted, PortableRunState, StateOptions } from './document.js';

export function toPortable(
  _native: Record<string, unknown>,
  _options: StateOptions = {},
): Converted<PortableRunState> {
  throw new TimestepError('not here yet', 'load-failed', 'load');
}
