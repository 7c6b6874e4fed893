/**
 * Messages and their content parts.
 */
import { hasKeys, isObj, list, type Obj, put, str } from '../json.js';
import { type Family, oneOf, realId, rest, STATUSES, spread } from './table.js';

const KEYS = {
  message: new Set(['type', 'id', 'role', 'content', 'status', 'phase']),
  input: new Set(['id', 'role', 'content', 'phase']),
  typedInput: new Set(['type', 'id', 'role', 'content']),
  text: new Set(['type', 'text', 'prompt_cache_breakpoint']),
  outputText: new Set(['type', 'text']),
  refusal: new Set(['type', 'refusal']),
  image: new Set(['type', 'image_url', 'file_id', 'detail', 'prompt_cache_breakpoint']),
  file: new Set([
    'type',
    'file_id',
    'file_url',
    'file_data',
    'filename',
    'prompt_cache_breakpoint',
  ]),
};

const PHASES = ['commentary', 'final_answer'] as const;

function outputPartToWire(part: unknown): unknown {
  if (!isObj(part)) {
    return part;
  }
  const data = part.providerData;
  if (part.type === 'output_text') {
    const annotations = isObj(data) && Array.isArray(data.annotations) ? data.annotations : [];
    return spread({ type: 'output_text', text: part.text, annotations }, data, KEYS.outputText);
  }
  if (part.type === 'refusal') {
    return spread({ type: 'refusal', refusal: part.refusal }, data, KEYS.refusal);
  }
  return part;
}

function outputPartToProtocol(part: unknown): Obj | undefined {
  if (!isObj(part)) {
    return undefined;
  }
  let item: Obj;
  let data: Obj;
  if (part.type === 'output_text' && typeof part.text === 'string') {
    item = { type: 'output_text', text: part.text };
    data = rest(part, KEYS.outputText);
  } else if (part.type === 'refusal' && typeof part.refusal === 'string') {
    item = { type: 'refusal', refusal: part.refusal };
    data = rest(part, KEYS.refusal);
  } else if (part.type === 'audio' || part.type === 'image') {
    return part;
  } else {
    return undefined;
  }
  if (hasKeys(data)) {
    item.providerData = data;
  }
  return item;
}

/** A content part of a user message, or of a structured tool output, as the wire says it. */
export function inputPartToWire(part: unknown): unknown {
  if (!isObj(part)) {
    return part;
  }
  const wire: Obj = { type: part.type };
  let keys: ReadonlySet<string>;
  if (part.type === 'input_text') {
    wire.text = part.text;
    keys = KEYS.text;
  } else if (part.type === 'input_image') {
    const image = part.image ?? part.imageUrl;
    if (typeof image === 'string') {
      wire.image_url = image;
    } else if (isObj(image)) {
      put(wire, 'file_id', image.id);
    }
    put(wire, 'file_id', part.fileId);
    put(wire, 'detail', part.detail);
    keys = KEYS.image;
  } else if (part.type === 'input_file') {
    fileToWire(wire, part);
    keys = KEYS.file;
  } else {
    return part;
  }
  put(wire, 'prompt_cache_breakpoint', part.promptCacheBreakpoint);
  return spread(wire, part.providerData, keys);
}

function fileToWire(wire: Obj, part: Obj): void {
  if (typeof part.file === 'string') {
    const value = part.file.trim();
    const inline = value.startsWith('data:') || /^[A-Za-z0-9+/=]+$/.test(value);
    wire[inline ? 'file_data' : 'file_url'] = value;
  } else if (isObj(part.file)) {
    put(wire, 'file_id', part.file.id);
    put(wire, 'file_url', part.file.url);
  }
  put(wire, 'file_data', part.fileData);
  put(wire, 'file_url', part.fileUrl);
  put(wire, 'file_id', part.fileId);
  put(wire, 'filename', part.filename);
}

/** A content part as `protocol` says it, or undefined where it has no form for it. */
export function inputPartToProtocol(part: unknown): Obj | undefined {
  if (!isObj(part)) {
    return undefined;
  }
  const item: Obj = { type: part.type };
  let keys: ReadonlySet<string>;
  if (part.type === 'input_text' && typeof part.text === 'string') {
    item.text = part.text;
    keys = KEYS.text;
  } else if (part.type === 'input_image') {
    if (typeof part.image_url === 'string' && part.image_url.length > 0) {
      item.image = part.image_url;
    } else if (typeof part.file_id === 'string' && part.file_id.length > 0) {
      item.image = { id: part.file_id };
    }
    put(item, 'detail', str(part.detail));
    keys = KEYS.image;
  } else if (part.type === 'input_file') {
    if (typeof part.file_id === 'string' && part.file_id.length > 0) {
      item.file = { id: part.file_id };
    } else if (typeof part.file_url === 'string' && part.file_url.length > 0) {
      item.file = { url: part.file_url };
    } else {
      put(item, 'file', str(part.file_data));
    }
    put(item, 'filename', str(part.filename));
    keys = KEYS.file;
  } else if (part.type === 'audio' && part.audio !== undefined) {
    return part;
  } else {
    return undefined;
  }
  const breakpoint = part.prompt_cache_breakpoint;
  if (isObj(breakpoint) && breakpoint.mode === 'explicit') {
    item.promptCacheBreakpoint = breakpoint;
  }
  const data = rest(part, keys);
  if (hasKeys(data)) {
    item.providerData = data;
  }
  return item;
}

/** All parts as `protocol` says them, or undefined where one has no form. */
export function inputPartsToProtocol(parts: readonly unknown[]): Obj[] | undefined {
  const converted = parts.map(inputPartToProtocol);
  return converted.includes(undefined) ? undefined : (converted as Obj[]);
}

function userImageDefaults(part: unknown): unknown {
  return isObj(part) && part.type === 'input_image' && part.detail === undefined
    ? { ...part, detail: 'auto' }
    : part;
}

function assistantToWire(item: Obj): Obj {
  const wire: Obj = { type: 'message' };
  put(wire, 'id', realId(item.id));
  wire.role = 'assistant';
  wire.content =
    typeof item.content === 'string'
      ? [{ type: 'output_text', text: item.content, annotations: [] }]
      : list(item.content).map(outputPartToWire);
  put(wire, 'status', item.status);
  const data = item.providerData;
  put(wire, 'phase', item.phase ?? (isObj(data) ? data.phase : undefined));
  return spread(wire, data, KEYS.message);
}

function assistantToProtocol(wire: Obj): Obj | undefined {
  const content =
    typeof wire.content === 'string'
      ? [{ type: 'output_text', text: wire.content }]
      : list(wire.content).map(outputPartToProtocol);
  if (content.includes(undefined)) {
    return undefined;
  }
  const data = rest(wire, KEYS.message);
  const item: Obj = { providerData: data };
  put(item, 'id', str(wire.id));
  item.type = 'message';
  item.role = 'assistant';
  const phase = oneOf(wire.phase, PHASES);
  if (phase) {
    item.phase = phase;
    data.phase = phase;
  }
  item.status = oneOf(wire.status, STATUSES) ?? 'completed';
  item.content = content;
  return item;
}

/** A message of the user or the system; its `type` is no part of what the SDK sends. */
function inputToWire(item: Obj): Obj {
  const wire: Obj = {};
  put(wire, 'id', realId(item.id));
  wire.role = item.role;
  wire.content =
    item.role === 'user' && Array.isArray(item.content)
      ? item.content.map((part) => inputPartToWire(userImageDefaults(part)))
      : item.content;
  return spread(wire, item.providerData, KEYS.input);
}

function inputToProtocol(wire: Obj): Obj | undefined {
  const item: Obj = {};
  const data = rest(wire, KEYS.typedInput);
  if (hasKeys(data)) {
    item.providerData = data;
  }
  put(item, 'id', str(wire.id));
  put(item, 'type', wire.type);
  item.role = wire.role;
  if (typeof wire.content === 'string') {
    item.content = wire.content;
    return item;
  }
  if (wire.role !== 'user') {
    return undefined;
  }
  const parts = inputPartsToProtocol(list(wire.content));
  item.content = parts;
  return parts && item;
}

/** Messages of every role. Roles that `protocol` does not know have no form there. */
export const messages: Family = {
  toWire: (item) => (item.role === 'assistant' ? assistantToWire(item) : inputToWire(item)),
  toProtocol(wire) {
    if (wire.role === 'assistant') {
      return assistantToProtocol(wire);
    }
    return wire.role === 'user' || wire.role === 'system' ? inputToProtocol(wire) : undefined;
  },
};
