import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type Handlers, serve } from '../../src/driver/loop.js';
import { errorCode, Failure, parseRequest } from '../../src/driver/protocol.js';
import { StoreError } from '../../src/errors.js';

const ECHO: Handlers = { handle: async (op, args) => ({ op, args }) };

async function replies(handlers: Handlers, ...chunks: string[]): Promise<unknown[]> {
  const written: string[] = [];
  const source = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
  await serve(handlers, source, (line) => written.push(line));
  return written.map((line) => JSON.parse(line));
}

describe('serve', () => {
  it('answers each line, however it arrives in pieces', async () => {
    const line = '{"id":1,"op":"x","args":{"text":"a\u2028b"}}\n';
    const said = await replies(
      ECHO,
      line.slice(0, 9),
      line.slice(9, 30),
      `${line.slice(30)}{"id":2,`,
      '"op":"y"}',
    );
    expect(said).toEqual([
      { id: 1, ok: { op: 'x', args: { text: 'a\u2028b' } } },
      { id: 2, ok: { op: 'y', args: {} } },
    ]);
  });

  it('does one operation at a time, and answers ping meanwhile', async () => {
    const order: string[] = [];
    const handlers: Handlers = {
      handle: async (op) => {
        order.push(`begin ${op}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
        order.push(`end ${op}`);
        return {};
      },
    };
    const said = await replies(
      handlers,
      '{"id":1,"op":"a"}\n{"id":2,"op":"b"}\n{"id":3,"op":"ping"}\n{"id":4,"op":"bye"}\n{"id":5,"op":"c"}\n',
    );
    expect(order).toEqual(['begin a', 'end a', 'begin b', 'end b']);
    expect(said.map((reply) => (reply as { id: number }).id)).toEqual([3, 1, 2, 4]);
  });

  it('stops what is running when it is told to cancel', async () => {
    const handlers: Handlers = { handle: () => new Promise(() => {}) };
    const source = new Readable({ read() {} });
    const written: string[] = [];
    const served = serve(handlers, source, (line) => written.push(line));
    source.push('{"id":1,"op":"a"}\n');
    await new Promise((resolve) => setTimeout(resolve, 10));
    source.push('{"id":2,"op":"cancel"}\n{"id":3,"op":"bye"}\n');
    await served;
    const ids = written.map((line) => JSON.parse(line).id);
    expect(ids.sort()).toEqual([1, 2, 3]);
    expect(written.join('')).toContain('"code":"cancelled"');
  });

  it('tells errors of the port from its own', async () => {
    const handlers: Handlers = {
      handle: async (op) => {
        throw op === 'port'
          ? new StoreError('gone', 'state-not-found', { pointer: '/x' })
          : new Failure('unsupported', op, 'no');
      },
    };
    const said = await replies(handlers, '{"id":1,"op":"port"}\n{"id":2,"op":"other"}\n');
    expect(said).toMatchObject([
      { id: 1, err: { kind: 'implementation', code: 'state-not-found', pointer: '/x' } },
      { id: 2, err: { kind: 'unsupported', code: 'other' } },
    ]);
  });
});

describe('parseRequest', () => {
  it.each(['', 'x', '[]', '{}', '{"op":1}', '{"op":"x","args":[]}'])('refuses %j', (line) => {
    expect(() => parseRequest(Buffer.from(line))).toThrow(Failure);
  });
});

describe('errorCode', () => {
  it('gives classes the form of codes', () => {
    class MaxTurnsExceededError extends Error {}
    class InputGuardrailTripwireTriggered extends Error {}
    expect(errorCode(new MaxTurnsExceededError())).toBe('max-turns-exceeded');
    expect(errorCode(new InputGuardrailTripwireTriggered())).toBe(
      'input-guardrail-tripwire-triggered',
    );
    expect(errorCode(new StoreError('', 'unknown-location'))).toBe('unknown-location');
    expect(errorCode(new Error('x'))).toBe('error');
  });
});
