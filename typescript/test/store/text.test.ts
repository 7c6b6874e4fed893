/** A portable document as text: what damage is called, and which numbers are read. */
import { describe, expect, test } from 'vitest';
import { decode, encode } from '../../src/store/text.js';

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

describe('damage', () => {
  test.each([
    ['', 1, 1],
    ['{"a": 1,\n "b": }', 2, 7],
    ['{"a": 1}\n{}', 2, 1],
    ['{"a": [1,\n\n  "x\n', 3, 3],
    ['{"a":\n  "\xff"}', 2, 4],
    ['[]', 1, 1],
    ['{"a": [1 2]}', 1, 10],
    ['{"a" 1}', 1, 6],
    ['{a: 1}', 1, 2],
    ['{"a": 01}', 1, 8],
    ['{"a": nul}', 1, 7],
    ['{"a": [1,]}', 1, 10],
    ['{"a": 1]', 1, 8],
    ['{"a": {}', 1, 9],
    ['}', 1, 1],
    ['{"a": NaN}', 1, 7],
  ])('is named with line and column: %j', (text, line, column) => {
    expect(() => decode(bytes(text), 'x')).toThrow(
      expect.objectContaining({
        code: 'malformed',
        message: expect.stringMatching(new RegExp(`line ${line} column ${column}$`)),
      }),
    );
  });
});

describe('integers', () => {
  test.each([
    '9007199254740993',
    '-9007199254740993',
    '[1, {"b": 12345678901234567890}]',
  ])('that JavaScript would change are refused: %s', (value) => {
    expect(() => decode(bytes(`{\n"a": ${value}}`), 'x')).toThrow(
      expect.objectContaining({
        code: 'unsafe-integer',
        message: expect.stringContaining('line 2'),
      }),
    );
  });

  test.each([
    '9007199254740991',
    '"9007199254740993"',
    '"\\" 9007199254740993"',
    '1e16',
    '1.0000000000000001',
    '10000000000000000',
  ])('and other numbers that survive are read: %s', (value) => {
    expect(decode(bytes(`{"a": ${value}}`), 'x')).toHaveProperty('a');
  });

  test('are looked for in long texts too', () => {
    const text = JSON.stringify({ image: 'A\\"'.repeat(5_000_000), id: '1234567890123456789' });
    expect(decode(bytes(text), 'x')).toHaveProperty('image');
  });
});

test('a lone surrogate survives', () => {
  const document = { a: '\ud83d', b: '🌦' };
  expect(decode(Buffer.from(encode(document)), 'x')).toEqual(document);
});
