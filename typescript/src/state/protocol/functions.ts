/**
 * Function calls and what their tools returned.
 */
import { isObj, type Obj, put, str, text } from '../json.js';
import { inputPartsToProtocol, inputPartToWire } from './messages.js';
import {
  callerToProtocol,
  callerToWire,
  type Family,
  oneOf,
  putOutputData,
  realId,
  rest,
  STATUSES,
  spread,
} from './table.js';

const CALL = new Set([
  'id',
  'type',
  'name',
  'call_id',
  'arguments',
  'status',
  'namespace',
  'caller',
]);
const CALL_TYPED = new Set(['call_id', 'name', 'namespace', 'caller', 'status', 'arguments']);
const RESULT = new Set(['type', 'id', 'call_id', 'output', 'status', 'namespace', 'caller']);
const RESULT_TYPED = new Set([
  'call_id',
  'status',
  'output',
  'name',
  'function_name',
  'namespace',
  'caller',
]);

/** A call of a function tool or of a handoff. */
export const functionCall: Family = {
  toWire(item) {
    const wire: Obj = { type: 'function_call' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    put(wire, 'name', item.name);
    put(wire, 'arguments', item.arguments);
    put(wire, 'status', item.status);
    callerToWire(wire, item.caller);
    put(wire, 'namespace', str(item.namespace));
    return spread(wire, item.providerData, CALL);
  },
  toProtocol(wire) {
    const item: Obj = { providerData: rest(wire, CALL_TYPED) };
    put(item, 'id', str(wire.id));
    item.type = 'function_call';
    item.callId = wire.call_id;
    item.name = wire.name;
    put(item, 'namespace', str(wire.namespace));
    put(item, 'status', oneOf(wire.status, STATUSES));
    item.arguments = wire.arguments;
    callerToProtocol(item, wire.caller);
    return item;
  },
};

function legacyImage(output: Obj): Obj {
  const part: Obj = { type: 'input_image' };
  put(part, 'detail', output.detail);
  const { image } = output;
  const media = mediaType(output);
  if (typeof image === 'string' && image.length > 0) {
    part.image = image;
  } else if (isObj(image)) {
    const id = str(image.fileId) ?? str(image.id);
    const data = str(image.data);
    if (str(image.url)) {
      part.image = image.url;
    } else if (data) {
      part.image = inlineData(data, mediaType(image) ?? media);
    } else if (id) {
      part.image = { id };
    }
  } else if (str(output.imageUrl)) {
    part.image = output.imageUrl;
  } else if (str(output.fileId)) {
    part.image = { id: output.fileId };
  } else if (typeof output.data === 'string' && output.data.length > 0) {
    part.image = inlineData(output.data, media);
  }
  return part;
}

function legacyFile(output: Obj): Obj {
  const part: Obj = { type: 'input_file' };
  const file = isObj(output.file) ? output.file : output;
  if (typeof output.file === 'string') {
    part.file = output.file;
  } else {
    const id = str(file.id) ?? str(file.fileId);
    const url = str(file.url) ?? str(file.fileUrl);
    const data = str(file.data) ?? str(file.fileData);
    if (data) {
      part.file = inlineData(data, str(file.mediaType) ?? 'text/plain');
    } else if (url) {
      part.file = { url };
    } else if (id) {
      part.file = { id };
    }
  }
  put(part, 'filename', str(file.filename) ?? str(output.filename));
  return part;
}

function mediaType(value: Obj): string | undefined {
  return text(value.mediaType) ?? text(value.mimeType);
}

function inlineData(data: string, media?: string): string {
  return media && !data.startsWith('data:') ? `data:${media};base64,${data}` : data;
}

function outputToWire(output: unknown): unknown {
  if (typeof output === 'string') {
    return output;
  }
  if (Array.isArray(output)) {
    return output.map(inputPartToWire);
  }
  if (isObj(output)) {
    if (output.type === 'text' && typeof output.text === 'string') {
      return output.text;
    }
    if (output.type === 'image') {
      return [inputPartToWire(legacyImage(output))];
    }
    if (output.type === 'file') {
      return [inputPartToWire(legacyFile(output))];
    }
  }
  return output === undefined ? '' : JSON.stringify(output);
}

/**
 * What a function tool returned. Text is written as the SDK's runner keeps it, `{type: 'text'}`;
 * the name comes from the call, and is the call's id where there is none, as in the SDK.
 */
export const functionResult: Family = {
  toWire(item) {
    const wire: Obj = { type: 'function_call_output' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    wire.output = outputToWire(item.output);
    if (item.status === 'incomplete') {
      wire.status = 'incomplete';
    }
    callerToWire(wire, item.caller);
    return spread(wire, item.providerData, RESULT);
  },
  toProtocol(wire, { calls }) {
    const callId = str(wire.call_id);
    if (callId === undefined) {
      return undefined;
    }
    const call = calls?.get(callId);
    const item: Obj = {};
    putOutputData(item, rest(wire, RESULT_TYPED));
    put(item, 'id', str(wire.id));
    item.type = 'function_call_result';
    item.name = str(wire.name) ?? str(wire.function_name) ?? call?.name ?? callId;
    put(item, 'namespace', str(wire.namespace) ?? call?.namespace);
    item.callId = callId;
    item.status = wire.status === 'incomplete' ? 'incomplete' : 'completed';
    callerToProtocol(item, wire.caller);
    if (Array.isArray(wire.output)) {
      const parts = inputPartsToProtocol(wire.output);
      if (!parts) {
        return undefined;
      }
      item.output = parts;
    } else {
      item.output = { type: 'text', text: typeof wire.output === 'string' ? wire.output : '' };
    }
    return item;
  },
};
