// Approves what a saved run waits for, and finishes it: `node typescript/examples/finish.mjs FILE`.
import { Agent, OpenAIProvider, setTracingDisabled, tool } from '@openai/agents';
import { RunStateStore, runAgent } from '@timestep-ai/timestep';
import { z } from 'zod';

// The scripted model of this repository. For OpenAI: new OpenAIProvider(), with OPENAI_API_KEY set.
const modelProvider = new OpenAIProvider({
  baseURL: 'http://127.0.0.1:8787/weather/v1',
  apiKey: 'none',
});
setTracingDisabled(true);

const getWeather = tool({
  name: 'get_weather',
  description: 'The weather in a city.',
  parameters: z.object({ city: z.string() }),
  needsApproval: true,
  execute: ({ city }) => `${city} is sunny`,
});

const agent = new Agent({ name: 'Weather', model: 'gpt-4.1', tools: [getWeather] });

const [path] = process.argv.slice(2);

const state = await new RunStateStore(path, agent).load();
for (const call of state.getInterruptions()) {
  console.log(`approving: ${call.name} ${call.arguments}`);
  state.approve(call);
}
const result = await runAgent(agent, state, { modelProvider });
console.log(result.finalOutput);
