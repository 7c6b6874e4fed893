// Measures the TypeScript port for `python -m bench`: node bench/state.mjs BASE_URL OTHER OUTPUT.
// Prints sizes in bytes and median CPU times in seconds as JSON; writes its own document to OUTPUT.
// BASE_URL `-` is no run: the snapshot is then made from the document OTHER, and no save measured.
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, OpenAIProvider, setTracingDisabled, tool } from '@openai/agents';
import { z } from 'zod';
import { runAgent } from '../dist/run.js';
import { dumpRunState, toNative, toPortable } from '../dist/state/index.js';
import { encode } from '../dist/store/text.js';
import { medians } from './measure.mjs';

setTracingDisabled(true);

function bench(needsApproval, name, answer) {
  return tool({
    name,
    description: name,
    parameters: z.object({ number: z.number(), note: z.string() }),
    needsApproval,
    execute: answer,
  });
}

/** The state of a run against the model at `baseURL`. */
async function paused(baseURL) {
  const agent = new Agent({
    name: 'Bench',
    model: 'gpt-x',
    tools: [
      bench(false, 'note', ({ number, note }) => `noted ${number}: ${note}`),
      bench(true, 'ask', () => 'yes'),
    ],
  });
  const modelProvider = new OpenAIProvider({ apiKey: 'none', baseURL });
  return (await runAgent(agent, 'Go', { modelProvider, maxTurns: null })).state;
}

const [baseURL, otherFile, outputFile] = process.argv.slice(2);
const other = JSON.parse(await readFile(otherFile, 'utf8'));
const state = baseURL === '-' ? undefined : await paused(baseURL);
const native = state?.toJSON() ?? toNative(other).document;
const { document } = toPortable(native);
await writeFile(outputFile, encode(document));
const texts = {
  native: JSON.stringify(native),
  portable: encode(document),
  other: encode(other),
};
const times = {
  ...medians({
    parse_native: () => JSON.parse(texts.native),
    parse_portable: () => JSON.parse(texts.portable),
    parse_other: () => JSON.parse(texts.other),
    to_portable: () => toPortable(native),
    to_native: () => toNative(document),
    cross: () => toNative(other),
  }),
  ...(state &&
    medians({
      serialise: () => state.toString(),
      save: () => encode(dumpRunState(state).document),
    })),
};
const sizes = {
  to_portable: texts.native.length,
  to_native: texts.portable.length,
  cross: texts.other.length,
};
process.stdout.write(JSON.stringify({ sizes, times }));
