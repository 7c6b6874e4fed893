"""Runs of the SDK that wait for a decision, for the tests of stores."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from agents import Agent, RunState

from tests.model import call, message, scripted, weather_agent
from timestep import RunStateStore, run_agent

RUN = "run"


_snapshots: dict[str, dict[str, Any]] = {}


async def paused(
    calls: list[str] | None = None, text: str = "Oslo?", *turn: dict[str, Any]
) -> RunState[Any]:
    """The state of a run that waits for get_weather, or for the calls of `turn`.

    The SDK has run it once; it is asked for by another text then.
    """
    agent = weather_agent([] if calls is None else calls)
    key = json.dumps(turn)
    if key not in _snapshots:
        async with scripted([list(turn) or [call()]]) as model:
            result = await run_agent(agent, "?", model_provider=model.provider)
        _snapshots[key] = result.to_state().to_json()
    return await RunState.from_json(agent, {**deepcopy(_snapshots[key]), "original_input": text})


async def finish(
    agent: Agent[Any], state: RunState[Any], text: str = "Sunny"
) -> tuple[Any, list[Any]]:
    """The result of a run that goes on to its end, and what the model was asked."""
    async with scripted([[message(text)]]) as model:
        result = await run_agent(agent, state, model_provider=model.provider)
    return result, model.requests


def store_at(location: str, run_id: str = RUN, **options: Any) -> RunStateStore[Any]:
    """A store of the run, of an agent that takes no notes."""
    return RunStateStore(location, weather_agent([]), run_id, **options)


def text_of(state: RunState[Any]) -> Any:
    """What the run was asked in the beginning."""
    return state.to_json()["original_input"]
