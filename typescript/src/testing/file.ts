/** Cassettes as files: vcrpy's YAML, which PyYAML reads and writes as YAML 1.1. */
import { parse, stringify } from 'yaml';
import { isStreamed, type Recorded } from './matching.js';

/** A request and its recorded answer. Interactions of one `turn` are one answer in two forms. */
export interface Interaction {
  turn: number;
  request: Recorded;
  response: Answer;
}

/** An answer: `chunks` are the lengths in bytes of the pieces it arrived in. */
export interface Answer {
  status: number;
  message: string;
  headers: Record<string, string[]>;
  text: string;
  chunks?: number[];
  streamed: boolean;
}

/** A request and answer as they stand in the file. */
export interface Entry {
  turn?: number;
  contains?: string[];
  request: { method: string; uri: string; headers: object; body: string | null };
  response: {
    status: { code: number; message: string };
    headers: Record<string, string[]>;
    body: { string: string; chunks?: number[] };
  };
}

/** The interactions of a cassette, in order. */
export function read(text: string): Interaction[] {
  const { interactions } = parse(text, { version: '1.1' }) as { interactions: Entry[] };
  return interactions.map((entry, index) => interactionOf(entry, index + 1));
}

/** What an entry says; `number` is its place, counted from 1. */
function interactionOf(entry: Entry, number: number): Interaction {
  const { request, response } = entry;
  const { string: text, chunks } = response.body;
  const { code: status, message } = response.status;
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, values]) => [name.toLowerCase(), values]),
  );
  const streamed = isStreamed(headers['content-type']?.[0] ?? '', chunks);
  return {
    turn: entry.turn ?? number,
    request: {
      method: request.method,
      uri: request.uri,
      body: request.body,
      ...(entry.contains && { contains: entry.contains }),
      ...(status < 400 && { streamed }),
    },
    response: { status, message, headers, text, streamed, ...(chunks && { chunks }) },
  };
}

/** The file of entries that were recorded today. */
export function write(entries: readonly Entry[]): string {
  const ollama = entries.some(({ request }) => new URL(request.uri).pathname.includes('/api/'));
  const recorded = {
    from: ollama ? 'ollama' : 'openai',
    at: new Date().toISOString().slice(0, 10),
    by: '@timestep-ai/timestep/testing',
  };
  const text = stringify(
    { version: 1, recorded, interactions: entries },
    { version: '1.1', defaultKeyType: 'PLAIN', defaultStringType: 'QUOTE_DOUBLE', lineWidth: 0 },
  );
  // Every such character is inside double quotes, where PyYAML takes it for a line end, or not at
  // all, unless it is escaped.
  return text.replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
