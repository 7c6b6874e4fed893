import { readFileSync } from 'node:fs';
import { Agent, RunContext, RunState } from '@openai/agents';
import { describe, expect, test } from 'vitest';
import * as errors from '../../src/errors.js';

const published: Record<string, string[]> = JSON.parse(
  readFileSync(new URL('../../../schemas/errors.json', import.meta.url), 'utf8'),
).errors;

const classes = errors as unknown as Record<string, { codes: readonly string[] }>;

describe('errors', () => {
  test.each(Object.entries(published))('%s carries the published codes', (name, codes) => {
    expect([...(classes[name]?.codes ?? [])].sort()).toEqual([...codes].sort());
  });

  test('no class beside the published ones carries codes', () => {
    const carriers = Object.keys(classes).filter((name) => classes[name]?.codes !== undefined);
    expect(carriers.sort()).toEqual(Object.keys(published).sort());
  });

  test('every error is a TimestepError with a hint, a phase and its name', () => {
    const error = new errors.CrossingError('no', 'sandbox-state', { pointer: '/sandbox' });
    expect(error).toBeInstanceOf(errors.TimestepError);
    expect(error).toMatchObject({
      name: 'CrossingError',
      code: 'sandbox-state',
      phase: 'crossing',
      pointer: '/sandbox',
    });
    expect(error.hint).not.toBe('');
    expect(new errors.StoreError('no', 'state-not-found', { hint: 'look' }).hint).toBe('look');
  });

  test('an Ollama error is a model error with what the server said', () => {
    const error = new errors.OllamaError('busy', undefined, { status: 503, retryable: true });
    expect(error).toBeInstanceOf(errors.ModelError);
    expect(error).toMatchObject({
      code: 'ollama-refused',
      phase: 'model',
      status: 503,
      retryable: true,
    });
    expect(new errors.OllamaError('cut', 'ollama-stream-ended').retryable).toBe(false);
  });

  test('an interruption carries what waits, the state and the result', () => {
    const state = new RunState(new RunContext({}), 'Hi', new Agent({ name: 'assistant' }), 1);
    const result = { interruptions: [], state };
    const error = new errors.InterruptionException({ interruptions: [], state, result });
    expect(error).toMatchObject({ code: 'interrupted', phase: 'run', interruptions: [] });
    expect(error.state).toBe(state);
    expect(error.result).toBe(result);
  });
});
