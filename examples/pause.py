"""Starts a run that stops for an approval, and saves it: `python examples/pause.py FILE`."""

import asyncio
import sys

from agents import Agent, OpenAIProvider, function_tool, set_tracing_disabled

from timestep import RunStateStore, run_agent

# The scripted model of this repository. For OpenAI: OpenAIProvider(), with OPENAI_API_KEY set.
provider = OpenAIProvider(base_url="http://127.0.0.1:8787/weather/v1", api_key="none")
set_tracing_disabled(True)


@function_tool(needs_approval=True)
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city} is sunny"


agent = Agent(name="Weather", model="gpt-4.1", tools=[get_weather])


async def main(path: str) -> None:
    result = await run_agent(agent, "What is the weather in Oslo?", model_provider=provider)
    for call in result.interruptions:
        print(f"waiting for approval: {call.name} {call.arguments}")
    await RunStateStore(path, agent).save(result.to_state())


asyncio.run(main(sys.argv[1]))
