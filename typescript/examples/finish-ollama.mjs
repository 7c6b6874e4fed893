// Finishes a run on Ollama: `node typescript/examples/finish-ollama.mjs FILE [MODEL]`.
//
// The model is the one the run began with, or any other: `gpt-4.1`, with OPENAI_API_KEY set.
// OLLAMA_HOST says where Ollama runs, unless it is on this machine.
import { Agent, setTracingDisabled, tool } from '@openai/agents';
import { RunStateStore, runAgent } from '@timestep-ai/timestep';
import { z } from 'zod';

setTracingDisabled(true);

const getWeather = tool({
  name: 'get_weather',
  description: 'The weather in a city.',
  parameters: z.object({ city: z.string() }),
  needsApproval: true,
  execute: ({ city }) => `${city} is sunny`,
});

const [path, model = 'ollama/llama3'] = process.argv.slice(2);
const agent = new Agent({ name: 'Weather', model, tools: [getWeather] });

const state = await new RunStateStore(path, agent).load();
for (const call of state.getInterruptions()) {
  console.log(`approving: ${call.name} ${call.arguments}`);
  state.approve(call);
}
const result = await runAgent(agent, state, { stream: true });
for await (const text of result.toTextStream()) {
  process.stdout.write(text);
}
await result.completed;
console.log();
