/** The log of a run: which lines count, by the vectors both ports share. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pendingOf } from '../../src/store/lines.js';
import {
  dataIn,
  dataLine,
  EMPTY,
  type Entry,
  entries,
  type Folded,
  fold,
  parse,
  type RunLog,
} from '../../src/store/log.js';
import { LogFile } from '../../src/store/logFile.js';

interface Vector {
  name: string;
  log: string;
  expect: {
    accepted: string[];
    void: string[];
    revisions: number[];
    last: string | null;
    revision: number | null;
    pending: Record<string, unknown>[];
    decided: Record<string, string>;
    claim: string | null;
    ended: string | null;
  };
}

const FOLDER = new URL('../../../tests/vectors/logs/', import.meta.url);

const vectors = readdirSync(FOLDER).flatMap((file) =>
  (JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Vector[]).map((vector) => ({
    ...vector,
    name: `${file}: ${vector.name}`,
  })),
);

function said(state: RunLog): Partial<Vector['expect']> {
  const decided = [...state.decided].map(([callId, { decide }]) => [callId, decide]);
  return {
    last: state.last ?? null,
    revision: state.current?.revision ?? null,
    pending: pendingOf(state.current).map(({ tool, arguments: _, ...call }) => call),
    decided: Object.fromEntries(decided),
    claim: state.claim?.claim ?? null,
    ended: state.ended === undefined ? null : 'moved' in state.ended ? 'moved' : 'cleared',
  };
}

function verdict(lines: Entry[], { state, accepted }: Folded): Vector['expect'] {
  const ids = accepted.map(({ line }) => line.id);
  return {
    accepted: ids,
    void: lines.map(({ line }) => line.id).filter((id) => !ids.includes(id)),
    revisions: accepted.flatMap(({ line }) => (line.revision as number | undefined) ?? []),
    ...said(state),
  } as Vector['expect'];
}

describe.each(vectors)('$name', ({ log: text, expect: expected }) => {
  test('read from the first line', () => {
    const lines = entries(Buffer.from(text));
    expect(verdict(lines, fold(EMPTY, lines, new Set()))).toEqual(expected);
  });

  test('read from the last line', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'timestep-'));
    try {
      await writeFile(join(folder, '1.log'), text);
      await using log = await LogFile.open(join(folder, '1.log'));
      expect(log).toBeDefined();
      expect(log && said(log.state)).toEqual({
        ...expected,
        accepted: undefined,
        void: undefined,
        revisions: undefined,
      });
      const accepted = await log?.back(() => false);
      expect(accepted?.map(({ line }) => line.id)).toEqual(expected.accepted);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

test.each([
  '{"id":"a\xe1"}',
  '\xef\xbb\xbf{"id":"a"}',
  '["id"]',
  '{}',
])('what is no line is none: %j', (line) => {
  expect(parse(Buffer.from(line, 'latin1'))).toBeUndefined();
  expect(parse(Buffer.from('{"id":"á"}'))).toEqual({ id: 'á' });
});

describe('data', () => {
  test.each([
    [Buffer.of()],
    [Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
    [Buffer.from('\n\x10\x10\n\x10J\x10P\x10\x10J\x10PJ\n\n')],
    [Buffer.from('#{}\n#\n')],
  ])('is one line whatever it is: %j', (stored) => {
    const line = dataLine(stored);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(entries(line)).toEqual([]);
    expect(dataIn(line)).toEqual(stored);
  });

  test.each([
    '#eJyr',
    '#eJ\nyr\n',
    '#\n\n',
    'eJyr\n',
    '\n',
    '{}\n',
    '',
  ])('that is damaged is none: %j', (line) => {
    expect(dataIn(Buffer.from(line))).toBeUndefined();
  });
});
