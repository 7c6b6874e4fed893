/** What the SDK keeps more than once and compares as text when it loads. */
import { expect, test } from 'vitest';
import { runAgent } from '../../src/run.js';
import { dumpRunState, toNative, toPortable } from '../../src/state/index.js';
import { type Obj, obj, objs } from '../../src/state/json.js';
import { scripted, weatherAgent } from '../model.js';
import { snapshot } from './material.js';

test('copies of an item have one order of keys, whatever the residue puts in', () => {
  const native = snapshot('weather');
  const items = objs(native.generatedItems);
  const reversed = (item: Obj) => Object.fromEntries(Object.entries(item).reverse());
  const { document } = toPortable(native);
  const patch = items.map((item, index) => ({
    op: 'replace' as const,
    path: `/generatedItems/${index}`,
    value: { ...item, rawItem: reversed(obj(item.rawItem)) },
  }));
  const again = toNative({ ...document, residue: { typescript: { patch } } }).document;
  const copies = [
    ...objs(obj(again.lastProcessedResponse).newItems),
    ...objs(obj(obj(again.currentStep).data).interruptions),
  ];
  expect(copies.map((copy) => JSON.stringify(copy))).toEqual(
    objs(again.generatedItems).map((item) => JSON.stringify(item)),
  );
});

test('residue holds no key without a value', async () => {
  await using model = await scripted([1]);
  const agent = weatherAgent();
  const { state } = await runAgent(agent, 'Oslo?', { modelProvider: model.provider });
  const { document } = dumpRunState(state);
  const patch = document.residue?.typescript?.patch ?? [];
  expect(patch.filter((step) => step.op !== 'remove' && step.value === undefined)).toEqual([]);
});
