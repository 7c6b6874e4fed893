/** A portable document as the text of a file. */
import { DocumentError } from '../errors.js';
import { lineAndColumn, parseJson } from './json.js';

const DAMAGED =
  'restore the file from a copy; saves replace it whole, so something else changed it';

/** The document as one line of JSON; `timestep inspect` is the way to read it. */
export function encode(document: object): string {
  return `${JSON.stringify(document)}\n`;
}

/**
 * The JSON object in `data`; `source` names it in errors.
 *
 * @throws DocumentError `malformed` with the line and column of the damage, both from 1;
 * `unsafe-integer` for an integer that JavaScript would write back with other digits.
 */
export function decode(data: Uint8Array, source: string): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    const at = lineAndColumn(Buffer.from(data).toString('latin1'), firstBadByte(data));
    throw new DocumentError(`${source} is not UTF-8 at ${at}`, 'malformed', { hint: DAMAGED });
  }
  const value = parseJson(text, source, DAMAGED);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DocumentError(`${source} holds no JSON object at line 1 column 1`, 'malformed', {
      hint: DAMAGED,
    });
  }
  return value as Record<string, unknown>;
}

/** @throws DocumentError `not-a-run-state` if `document` is a raw snapshot of either SDK. */
export function refuseRawSnapshot(document: Record<string, unknown>, source: string): void {
  if ('format' in document) {
    return;
  }
  let sdk: string;
  let port: string;
  if ('currentTurn' in document) {
    [sdk, port] = ['@openai/agents', '@timestep-ai/timestep'];
  } else if ('current_turn' in document) {
    [sdk, port] = ['openai-agents', 'timestep'];
  } else {
    return;
  }
  const schema = String(document.$schemaVersion ?? 'unknown');
  throw new DocumentError(
    `${source} is a raw ${sdk} snapshot (schema ${schema}), no portable run state`,
    'not-a-run-state',
    { hint: `save it with ${port} or convert it with \`timestep convert\`` },
  );
}

function firstBadByte(data: Uint8Array): number {
  const again = Buffer.from(Buffer.from(data).toString('utf8'));
  const offset = data.findIndex((byte, index) => byte !== again[index]);
  return offset === -1 ? data.length : offset;
}
