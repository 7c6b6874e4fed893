/** The facts of a save, by the vectors that both ports share. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type PortableRunState, validate } from '../../src/state/index.js';
import { facts } from '../../src/store/facts.js';

interface Vector {
  name: string;
  document: PortableRunState;
  before: PortableRunState | null;
  models: Record<string, string>;
  facts: Record<string, unknown>;
}

const FOLDER = new URL('../../../tests/vectors/facts/', import.meta.url);

const vectors = readdirSync(FOLDER).flatMap(
  (file) => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Vector[],
);

test.each(vectors)('$name', ({ document, before, models, facts: expected }) => {
  validate(document);
  const said = facts(document, before ?? undefined, new Map(Object.entries(models)));
  for (const { arguments: text, digest } of said.pending) {
    expect(digest).toBe(createHash('sha256').update(text).digest('hex'));
  }
  expect({
    ...said,
    traceId: undefined,
    trace_id: said.traceId ?? null,
    pending: said.pending.map(({ callId, ...call }) => ({
      ...call,
      call_id: callId,
      arguments: Buffer.from(call.arguments).toString(),
    })),
    calls: said.calls.map(({ callId, ...call }) => ({ ...call, call_id: callId })),
    usage: said.usage.map((request) => ({ ...request, model: request.model ?? null })),
  }).toEqual(expected);
});
