// Measures the pieces of the TypeScript port for `python -m bench`: node bench/pieces.mjs.
// Prints sizes as ratios and median CPU times in seconds, of a run in which every call waits, as
// JSON. The model is a fake: what it says is what counts.
import { Agent, Runner, RunState, setTracingDisabled, tool, Usage } from '@openai/agents';
import { z } from 'zod';
import { dumpRunState, loadRunState, toNative } from '../dist/state/index.js';
import { decode, encode } from '../dist/store/pieces.js';
import { median, medians } from './measure.mjs';

setTracingDisabled(true);

const TURNS = 60;

/** Half a kilobyte of words, others for each number. */
function text(number) {
  let state = (number + 1) * 7919;
  const letter = (letters) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return letters[(state >>> 16) % letters.length];
  };
  let said = `número ${number} "quoted"\n`;
  while (said.length < 500) {
    said += `${letter('bdfgklmnprstv')}${letter('aeiou')}${letter(['', '', ' '])}`;
  }
  return said;
}

function call(number) {
  return {
    type: 'function_call',
    id: `fc_${number}`,
    callId: `call_${number}`,
    name: 'lookup',
    status: 'completed',
    arguments: JSON.stringify({ query: text(-number) }),
  };
}

function turnItems(number) {
  const { callId, ...rest } = call(number);
  const output = { type: 'function_call_output', call_id: callId, output: text(number) };
  return [{ ...rest, call_id: callId }, output].map((item) => `${JSON.stringify(item)}\n`).join('');
}

let asked = 0;
const model = {
  async getResponse() {
    const usage = new Usage({ requests: 1, inputTokens: 100, outputTokens: 20, totalTokens: 120 });
    asked += 1;
    return { usage, responseId: `resp_${asked}`, output: [call(asked)] };
  },
};

let answered = 0;
const agent = new Agent({
  name: 'Bench',
  model,
  tools: [
    tool({
      name: 'lookup',
      description: 'Looks something up.',
      parameters: z.object({ query: z.string() }),
      needsApproval: true,
      execute: () => {
        answered += 1;
        return text(answered);
      },
    }),
  ],
});

const sizes = [];
const pieces = [];
let before;
let known;
let state = 'Go';
const runner = new Runner();
for (let turn = 1; turn <= TURNS; turn += 1) {
  const result = await runner.run(agent, state, { maxTurns: null });
  const { document } = dumpRunState(result.state);
  before = known;
  const written = await encode('bench', document, known);
  known = written.known;
  pieces.push(written.piece);
  sizes.push(written.piece.data.length || Buffer.byteLength(written.piece.text));
  state = await loadRunState(document, agent);
  for (const waiting of turn < TURNS ? state.getInterruptions() : []) state.approve(waiting);
}

const whole = pieces.findLastIndex(({ base }) => base === undefined);
const stored = { revision: TURNS, newest: TURNS, pieces: pieces.slice(whole), decisions: [] };
const snapshot = state.toString();
const { document } = dumpRunState(state);

/** Median CPU seconds of works that wait, taken in turns. */
async function waitingMedians(works) {
  const times = Object.fromEntries(Object.keys(works).map((name) => [name, []]));
  for (let round = 0; round < 9; round += 1) {
    for (const [name, work] of Object.entries(works)) {
      globalThis.gc();
      const { user, system } = process.cpuUsage();
      await work();
      const used = process.cpuUsage({ user, system });
      if (round > 1) times[name].push((used.user + used.system) / 1e6);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, list]) => [name, median(list)]));
}

const times = {
  ...(await waitingMedians({
    fromString: () => RunState.fromString(agent, snapshot),
    read: async () => {
      const { document: read } = await decode('bench', stored);
      return await RunState.fromString(agent, JSON.stringify(toNative(read).document));
    },
    encode: () => encode('bench', document, before),
  })),
  ...medians({ toString: () => state.toString() }),
};
const floors = sizes.map((_, index) => Buffer.byteLength(turnItems(index + 1)));
const sum = (list) => list.reduce((total, size) => total + size, 0);
process.stdout.write(
  JSON.stringify({
    turns: TURNS,
    flatness: median(sizes.slice(-12)) / median(sizes.slice(6, 18)),
    each: median(sizes) / median(floors),
    total: sum(sizes) / sum(floors),
    ...times,
  }),
);
