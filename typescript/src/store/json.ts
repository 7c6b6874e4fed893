/** Parsing JSON with the two things `JSON.parse` does not tell: where it is damaged, what it rounds. */
import { DocumentError } from '../errors.js';

/**
 * The value of a JSON text; `source` names the text in errors.
 *
 * @throws DocumentError `malformed` with the line and column of the damage, both from 1;
 * `unsafe-integer` for an integer that JavaScript would write back with other digits.
 */
export function parseJson(text: string, source: string, hint?: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw error;
    }
    const at = lineAndColumn(text, damage(text));
    throw new DocumentError(`${source} is not JSON at ${at}`, 'malformed', { hint, cause: error });
  }
  refuseUnsafeIntegers(text, source);
  return value;
}

/** The line and column of an offset, both from 1, in words. */
export function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  return `line ${line} column ${offset - before.lastIndexOf('\n')}`;
}

/** `JSON.parse` rounds without a word, so only the text can tell. */
function refuseUnsafeIntegers(text: string, source: string): void {
  if (!/\d{16}/.test(text)) {
    return;
  }
  let start = 0;
  while (start < text.length) {
    const open = text.indexOf('"', start);
    const end = open === -1 ? text.length : open;
    if (end - start >= 16) {
      for (const { 0: literal, index } of text.slice(start, end).matchAll(/-?\d[\d.eE+-]*/g)) {
        if (/^-?\d{16,}$/.test(literal) && String(Number(literal)) !== literal) {
          const at = lineAndColumn(text, start + index);
          throw new DocumentError(
            `${source} holds the integer ${literal} at ${at}`,
            'unsafe-integer',
          );
        }
      }
    }
    start = open === -1 ? text.length : stringEnd(text, open);
  }
}

/** The offset after the string that opens at `open`, or the end of the text. */
function stringEnd(text: string, open: number): number {
  let close = open;
  let slashes: number;
  do {
    close = text.indexOf('"', close + 1);
    slashes = 0;
    while (text[close - 1 - slashes] === '\\') {
      slashes += 1;
    }
  } while (slashes % 2 === 1);
  return close === -1 ? text.length : close + 1;
}

const SPACE = /[ \t\n\r]*/y;
const STRING_PART = /[ !#-[\]-\uffff]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** The offset at which `text` stops being JSON; the messages of `JSON.parse` do not always say. */
function damage(text: string): number {
  let offset = 0;
  const skip = (token: RegExp): boolean => {
    token.lastIndex = offset;
    const found = token.test(text);
    offset = found ? token.lastIndex : offset;
    return found;
  };
  const take = (character: string): boolean => {
    const found = text[offset] === character;
    offset += found ? 1 : 0;
    return found;
  };
  const skipString = (): boolean => {
    const start = offset;
    if (take('"')) {
      while (skip(STRING_PART));
      if (take('"')) {
        return true;
      }
    }
    offset = start;
    return false;
  };

  const closers: ('}' | ']')[] = [];
  let expect: 'value' | 'member or end' | 'separator or end' = 'value';
  for (;;) {
    skip(SPACE);
    const closer = closers.at(-1);
    if (expect !== 'value') {
      if (closer !== undefined && take(closer)) {
        closers.pop();
        expect = 'separator or end';
        continue;
      }
      if (expect === 'separator or end' && (closer === undefined || !take(','))) {
        return offset;
      }
      skip(SPACE);
      if (closer === '}' && !(skipString() && skip(SPACE) && take(':'))) {
        return offset;
      }
      expect = 'value';
    } else if (take('{')) {
      closers.push('}');
      expect = 'member or end';
    } else if (take('[')) {
      closers.push(']');
      expect = 'member or end';
    } else if (skipString() || skip(SCALAR)) {
      expect = 'separator or end';
    } else {
      return offset;
    }
  }
}
