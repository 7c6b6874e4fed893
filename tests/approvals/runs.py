"""Runs of the SDK that wait for a decision, for the tests of the inbox."""

from __future__ import annotations

from typing import Any

from agents import Agent, RunState, function_tool

from tests.model import Turn, call, message, scripted, weather_agent
from timestep import RunStateStore, run_agent

RUN = "run"


async def started(
    agent: Agent[Any], turn: Turn | None = None, text: str = "Weather?"
) -> RunState[Any]:
    """The state of a run that stopped at the calls of its first turn."""
    async with scripted([[call()] if turn is None else turn]) as model:
        result = await run_agent(agent, text, model_provider=model.provider)
    assert result.interruptions
    return result.to_state()


async def waiting(
    location: str,
    agent: Agent[Any],
    turn: Turn | None = None,
    *,
    run_id: str = RUN,
    keys: Any = None,
) -> RunStateStore[Any]:
    """The store of a run that was saved as it waits."""
    store = RunStateStore(location, agent, run_id, keys=keys)
    await store.save(await started(agent, turn))
    return store


async def finished(
    location: str, agent: Agent[Any], *turns: Turn, run_id: str = RUN, keys: Any = None
) -> list[Any]:
    """Loads the run, lets it go on to its end and saves that; the requests the model saw."""
    async with RunStateStore(location, agent, run_id, keys=keys) as store:
        state = await store.load()
        async with scripted(turns or [[message("Done")]]) as model:
            result = await run_agent(agent, state, model_provider=model.provider)
        assert not result.interruptions
        await store.save(result.to_state())
    return model.requests


def told(requests: list[Any]) -> list[Any]:
    """What the model was told of the calls, newest request."""
    return [
        item["output"]
        for item in requests[-1]["input"]
        if item.get("type") == "function_call_output"
    ]


def nested_agent(calls: list[str]) -> Agent[Any]:
    """An agent that asks the weather agent, which is one of its tools."""
    inner = weather_agent(calls)
    return Agent(name="Host", model="gpt-x", tools=[inner.as_tool("ask_weather", "Asks.")])


def greeting_agent(greeted: list[str]) -> Agent[Any]:
    """An agent whose tool takes any text."""

    @function_tool(needs_approval=True)
    def greet(name: str) -> str:
        """Greets."""
        greeted.append(name)
        return f"Hello {name}"

    return Agent(name="Grüße 🌦", model="gpt-x", tools=[greet])
