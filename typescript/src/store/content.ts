/** A document as the content of a file: its JSON text, or sealed. */
import { basename } from 'node:path';
import { DocumentError } from '../errors.js';
import { type Keyring, openSealed } from './seal.js';
import { decode, encode } from './text.js';

/** The format of a sealed file. */
export const FORMAT = 'timestep.sealed';
const VERSION = '1';
const PLACE = 'timestep:file';

/** The id of the run a file keeps: the file's name without `.json`. */
export function runIdOf(path: string): string {
  return basename(path).replace(/\.json$/, '');
}

/** The content of a file that keeps a document. */
export async function toContent(document: object, keys?: Keyring): Promise<Uint8Array> {
  const text = Buffer.from(encode(document));
  if (keys === undefined) {
    return text;
  }
  const data = Buffer.from(await keys.seal(text, PLACE)).toString('base64');
  return Buffer.from(encode({ format: FORMAT, version: VERSION, data }));
}

/**
 * The document in a file; `source` names the file in errors.
 *
 * @throws DocumentError `malformed` with line and column, `unsafe-integer`, `newer-version`;
 * StoreError `wrong-key`.
 */
export async function fromContent(
  content: Uint8Array,
  source: string,
  keys?: Keyring,
): Promise<Record<string, unknown>> {
  const value = decode(content, source);
  if (value.format !== FORMAT) {
    return value;
  }
  if (value.version !== VERSION) {
    throw new DocumentError(
      `${source} is sealed in version ${value.version} of the form, not ${VERSION}`,
      'newer-version',
    );
  }
  if (typeof value.data !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(value.data)) {
    throw new DocumentError(`${source} holds no sealed data`, 'malformed');
  }
  return decode(await openSealed(Buffer.from(value.data, 'base64'), PLACE, keys), source);
}
