/** What a run leaves to the residue grows by a little each turn, however its calls were decided. */
import { Agent, Runner, type RunState, setTracingDisabled, tool } from '@openai/agents';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { dumpRunState, loadRunState, toPortable } from '../../src/state/index.js';
import { answering } from '../answers.js';

setTracingDisabled(true);

const TURNS = 5;

function weather(name: string, needsApproval: boolean) {
  return tool({
    name,
    description: name,
    parameters: z.object({ city: z.string() }),
    needsApproval,
    execute: ({ city }) => `sunny in ${city}`,
  });
}

function calls(turn: number, names: readonly string[]) {
  return names.map((name, index) => ({
    type: 'function_call',
    id: `fc_${turn}_${index}`,
    call_id: `call_${turn}_${index}`,
    name,
    arguments: '{"city":"Oslo"}',
    status: 'completed',
  }));
}

function decide(state: RunState<unknown, Agent>, verdicts: string): void {
  state.getInterruptions().forEach((item, index) => {
    if (verdicts[index] === 'r') {
      state.reject(item);
    } else if (verdicts[index] !== '.') {
      state.approve(item);
    }
  });
}

test.each([
  [['ask'], 'a', 1],
  [['ask'], 'r', 1],
  [['ask', 'ask'], 'aa', 2],
  [['look', 'ask', 'look'], 'a', 3],
  [['ask', 'ask'], 'ar', 2],
  [['ask', 'ask'], 'a.', 2],
])('%j, decided %s, adds %i operations a turn', async (names, verdicts, growth) => {
  const agent = new Agent({
    name: 'assistant',
    model: 'gpt-x',
    tools: [weather('ask', true), weather('look', false)],
  });
  const turns = Array.from({ length: TURNS }, (_, turn) => calls(turn, names));
  const done = { type: 'message', role: 'assistant', id: 'm', status: 'completed' };
  await using model = await answering(...turns, [
    { ...done, content: [{ type: 'output_text', text: 'Done.', annotations: [] }] },
  ]);
  const runner = new Runner({ modelProvider: model.provider });
  const sizes: number[] = [];
  let result = await runner.run<Agent, unknown>(agent, 'Go');
  while (result.interruptions.length > 0) {
    const { document } = dumpRunState(result.state);
    sizes.push(document.residue?.typescript?.patch.length ?? 0);
    const state = await loadRunState<unknown, Agent>(document, agent);
    decide(state, state.getInterruptions().length === verdicts.length ? verdicts : 'aa');
    result = await runner.run(agent, state);
  }
  const perTurn = sizes.filter((_, index) => index % (sizes.length / TURNS) === 0);
  const grown = perTurn.slice(1).map((size, index) => size - (perTurn[index] ?? 0));
  expect(Math.max(...grown)).toBeLessThanOrEqual(growth);
});

test('a snapshot that was never written converts as one that was', async () => {
  const agent = new Agent({
    name: 'assistant',
    model: 'gpt-x',
    tools: [weather('look', false), weather('ask', true)],
  });
  await using model = await answering(calls(0, ['look', 'ask', 'look', 'ask']));
  const { state } = await new Runner({ modelProvider: model.provider }).run(agent, 'Oslo?');
  const live = toPortable(state.toJSON()).document;
  expect(JSON.parse(JSON.stringify(live))).toEqual(
    toPortable(JSON.parse(state.toString())).document,
  );
});
