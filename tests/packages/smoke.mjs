// With the installed npm package alone: loads the run that Python saved, and saves it again.
import assert from 'node:assert/strict';
import { Agent, RunState } from '@openai/agents';
import { RunStateStore, StoreError } from '@timestep-ai/timestep';

const agent = new Agent({ name: 'Weather', model: 'gpt-4.1' });
const [path] = process.argv.slice(2);

const store = new RunStateStore(path, agent);
const state = await store.load();
assert(state instanceof RunState);
assert.deepEqual(state.getInterruptions(), []);
await store.save(state);

const missing = new RunStateStore(`${path}.none`, agent);
await assert.rejects(missing.load(), (error) => {
  return error instanceof StoreError && error.code === 'state-not-found';
});

const { openCassette } = await import('@timestep-ai/timestep/testing');
await assert.rejects(openCassette(`${path}.none`), { code: 'ENOENT' });
