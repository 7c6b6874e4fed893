/** What the SDK keeps more than once, compared as text when it loads, in snapshots and residue. */
import { RunState } from '@openai/agents';
import { expect, test } from 'vitest';
import { dumpRunState, toNative, toPortable } from '../../src/state/index.js';
import { isObj, type Obj, obj, objs } from '../../src/state/json.js';
import { weatherAgent } from '../model.js';
import { snapshot } from './material.js';

/** The value with the keys of every object in alphabetical order, as a store may write it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  return isObj(value)
    ? Object.fromEntries(
        Object.keys(value)
          .sort()
          .map((key) => [key, sorted(value[key])]),
      )
    : value;
}

test('copies of an item have one order of keys, whatever wrote the document', () => {
  const native = snapshot('weather');
  const items = objs(native.generatedItems);
  const waiting = items.findIndex(({ type }) => type === 'tool_approval_item');
  const note = { type: 'function_call', extra: 1, id: 'a' };
  for (const item of [items[waiting], objs(obj(obj(native.currentStep).data).interruptions)[0]]) {
    obj(item?.rawItem).providerData = note;
  }
  const document = sorted(toPortable(native).document) as Obj;
  const again = toNative(document).document;
  const [interruption] = objs(obj(obj(again.currentStep).data).interruptions);
  expect(JSON.stringify(interruption)).toBe(JSON.stringify(objs(again.generatedItems)[waiting]));
});

test('residue holds no key without a value', async () => {
  const native = snapshot('weather');
  const state = await RunState.fromString(weatherAgent(), JSON.stringify(native));
  const { document } = dumpRunState(state);
  const patch = document.residue?.typescript?.patch ?? [];
  expect(patch.filter((step) => step.op !== 'remove' && step.value === undefined)).toEqual([]);
});
