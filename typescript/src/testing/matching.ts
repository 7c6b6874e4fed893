/**
 * When a request is the recorded one, whichever language sends it.
 *
 * Method, path and JSON body have to be equal. The path is what follows the API's `/v1`, or
 * starts at Ollama's `/api/`, so the host does not count. Bodies are compared as JSON values, after `normalise` has taken out what
 * openai-agents 0.24 and @openai/agents 0.20, openai and ollama write differently for the same
 * request. `tests/vectors/matching.json` of the repository holds both ports to the same answers.
 */
import { canonical } from '../state/canonical.js';

/** Request headers that are recorded; every other one is left out, keys of any kind with it. */
export const REQUEST_HEADERS: ReadonlySet<string> = new Set(['content-type']);

/** Response headers that are recorded. */
export const RESPONSE_HEADERS: ReadonlySet<string> = new Set([
  'content-type',
  'retry-after',
  'x-request-id',
]);

const STREAMS = ['text/event-stream', 'application/x-ndjson'];

/** A request: `body` is the JSON text of it, null where it has none. */
export interface Asked {
  method: string;
  uri: string;
  body: string | null;
}

/**
 * A recorded request. A `body` of null fits any body that holds each text of `contains` in its
 * canonical JSON; `streamed` is then the form its answer has (true a stream, false whole, absent
 * either), and fits requests that ask for that form.
 */
export interface Recorded extends Asked {
  contains?: readonly string[];
  streamed?: boolean;
}

type Row = Record<string, unknown>;

/** Why `asked` is not the recorded request, in words; undefined where it is. */
export function difference(asked: Asked, recorded: Recorded): string | undefined {
  const compared = [
    ['method', asked.method.toUpperCase(), recorded.method.toUpperCase()],
    ['path', pathOf(asked.uri), pathOf(recorded.uri)],
  ];
  for (const [name, one, other] of compared) {
    if (one !== other) {
      return `the ${name} is ${one}, recorded is ${other}`;
    }
  }
  const body = parsed(asked.body);
  if (recorded.body !== null) {
    return bodyDifference(body, parsed(recorded.body));
  }
  const stream = isRow(body) && body.stream === true;
  if (recorded.streamed !== undefined && stream !== recorded.streamed) {
    return `the answer was recorded ${recorded.streamed ? 'as a stream' : 'whole'}`;
  }
  const text = canonical(body);
  const missing = recorded.contains?.find((each) => !text.includes(each));
  return missing === undefined ? undefined : `the body does not contain ${JSON.stringify(missing)}`;
}

/** The path from the API on: what follows its `/v1`, or Ollama's `/api/`; no query. */
export function pathOf(uri: string): string {
  const path = new URL(uri).pathname;
  const below = /\/v1(?=\/|$)/.exec(path);
  if (below !== null) {
    return path.slice(below.index + below[0].length) || '/';
  }
  return path.slice(Math.max(0, path.indexOf('/api/')));
}

/**
 * A request body without what the two languages write differently for the same request.
 *
 * - `stream: false`, which only TypeScript writes, and `stream_options`, which only its chat model
 *   writes;
 * - empty lists at the top: ollama for Python sends `tools: []`;
 * - `title` and `$schema` in the schemas of tools and outputs;
 * - `status: completed` of function call outputs, which TypeScript writes;
 * - spaces in the output of a handoff, `{"assistant": "x"}`.
 */
export function normalise(body: unknown): unknown {
  if (!isRow(body)) {
    return body;
  }
  let left: Row = Object.fromEntries(
    Object.entries(body).filter(
      ([key, value]) =>
        key !== 'stream_options' &&
        !(Array.isArray(value) && value.length === 0) &&
        !(key === 'stream' && value === false),
    ),
  );
  if (Array.isArray(left.tools)) {
    left.tools = left.tools.map(toolOf);
  }
  for (const path of [
    ['text', 'format', 'schema'],
    ['response_format', 'json_schema', 'schema'],
    ['format'],
  ]) {
    left = at(left, path) as Row;
  }
  if (Array.isArray(left.input)) {
    left.input = left.input.map(itemOf);
  }
  return left;
}

/** The headers that may be recorded, names in lower case and sorted. */
export function keptHeaders(
  headers: Iterable<readonly [string, readonly string[]]>,
  allowed: ReadonlySet<string>,
): Record<string, string[]> {
  const kept = [...headers]
    .map(([key, values]): [string, string[]] => [key.toLowerCase(), [...values]])
    .filter(([key]) => allowed.has(key));
  return Object.fromEntries(kept.sort(([one], [other]) => (one < other ? -1 : 1)));
}

/**
 * A streamed body as it arrives: in pieces of the recorded lengths, or of `split` bytes. Without
 * recorded lengths a piece ends with each event, or each line where there are no events.
 */
export function pieces(
  data: Uint8Array,
  chunks: readonly number[] = [],
  split?: number,
): Uint8Array[] {
  let sizes: readonly number[];
  if (split !== undefined) {
    sizes = Array.from({ length: Math.ceil(data.length / split) }, () => split);
  } else if (chunks.reduce((total, size) => total + size, 0) === data.length) {
    sizes = chunks;
  } else {
    sizes = eventSizes(data);
  }
  const cut: Uint8Array[] = [];
  let start = 0;
  for (const size of sizes) {
    if (size > 0) {
      cut.push(data.subarray(start, start + size));
    }
    start += size;
  }
  return cut;
}

/** Whether an answer came as a stream. ollama.com calls its JSON lines application/json. */
export function isStreamed(contentType: string, chunks: readonly number[] = []): boolean {
  return chunks.length > 0 || STREAMS.some((kind) => contentType.startsWith(kind));
}

/** The JSON value of a body, or its text where it is no JSON. */
export function parsed(body: string | null): unknown {
  if (body === null || body === '') {
    return null;
  }
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

/** Whether a value is a JSON object. */
export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bodyDifference(body: unknown, recorded: unknown): string | undefined {
  const one = canonical(normalise(body));
  const other = canonical(normalise(recorded));
  if (one === other) {
    return undefined;
  }
  let start = 0;
  while (one[start] === other[start]) {
    start += 1;
  }
  const around = (text: string) => text.slice(Math.max(0, start - 60), start + 100);
  return `the body differs at character ${start}: ...${around(one)}..., recorded is ...${around(other)}...`;
}

function eventSizes(data: Uint8Array): number[] {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const end = text.includes('\n\n') ? '\n\n' : '\n';
  const sizes: number[] = [];
  for (let start = 0; start < text.length; ) {
    const found = text.indexOf(end, start);
    const next = found === -1 ? text.length : found + end.length;
    sizes.push(next - start);
    start = next;
  }
  return sizes;
}

/** `value` with the schema at `path` bare. */
function at(value: unknown, path: readonly string[]): unknown {
  const [first, ...rest] = path;
  if (first === undefined) {
    return bare(value);
  }
  return isRow(value) && first in value ? { ...value, [first]: at(value[first], rest) } : value;
}

function toolOf(tool: unknown): unknown {
  const left = at(at(tool, ['parameters']), ['function', 'parameters']);
  return isRow(left) && Array.isArray(left.tools)
    ? { ...left, tools: left.tools.map(toolOf) }
    : left;
}

const NAMED = new Set(['properties', '$defs', 'definitions']);
const VALUES = new Set(['enum', 'const', 'default', 'examples']);

/** A JSON Schema without annotations; names of properties are no annotations. */
function bare(schema: unknown): unknown {
  if (Array.isArray(schema)) {
    return schema.map(bare);
  }
  if (!isRow(schema)) {
    return schema;
  }
  const left: Row = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === '$schema' || (key === 'title' && typeof value === 'string')) {
      continue;
    }
    if (NAMED.has(key) && isRow(value)) {
      left[key] = Object.fromEntries(
        Object.entries(value).map(([name, each]) => [name, bare(each)]),
      );
    } else {
      left[key] = VALUES.has(key) ? value : bare(value);
    }
  }
  return left;
}

function itemOf(item: unknown): unknown {
  if (!isRow(item) || item.type !== 'function_call_output') {
    return item;
  }
  const { status, ...left } = item;
  const output = typeof left.output === 'string' ? parsed(left.output) : undefined;
  if (isRow(output) && Object.keys(output).join() === 'assistant') {
    left.output = canonical(output);
  }
  return status === undefined || status === 'completed' ? left : { status, ...left };
}
