/** The difference between two revisions of a document, as a JSON Patch (RFC 6902). */
import { DocumentError } from '../errors.js';
import { deltaDictionary } from '../generated/deltaDictionary.js';
import { isObj, type Obj, step } from '../state/json.js';
import { apply as applyPatch, diff, type Operation } from '../state/patch.js';

/**
 * Strings of at least so many characters are copied where the document has them already: they may
 * lie further apart than the 32 KiB in which compression finds what is repeated.
 */
export const LONG = 4096;

/** What deltas have in common: their compression knows it before it begins. */
export const dictionary = Buffer.from(deltaDictionary);

/** A long string: its place in the document, as a JSON Pointer, and the string. */
type Text = readonly [path: string, text: string];

/**
 * The patch that turns one document into another; values are shared with `next`.
 *
 * The keys of every object but the document itself keep their order: an SDK compares items by
 * their JSON text. Long strings that are there already are copied, at the end of the patch.
 */
export function delta<Document extends object>(old: Document, next: Document): Operation[] {
  const operations = diff(old, next, { ordered: true });
  const added = operations.map((operation) => ({
    operation,
    texts: longTexts(operation.value, operation.path),
  }));
  if (added.every(({ texts }) => texts.length === 0)) {
    return operations;
  }
  const own = new Set(added.flatMap(({ texts }) => texts.map(([path]) => path)));
  const places = new Map<string, string>();
  for (const [path, text] of longTexts(next, '')) {
    if (!own.has(path) && !places.has(text)) {
      places.set(text, path);
    }
  }
  const copies: Operation[] = [];
  for (const { operation, texts } of added) {
    for (const [path, text] of texts) {
      const source = places.get(text);
      if (source === undefined) {
        places.set(text, path);
        continue;
      }
      // Its key stays, and so does their order.
      const blank = path.slice(operation.path.length);
      operation.value = applyPatch(operation.value, [{ op: 'replace', path: blank, value: '' }]);
      copies.push({ op: 'copy', from: source, path });
    }
  }
  return [...operations, ...copies];
}

/**
 * The document a delta leads to. With `owned` it is the same one, changed.
 *
 * @throws {DocumentError} `malformed` where the delta is none, or does not fit.
 */
export function apply<Document extends object>(
  document: Document,
  operations: unknown,
  options: { owned?: boolean } = {},
): Document {
  checkOperations(operations);
  const result = applyPatch(document, operations, options);
  if (!isObj(result)) {
    throw new DocumentError('the delta leaves no document', 'malformed');
  }
  return result as Document;
}

/** The long strings in a value that are members of objects: these can be set anew. */
function longTexts(value: unknown, path: string, found: Text[] = []): Text[] {
  if (Array.isArray(value)) {
    value.forEach((entry, index) => {
      if (typeof entry === 'object' && entry !== null) {
        longTexts(entry, path + step(index), found);
      }
    });
  } else if (isObj(value)) {
    for (const [key, member] of Object.entries(value)) {
      if (typeof member === 'string') {
        if (member.length >= LONG) {
          found.push([path + step(key), member]);
        }
      } else if (typeof member === 'object' && member !== null) {
        longTexts(member, path + step(key), found);
      }
    }
  }
  return found;
}

function checkOperations(operations: unknown): asserts operations is Operation[] {
  if (!Array.isArray(operations)) {
    throw new DocumentError('a delta is a list of operations', 'malformed');
  }
  for (const operation of operations) {
    const { op, path, from, value }: Obj = isObj(operation) ? operation : {};
    if (
      typeof op !== 'string' ||
      typeof path !== 'string' ||
      ((op === 'add' || op === 'replace') && value === undefined) ||
      ((op === 'copy' || op === 'move') && typeof from !== 'string')
    ) {
      throw new DocumentError('a delta holds what is no operation', 'malformed');
    }
  }
}
