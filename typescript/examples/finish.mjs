// Finishes a run as the inbox has decided: `node typescript/examples/finish.mjs LOCATION`.
import { Agent, OpenAIProvider, setTracingDisabled, tool } from '@openai/agents';
import { RunStateStore, runAgent, Session } from '@timestep-ai/timestep';
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

const [location] = process.argv.slice(2);
const store = new RunStateStore(location, agent, 'oslo');
const session = new Session('oslo', { location });

const state = await store.load();
const result = await runAgent(agent, state, { session, modelProvider });
await store.save(result.state);
console.log(result.finalOutput ?? 'still waiting for a decision');
console.log(`the conversation has ${(await session.getItems()).length} items`);
