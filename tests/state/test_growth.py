"""What a run leaves to the residue grows by a little each turn, however its calls were decided."""

from itertools import pairwise
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, RunState, function_tool

from tests.model import call, message, scripted
from timestep.state import dump_run_state, load_run_state

pytestmark = pytest.mark.anyio

TURNS = 6


def _agent() -> Agent[Any]:
    def weather(city: str) -> str:
        return f"sunny in {city}"

    ask = function_tool(weather, name_override="ask", needs_approval=True)
    look = function_tool(weather, name_override="look")
    return Agent(name="assistant", tools=[ask, look])


def _turn(number: int, *names: str) -> list[dict[str, Any]]:
    return [call(name, f"{name}_{number}_{index}") for index, name in enumerate(names)]


def _decide(state: RunState[Any, Any], verdicts: str) -> None:
    for waiting, verdict in zip(state.get_interruptions(), verdicts, strict=False):
        if verdict == "a":
            state.approve(waiting)
        elif verdict == "r":
            state.reject(waiting)


@pytest.mark.parametrize(
    ("names", "verdicts", "growth"),
    [
        (["ask"], "a", 2),
        (["ask"], "r", 2),
        (["ask", "ask"], "aa", 4),
        (["look", "ask", "look"], "a", 6),
        (["ask", "ask"], "ar", 4),
        (["ask", "ask"], "a.", 4),
    ],
    ids=lambda value: str(value),
)
async def test_a_turn_adds_a_few_operations(names: list[str], verdicts: str, growth: int) -> None:
    agent = _agent()
    sizes: list[int] = []
    turns = [_turn(number, *names) for number in range(TURNS)]
    async with scripted([*turns, [message("Done.")]]) as model:
        config = RunConfig(model_provider=model.provider)
        result = await Runner.run(agent, "Go", run_config=config)
        while result.interruptions:
            document = dump_run_state(result.to_state()).document
            sizes.append(len(document["residue"]["python"]["patch"]))
            state = await load_run_state(document, agent)
            assert state.to_json() == result.to_state().to_json()
            waiting = len(state.get_interruptions())
            _decide(state, verdicts if waiting == len(verdicts) else "a")
            result = await Runner.run(agent, state, run_config=config)
    turns_sizes = sizes[:: len(sizes) // TURNS]
    assert max(after - before for before, after in pairwise(turns_sizes)) <= growth
