export type { Approval, Decision, Revision, RunSummary } from './base.js';
export type { Claim } from './claim.js';
export type { StoreOptions } from './runStateStore.js';
export { RunStateStore } from './runStateStore.js';
