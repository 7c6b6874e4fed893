/** runAgent and consumeResult, over the real SDK and a real client. */
import { text } from 'node:stream/consumers';
import { MaxTurnsExceededError, MemorySession, type RunStreamEvent, user } from '@openai/agents';
import { afterEach, describe, expect, test } from 'vitest';
import { consumeResult, InterruptionException, runAgent } from '../src/index.js';
import { type Model, scripted, weatherAgent } from './model.js';

const CALL = 1;
const ANSWER = 2;
const SUNNY = 'It is sunny in Oslo.';

const models: Model[] = [];

async function model(...turns: number[]): Promise<Model> {
  const made = await scripted(turns);
  models.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(models.splice(0).map((each) => each[Symbol.asyncDispose]()));
});

describe('runAgent', () => {
  test('text runs to the final output', async () => {
    const { provider } = await model(ANSWER);
    const context = { user: 'ada' };
    const result = await runAgent(weatherAgent(), 'Hi', { modelProvider: provider, context });
    expect(result.finalOutput).toBe(SUNNY);
    expect(result.runContext.context).toBe(context);
  });

  test('input items come after the session history', async () => {
    const { provider, requests } = await model(ANSWER, ANSWER);
    const session = new MemorySession();
    await runAgent(weatherAgent(), 'One', { session, modelProvider: provider });
    await runAgent(weatherAgent(), [user('Two')], { session, modelProvider: provider });
    const input = requests[1]?.input as { role: string }[];
    expect(input.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    expect(await session.getItems()).toHaveLength(4);
  });

  test('the run config keeps its own session input callback', async () => {
    const { provider, requests } = await model(ANSWER);
    const session = new MemorySession({ initialItems: [user('Old')] });
    const runConfig = { sessionInputCallback: (_: unknown, items: unknown[]) => items as never };
    await runAgent(weatherAgent(), [user('New')], { session, runConfig, modelProvider: provider });
    expect(requests[0]?.input).toHaveLength(1);
  });

  test('the model provider wins and the rest of the run config stays', async () => {
    const { provider, requests } = await model(ANSWER);
    const runConfig = {
      modelSettings: { temperature: 0.5 },
      modelProvider: { getModel: () => expect.fail('unused') },
    };
    await runAgent(weatherAgent(), 'Hi', { runConfig, modelProvider: provider });
    expect(requests[0]?.temperature).toBe(0.5);
  });

  test('the run config may bring the model provider', async () => {
    const { provider: modelProvider } = await model(ANSWER);
    const result = await runAgent(weatherAgent(), 'Hi', { runConfig: { modelProvider } });
    expect(result.finalOutput).toBe(SUNNY);
  });

  test.each([false, true])('a run state is resumed (stream: %s)', async (stream) => {
    const { provider } = await model(CALL, ANSWER);
    const calls: string[] = [];
    const agent = weatherAgent(calls);
    const { state } = await runAgent(agent, 'Oslo?', { modelProvider: provider });
    expect(calls).toEqual([]);
    for (const item of state.getInterruptions()) {
      state.approve(item);
    }
    const resumed = await runAgent(agent, state, { stream, modelProvider: provider });
    await consumeResult(resumed);
    expect(resumed.finalOutput).toBe(SUNNY);
    expect(calls).toEqual(['Oslo']);
  });

  test('hooks are called', async () => {
    const { provider } = await model(ANSWER);
    const started: string[] = [];
    await runAgent(weatherAgent(), 'Hi', {
      modelProvider: provider,
      hooks: { agent_start: (_context, agent) => started.push(agent.name) },
    });
    expect(started).toEqual(['Weather']);
  });

  test('a resumed run keeps its turn limit unless one is given', async () => {
    const { provider } = await model(CALL, CALL, ANSWER);
    const options = { modelProvider: provider };
    const pause = async () => {
      const { state } = await runAgent(weatherAgent(), 'Oslo?', { ...options, maxTurns: 1 });
      for (const item of state.getInterruptions()) {
        state.approve(item);
      }
      return state;
    };
    const kept = await pause();
    await expect(runAgent(weatherAgent(), kept, options)).rejects.toThrow(MaxTurnsExceededError);
    const lifted = await runAgent(weatherAgent(), await pause(), { ...options, maxTurns: null });
    expect(lifted.finalOutput).toBe(SUNNY);
  });

  test('an interruption is thrown where it is asked for', async () => {
    const { provider } = await model(CALL, ANSWER);
    const options = { modelProvider: provider, raiseOnInterruption: true };
    const agent = weatherAgent();
    const error = await runAgent(agent, 'Oslo?', options).catch((caught: unknown) => caught);
    if (!(error instanceof InterruptionException)) {
      throw error;
    }
    expect(error.code).toBe('interrupted');
    expect(error.interruptions).toEqual(error.result.interruptions);
    for (const item of error.interruptions) {
      error.state.approve(item);
    }
    const result = await runAgent(agent, error.state, options);
    expect(result.finalOutput).toBe(SUNNY);
  });
});

describe('consumeResult', () => {
  test('a streamed interruption is thrown when drained', async () => {
    const { provider } = await model(CALL, CALL);
    const options = { modelProvider: provider, stream: true } as const;
    const loud = await runAgent(weatherAgent(), 'Oslo?', { ...options, raiseOnInterruption: true });
    await expect(consumeResult(loud)).rejects.toMatchObject({ code: 'interrupted', result: loud });
    const quiet = await runAgent(weatherAgent(), 'Oslo?', options);
    expect((await consumeResult(quiet)).interruptions).toHaveLength(1);
  });

  test('forwards events in order and flushes the session', async () => {
    const { provider } = await model(ANSWER);
    const session = new MemorySession();
    const result = await runAgent(weatherAgent(), 'Hi', {
      session,
      stream: true,
      modelProvider: provider,
    });
    const seen: string[] = [];
    const onEvent = async (event: RunStreamEvent) => {
      await Promise.resolve();
      seen.push(event.type);
    };
    expect(await consumeResult(result, { onEvent })).toBe(result);
    expect(seen[0]).toBe('raw_model_stream_event');
    expect(seen.at(-1)).toBe('run_item_stream_event');
    expect(result.finalOutput).toBe(SUNNY);
    expect(await session.getItems()).toHaveLength(2);
    expect(await consumeResult(result)).toBe(result);
  });

  test('a result that was not streamed passes through', async () => {
    const { provider } = await model(ANSWER);
    const result = await runAgent(weatherAgent(), 'Hi', { modelProvider: provider });
    expect(await consumeResult(result, { onEvent: () => expect.fail('no event') })).toBe(result);
  });

  test('waits for the end where another reader has the events', async () => {
    const { provider } = await model(ANSWER);
    const result = await runAgent(weatherAgent(), 'Hi', { stream: true, modelProvider: provider });
    const reading = text(result.toTextStream({ compatibleWithNodeStreams: true }));
    expect((await consumeResult(result)).finalOutput).toBe(SUNNY);
    expect(await reading).toBe(SUNNY);
  });

  test('an error of the run is thrown when drained', async () => {
    const { provider } = await model(CALL);
    const result = await runAgent(weatherAgent([], { approval: false }), 'Oslo?', {
      stream: true,
      modelProvider: provider,
      maxTurns: 1,
    });
    await expect(consumeResult(result)).rejects.toThrow(MaxTurnsExceededError);
  });

  test('a failing event handler does not cut the run short', async () => {
    const { provider } = await model(CALL, ANSWER, CALL);
    const calls: string[] = [];
    const agent = weatherAgent(calls, { approval: false });
    const options = { stream: true, modelProvider: provider } as const;
    let events = 0;
    const onEvent = () => {
      events += 1;
      throw new RangeError('handler');
    };
    const result = await runAgent(agent, 'Oslo?', options);
    await expect(consumeResult(result, { onEvent })).rejects.toThrow(RangeError);
    expect(events).toBe(1);
    expect(calls).toEqual(['Oslo']);
    expect(result.finalOutput).toBe(SUNNY);

    const failing = await runAgent(agent, 'Oslo?', { ...options, maxTurns: 1 });
    await expect(consumeResult(failing, { onEvent })).rejects.toMatchObject({
      errors: [expect.any(MaxTurnsExceededError), expect.any(RangeError)],
    });
  });
});
