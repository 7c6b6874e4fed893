import { describe, expect, it } from 'vitest';
import { Ledger, rendered, returned } from '../../src/driver/effects.js';

describe('rendered', () => {
  it.each([
    ['sunny in {city}', { city: 'Oslo' }, 'sunny in Oslo'],
    ['{a} and {b}', { a: '{b}', b: 1 }, '{b} and 1'],
    ['{list} {none}', { list: [1, 'ø', null] }, '[1,"ø",null] {none}'],
    ['{"temp": {t}}', { t: 3 }, '{"temp": 3}'],
  ])('%s', (template, args, text) => {
    expect(rendered(template, args)).toBe(text);
  });
});

describe('returned', () => {
  it('gives content parts the form of the SDK', () => {
    const parts = [
      { type: 'input_text', text: 'cap' },
      { type: 'input_image', image_url: 'https://x/y.png', detail: 'high' },
      { type: 'input_image', file_id: 'file_1' },
      { type: 'input_file', file_id: 'file_2', filename: 'a.pdf' },
      { type: 'input_file', file_url: 'https://x/a.pdf' },
    ];
    expect(returned(parts, {})).toEqual([
      { type: 'text', text: 'cap' },
      { type: 'image', image: 'https://x/y.png', detail: 'high' },
      { type: 'image', image: { fileId: 'file_1' } },
      { type: 'file', file: { id: 'file_2', filename: 'a.pdf' } },
      { type: 'file', file: { url: 'https://x/a.pdf' } },
    ]);
  });
});

describe('Ledger', () => {
  it('keeps the order and cannot be changed from outside', () => {
    const ledger = new Ledger();
    ledger.add('a', { x: 1 });
    ledger.add('b', 'text');
    ledger.entries.pop();
    expect(ledger.entries).toEqual([
      { tool: 'a', arguments: { x: 1 } },
      { tool: 'b', arguments: 'text' },
    ]);
  });
});
