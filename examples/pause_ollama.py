"""Starts a run on Ollama that stops, and saves it: `python examples/pause_ollama.py FILE`.

OLLAMA_HOST says where Ollama runs, unless it is on this machine.
"""

import asyncio
import sys

from agents import Agent, function_tool, set_tracing_disabled

from timestep import RunStateStore, consume_result, run_agent

set_tracing_disabled(True)


@function_tool(needs_approval=True)
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city} is sunny"


agent = Agent(name="Weather", model="ollama/llama3", tools=[get_weather])


async def main(path: str) -> None:
    streamed = await run_agent(agent, "What is the weather in Oslo?", stream=True)
    result = await consume_result(streamed)
    for call in result.interruptions:
        print(f"waiting for approval: {call.name} {call.arguments}")
    store = RunStateStore(path, agent)
    await store.clear()  # so that the example can be run again
    await store.save(result.to_state())


asyncio.run(main(sys.argv[1]))
