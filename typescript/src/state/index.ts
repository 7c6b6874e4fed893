export { canonical, digest } from './canonical.js';
export type { Converted, PortableRunState, StateOptions } from './document.js';
export { validate } from './document.js';
export { toNative } from './native.js';
export { toPortable } from './portable.js';
export { dumpRunState, loadRunState } from './sdk.js';
