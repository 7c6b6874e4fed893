/** The effects ledger, and what tools of the catalogue do. */
import { type Row, rows } from './json.js';

/** What tools really did since the case was opened, in order. */
export class Ledger {
  readonly #entries: Row[] = [];

  add(tool: string, args: unknown): void {
    this.#entries.push({ tool, arguments: args });
  }

  get entries(): Row[] {
    return [...this.#entries];
  }
}

/** The template with each `{argument}` replaced; other braces stay. */
export function rendered(template: string, args: Row): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = args[name];
    if (value === undefined) {
      return whole;
    }
    return typeof value === 'string' ? value : JSON.stringify(value);
  });
}

function part(wire: Row): Row {
  switch (wire.type) {
    case 'input_image':
      return {
        type: 'image',
        image: wire.file_id === undefined ? wire.image_url : { fileId: wire.file_id },
        ...(wire.detail !== undefined && { detail: wire.detail }),
      };
    case 'input_file': {
      const name = wire.filename === undefined ? {} : { filename: wire.filename };
      const file =
        wire.file_id === undefined
          ? { url: wire.file_url, ...name }
          : { id: wire.file_id, ...name };
      return { type: 'file', file };
    }
    default:
      return { type: 'text', text: wire.text };
  }
}

/** What a function tool returns: text, or the SDK's form of content parts. */
export function returned(returns: unknown, args: Row): unknown {
  return typeof returns === 'string' ? rendered(returns, args) : rows(returns).map(part);
}
