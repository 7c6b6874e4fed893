/** Text for a terminal, equal in both ports: the same bytes for the same text. */

// What moves the cursor, changes the direction of writing or cannot be seen, and lone surrogates,
// which UTF-8 cannot carry. Joiners are not in it: scripts and emoji are written with them.
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e007f}]/gu;
const TOKENS = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

/** Levels of JSON that are indented; what is deeper is shown as it is. */
const DEEPEST = 100;

/** The least characters of the last column of a table. */
const NARROWEST = 24;

/** The text with what a terminal would obey or hide as `\uXXXX`, line ends included. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (found) =>
    Array.from({ length: found.length }, (_, at) => {
      const unit = found.charCodeAt(at).toString(16).padStart(4, '0');
      return `\\u${unit}`;
    }).join(''),
  );
}

/** The text on one line of `width` characters. */
export function shorten(text: string, width: number): string {
  const line = [...visible(text.replace(/[ \t\r\n]+/g, ' ').replace(/^ | $/g, ''))];
  return line.length <= width ? line.join('') : `${line.slice(0, width - 3).join('')}...`;
}

/** The lines of a text, indented where it is JSON; numbers stay as they are written. */
export function indented(text: string): string[] {
  try {
    JSON.parse(text);
  } catch {
    return split(text);
  }
  const lines = [''];
  let depth = 0;
  let before = '';
  for (const token of text.match(TOKENS) ?? []) {
    let shown = token === ':' ? ': ' : token;
    if (']}'.includes(token)) {
      depth -= 1;
      if (!'[{'.includes(before)) {
        lines.push('  '.repeat(depth));
      }
    } else if (before !== '' && '[{,'.includes(before)) {
      lines.push('  '.repeat(depth));
    }
    if ('[{'.includes(token)) {
      depth += 1;
      if (depth > DEEPEST) {
        return split(text);
      }
    } else if (token.startsWith('"')) {
      shown = visible(JSON.stringify(JSON.parse(token)));
    }
    lines[lines.length - 1] += shown;
    before = token;
  }
  return lines;
}

/** Rows below each other, the last column cut where a line would be longer than `width`. */
export function table(rows: readonly (readonly string[])[], width: number): string[] {
  const shown = rows.map((row) => row.slice(0, -1).map(visible));
  const widths = (shown[0] ?? []).map((_, column) =>
    shown.reduce((most, row) => Math.max(most, length(row[column])), 0),
  );
  const left = Math.max(NARROWEST, width - widths.reduce((sum, each) => sum + each + 2, 0));
  return rows.map((row, at) => {
    const cells = (shown[at] ?? []).map(
      (cell, column) => cell + ' '.repeat((widths[column] ?? 0) - length(cell) + 2),
    );
    return cells.join('') + shorten(row.at(-1) ?? '', left);
  });
}

/** The lines of a value as JSON. */
export function asJson(value: unknown): string[] {
  return JSON.stringify(value, null, 2).split('\n').map(visible);
}

/** Prints lines in UTF-8. */
export function say(lines: readonly string[]): Promise<void> {
  const text = lines.map((line) => `${line}\n`).join('');
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}

/** Prints lines on standard error, what a terminal would obey escaped. */
export function complain(lines: readonly string[]): void {
  process.stderr.write(lines.map((line) => `${visible(line)}\n`).join(''));
}

function length(text = ''): number {
  return [...text].length;
}

function split(text: string): string[] {
  return text.replaceAll('\r\n', '\n').split('\n').map(visible);
}
