// Measures the models of the TypeScript port for `python -m bench`:
// node --expose-gc bench/models.mjs URL ROUNDS, with {whole, lines} on stdin.
// Prints seconds by work as JSON: CPU time, for the first event and chunk real time.
import { json } from 'node:stream/consumers';
import { setTracingDisabled } from '@openai/agents';
import { Ollama } from 'ollama';
import { OllamaModelProvider } from '../dist/index.js';
import { Answer, CallIds, toItems, toUsage } from '../dist/models/ollama/response.js';
import { EventWriter } from '../dist/models/ollama/stream.js';
import { median, medians } from './measure.mjs';

setTracingDisabled(true);

const [url, rounds] = process.argv.slice(2);
const { whole, lines } = await json(process.stdin);
const answer = JSON.parse(whole);
const chunks = lines.map((line) => JSON.parse(line));

function convert() {
  const made = new Answer();
  made.add(answer, new CallIds(new Set()));
  return [toItems(made, 'llama3'), toUsage([answer])];
}

function stream() {
  const made = new Answer();
  const ids = new CallIds(new Set());
  const writer = new EventWriter('llama3', { holdText: false });
  const events = chunks.flatMap((chunk) => [...writer.add(chunk, made.add(chunk, ids))]);
  return [...events, ...writer.finish(made, [made.done], {})];
}

/** Seconds to the first of a stream, which is then read to its end. */
async function first(open) {
  const began = performance.now();
  let took;
  for await (const _ of await open()) {
    took ??= (performance.now() - began) / 1000;
  }
  return took;
}

const model = await new OllamaModelProvider({ baseUrl: url }).getModel('llama3');
const client = new Ollama({ host: url });
const request = {
  input: 'Weather?',
  modelSettings: {},
  tools: [],
  outputType: 'text',
  handoffs: [],
  tracing: false,
};
const messages = [{ role: 'user', content: 'Weather?' }];
const works = {
  first_event: () => model.getStreamedResponse(request),
  first_chunk: () => client.chat({ model: 'llama3', messages, stream: true }),
};
const times = { first_event: [], first_chunk: [] };
for (let round = 0; round < Number(rounds); round += 1) {
  for (const [name, open] of Object.entries(works)) {
    times[name].push(await first(open));
  }
}
process.stdout.write(
  JSON.stringify({
    ...medians({
      parse_response: () => JSON.parse(whole),
      response: convert,
      parse_stream: () => lines.map((line) => JSON.parse(line)),
      stream,
    }),
    first_event: median(times.first_event),
    first_chunk: median(times.first_chunk),
  }),
);
