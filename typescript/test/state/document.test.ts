import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { runStateSchema } from '../../src/generated/runStateSchema.js';
import type { PortableRunState } from '../../src/state/index.js';
import { validate } from '../../src/state/index.js';
import { fromPython, snapshot } from './material.js';

function changed(change: (document: PortableRunState & Record<string, unknown>) => void) {
  const document = structuredClone(fromPython('weather')) as PortableRunState &
    Record<string, unknown>;
  change(document);
  return document;
}

const refused = (code: string, pointer?: string) =>
  expect.objectContaining({ code, ...(pointer !== undefined && { pointer }) });

describe('validate', () => {
  test('a document of the other port', () => {
    expect(() => validate(fromPython('nested'))).not.toThrow();
  });

  test.each([null, [], 'text', 1])('%s is malformed', (value) => {
    expect(() => validate(value)).toThrowError(refused('malformed', ''));
  });

  test('a raw snapshot is named for what it is', () => {
    expect(() => validate(snapshot('weather'))).toThrowError(refused('not-a-run-state'));
    expect(() => validate(snapshot('weather'))).toThrowError(/@openai\/agents.*1\.22/);
    expect(() => validate({ current_turn: 1, $schemaVersion: '1.21' })).toThrowError(/Python/);
  });

  test('a newer version is refused before its shape is judged', () => {
    expect(() => validate({ format: 'timestep.run_state', version: '2' })).toThrowError(
      refused('newer-version', '/version'),
    );
  });

  test.each<[string, string, (document: PortableRunState & Record<string, unknown>) => void]>([
    ['an unknown key', '', (document) => (document.extra = 1)],
    ['a missing key', '', (document) => Reflect.deleteProperty(document, 'items')],
    ['a wrong type', '/current_turn', (document) => (document.current_turn = -1)],
    [
      'a call without arguments',
      '/items/0/item',
      (document) => Reflect.deleteProperty(document.items[0]?.item ?? {}, 'arguments'),
    ],
    [
      'a response beyond the history',
      '/response',
      (document) => (document.response = { start: 0, count: 9, tools_used: [] }),
    ],
  ])('%s is malformed', (_name, pointer, change) => {
    expect(() => validate(changed(change))).toThrowError(refused('malformed', pointer));
  });
});

describe('generated files', () => {
  test('are those of the schema', () => {
    const root = new URL('../../', import.meta.url);
    execFileSync(process.execPath, ['scripts/generate.mjs', '--check'], { cwd: root });
    const file = new URL('../schemas/run-state.schema.json', root);
    expect(runStateSchema).toEqual(JSON.parse(readFileSync(file, 'utf8')));
  });
});
