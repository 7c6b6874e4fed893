/**
 * Input items as `messages` of a request.
 *
 * The rules are those of the chat API: content is one string, images are bare base64, an assistant
 * turn with its thinking and calls is one message, and every tool output is one.
 */
import type { AgentInputItem } from '@openai/agents';
import { ModelError } from '../../errors.js';
import { isObj, list, type Obj, obj, objs, str, text } from '../../state/json.js';
import { toWire } from '../../state/protocol/items.js';
import { parseExact } from './numbers.js';

/** A message of a request; images are bytes, which the client writes as base64. */
export interface OllamaMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  thinking?: string;
  images?: Uint8Array[];
  tool_calls?: OllamaCall[];
  tool_name?: string;
  tool_call_id?: string;
}

/** A call of an assistant message. */
export interface OllamaCall {
  id: string;
  function: { index: number; name: string; arguments: Obj };
}

/** The content of a tool message whose output is images alone. */
const IMAGE_ONLY = '[image]';

const TEXT_PARTS = new Set(['input_text', 'output_text', 'text', 'reasoning_text']);
const IMAGE_PARTS = new Set(['input_image', 'image']);

/**
 * The messages of a request, the instructions first.
 *
 * @throws ModelError `unsupported-input`, naming the item, for what the chat API has no place for,
 * for an output without its call, and where nothing is asked at all: the server would load the
 * model and answer nothing.
 */
export function toMessages(
  systemInstructions: string | undefined,
  input: string | readonly AgentInputItem[],
): OllamaMessage[] {
  const items: readonly Obj[] =
    typeof input === 'string' ? [{ role: 'user', content: input }] : (input as readonly Obj[]);
  const messages = new Messages(items.findLastIndex((item) => item.role === 'user'));
  if (systemInstructions) {
    messages.result.push({ role: 'system', content: systemInstructions });
  }
  items.forEach((item, index) => {
    messages.add(index, item);
  });
  messages.endTurn();
  if (messages.result.every(({ role }) => role === 'system')) {
    throw new ModelError(
      'The input has no message of a user, an assistant or a tool.',
      'unsupported-input',
    );
  }
  return messages.result;
}

/** The ids of all calls in the input. */
export function callIds(input: string | readonly AgentInputItem[]): Set<string> {
  const items = typeof input === 'string' ? [] : (input as readonly Obj[]);
  return new Set(items.flatMap((item) => str(item.callId) ?? []));
}

/** What the assistant said, thought and called since the last other message. */
interface Turn {
  texts: string[];
  thoughts: string[];
  calls: OllamaCall[];
}

class Messages {
  readonly result: OllamaMessage[] = [];
  readonly #names = new Map<string, string>();
  readonly #lastUser: number;
  #turn: Turn = { texts: [], thoughts: [], calls: [] };

  constructor(lastUser: number) {
    this.#lastUser = lastUser;
  }

  add(index: number, item: Obj): void {
    const wire = toWire(item);
    const type = wire.type ?? ('role' in wire ? 'message' : undefined);
    if (type === 'message' && wire.role === 'assistant') {
      this.#turn.texts.push(textOf(wire.content, index));
    } else if (type === 'message') {
      this.#message(index, wire);
    } else if (type === 'reasoning') {
      // Thinking goes back to the model with the outputs of its calls, and no longer.
      if (index >= this.#lastUser) {
        this.#turn.thoughts.push(thinkingOf(item, wire));
      }
    } else if (type === 'function_call') {
      this.#call(wire);
    } else if (type === 'function_call_output') {
      this.#output(index, item, wire);
    } else {
      refuse(index, `an item of type '${type}'`);
    }
  }

  endTurn(): void {
    const { texts, thoughts, calls } = this.#turn;
    this.#turn = { texts: [], thoughts: [], calls: [] };
    const message: OllamaMessage = { role: 'assistant', content: texts.join('') };
    const thinking = thoughts.join('');
    if (thinking !== '') {
      message.thinking = thinking;
    }
    if (calls.length > 0) {
      message.tool_calls = calls;
    }
    if (message.content !== '' || thinking !== '' || calls.length > 0) {
      this.result.push(message);
    }
  }

  #message(index: number, wire: Obj): void {
    this.endTurn();
    const { role } = wire;
    if (role !== 'user' && role !== 'system' && role !== 'developer') {
      refuse(index, `a message of role '${role}'`);
    }
    const message: OllamaMessage = {
      role: role === 'developer' ? 'system' : role,
      content: textOf(wire.content, index),
    };
    addImages(message, wire.content, index);
    this.result.push(message);
  }

  #call(wire: Obj): void {
    const id = str(wire.call_id) ?? '';
    const name = str(wire.name) ?? '';
    this.#names.set(id, name);
    const index = this.#turn.calls.length;
    this.#turn.calls.push({ id, function: { index, name, arguments: argumentsOf(wire) } });
  }

  #output(index: number, item: Obj, wire: Obj): void {
    this.endTurn();
    const id = str(wire.call_id) ?? '';
    // An output whose call was not found has the call's id for a name.
    const name = this.#names.get(id) || (item.name === id ? undefined : text(item.name));
    if (name === undefined) {
      refuse(index, `an output of the call '${id}', which the input does not have`);
    }
    const message: OllamaMessage = {
      role: 'tool',
      content: textOf(wire.output, index),
      tool_name: name,
      tool_call_id: id,
    };
    addImages(message, wire.output, index);
    if (message.content === '' && message.images !== undefined) {
      message.content = IMAGE_ONLY;
    }
    this.result.push(message);
  }
}

function partsOf(content: unknown): unknown[] {
  return Array.isArray(content) ? content : [content];
}

/** The text of a message or an output, its parts joined without a space. */
function textOf(content: unknown, index: number): string {
  return partsOf(content)
    .map((part) => partText(part, index))
    .join('');
}

function partText(part: unknown, index: number): string {
  if (part === undefined || part === null) {
    return '';
  }
  if (typeof part === 'string') {
    return part;
  }
  if (!isObj(part)) {
    return JSON.stringify(part);
  }
  const type = str(part.type) ?? '';
  if (TEXT_PARTS.has(type)) {
    return str(part.text) ?? '';
  }
  if (type === 'refusal') {
    return str(part.refusal) ?? '';
  }
  if (IMAGE_PARTS.has(type)) {
    return '';
  }
  if (type.startsWith('input_') || type === 'audio' || type === 'file') {
    refuse(index, `content of type '${type}'`);
  }
  return JSON.stringify(part);
}

function addImages(message: OllamaMessage, content: unknown, index: number): void {
  const images = partsOf(content)
    .filter(isObj)
    .filter((part) => IMAGE_PARTS.has(str(part.type) ?? ''))
    .map((part) => imageOf(part, index));
  if (images.length > 0) {
    message.images = images;
  }
}

/**
 * The bytes of an image given as a data: URL.
 *
 * Nothing else is passed on: the official clients read a local file where a string names one, and
 * the server fetches no URL.
 */
function imageOf(part: Obj, index: number): Uint8Array {
  const url = str(part.image_url);
  if (url === undefined) {
    refuse(index, 'an image without a data: URL');
  }
  const [, head, data] = /^data:([^,]*),(.*)$/s.exec(url) ?? [];
  if (head === undefined || data === undefined) {
    refuse(index, 'an image that is not a data: URL');
  }
  const [mediaType = '', ...parameters] = head.split(';');
  if (!mediaType.startsWith('image/') || !parameters.includes('base64')) {
    refuse(index, `an image of type '${mediaType || 'text/plain'}' that is not base64`);
  }
  const base64 = data.replace(/\s+/g, '');
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) {
    refuse(index, 'an image whose base64 is broken');
  }
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

/** What a model of this kind thought; nothing for the sealed reasoning of another. */
function thinkingOf(item: Obj, wire: Obj): string {
  if (!text(obj(wire.provider_data).model) || wire.encrypted_content) {
    return '';
  }
  const parts = list(item.rawContent).length > 0 ? item.rawContent : wire.content;
  return objs(parts)
    .map((part) => str(part.text) ?? '')
    .join('');
}

function argumentsOf(wire: Obj): Obj {
  let value: unknown;
  try {
    value = parseExact(text(wire.arguments) ?? '{}');
  } catch {
    return {}; // no JSON: the model wrote it, and is told by the output of the call
  }
  return isObj(value) ? value : { value };
}

function refuse(index: number, what: string): never {
  throw new ModelError(
    `An Ollama model cannot be given ${what} (input item ${index}).`,
    'unsupported-input',
  );
}
