/** The agent that `tests/conversation.py` has too. */
import { Agent, handoff, hostedMcpTool, tool } from '@openai/agents';
import { z } from 'zod';

const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';
const parameters = z.object({ city: z.string() });

/** An agent with tools and a handoff; it notes in `calls` what its tools were called with. */
export function travelAgent(calls: string[] = []) {
  const noted = <T>(answer: (city: string) => T) => {
    return ({ city }: { city: string }) => {
      calls.push(city);
      return answer(city);
    };
  };
  const tools = [
    tool({
      name: 'get_weather',
      description: 'The weather in a city.',
      parameters,
      needsApproval: true,
      execute: noted((city) => `${city} is sunny`),
    }),
    tool({
      name: 'find_time',
      description: 'The time in a city.',
      parameters,
      execute: noted((city) => `noon in ${city}`),
    }),
    tool({
      name: 'take_photo',
      description: 'A photo of a city.',
      parameters,
      execute: noted(() => ({ type: 'image' as const, image: PIXEL, detail: 'low' as const })),
    }),
    hostedMcpTool({
      serverLabel: 'trains',
      serverUrl: 'https://trains.example',
      requireApproval: 'always',
    }),
  ];
  const weather = new Agent({ name: 'Weather', model: 'gpt-x', tools });
  return new Agent({
    name: 'Travel',
    model: 'gpt-x',
    tools,
    handoffs: [handoff(weather, { toolNameOverride: 'transfer_to_weather' })],
  });
}
