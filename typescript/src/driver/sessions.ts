/** The operations on the session of a case. */
import type { Case } from './case.js';
import { isRow, type Row, rows } from './json.js';
import { Failure } from './protocol.js';
import { inputItems, wireItems } from './wire.js';

/** One of the operations `session.*`. */
export async function session(open: Case, op: string, args: Row): Promise<Row> {
  const held = open.conversation;
  switch (op) {
    case 'session.read': {
      const limit = typeof args.limit === 'number' ? args.limit : undefined;
      return { items: wireItems(await held.getItems(limit)) };
    }
    case 'session.add':
      await held.addItems(inputItems(rows(args.items)));
      return {};
    case 'session.pop': {
      const item = await held.popItem();
      return { item: isRow(item) ? (wireItems([item])[0] ?? null) : null };
    }
    case 'session.clear':
      await held.clearSession();
      return {};
    default:
      throw new Failure('protocol', 'unknown-op', `there is no operation ${op}`);
  }
}
