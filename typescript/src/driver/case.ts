/** The open case. */
import type { Row } from './json.js';
import { Failure } from './protocol.js';

/** One case of the suite: its agents, its run and its ledger. */
export class Case {
  static async open(_args: Row): Promise<Case> {
    throw new Failure('unsupported', 'case.open', 'this driver only converts states');
  }
  async start(_args: Row, _signal: AbortSignal): Promise<Row> {
    return {};
  }
  async advance(_args: Row, _signal: AbortSignal): Promise<Row> {
    return {};
  }
  async decide(_args: Row): Promise<Row> {
    return {};
  }
  async addInput(_args: Row): Promise<Row> {
    return {};
  }
  async save(_args: Row): Promise<Row> {
    return {};
  }
  async load(_args: Row): Promise<Row> {
    return {};
  }
  async readSession(): Promise<Row> {
    return {};
  }
  async readEffects(): Promise<Row> {
    return {};
  }
  async close(): Promise<void> {}
}
