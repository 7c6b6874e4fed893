"""Starts a run that stops for an approval, and saves it: `python examples/pause.py LOCATION`."""

import asyncio
import sys

from agents import Agent, OpenAIProvider, function_tool, set_tracing_disabled

from timestep import RunStateStore, Session, run_agent

# The scripted model of this repository. For OpenAI: OpenAIProvider(), with OPENAI_API_KEY set.
provider = OpenAIProvider(base_url="http://127.0.0.1:8787/weather/v1", api_key="none")
set_tracing_disabled(True)


@function_tool(needs_approval=True)
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city} is sunny"


agent = Agent(name="Weather", model="gpt-4.1", tools=[get_weather])


async def main(location: str) -> None:
    store = RunStateStore(location, agent, "oslo")
    session = Session("oslo", location=location)
    await store.clear()  # so that the example can be run again
    await session.clear_session()

    question = "What is the weather in Oslo?"
    result = await run_agent(agent, question, session, model_provider=provider)
    for call in result.interruptions:
        print(f"waiting for approval: {call.name} {call.arguments}")
    await store.save(result.to_state())


asyncio.run(main(sys.argv[1]))
