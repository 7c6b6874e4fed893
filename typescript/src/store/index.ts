export { RunStateStore } from './runStateStore.js';
