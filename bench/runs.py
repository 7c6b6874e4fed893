"""Real run states of a given size: paused runs of the official SDK against the cassette server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents import Agent, OpenAIProvider, RunState, function_tool
from openai import AsyncOpenAI

from conformance.harness import cassette, script
from conformance.harness.server import CassetteServer
from timestep import run_agent

SIZES = (20, 200, 2000)
_MOST_TURNS = 8  # the SDKs' own time for a run grows faster than its turns


def turns(items: int) -> list[Any]:
    """What the model says in a run that pauses with about `items` items."""

    def call(number: int, tool: str) -> dict[str, Any]:
        note = f"note {number}: 🌦 the weather changed twice since noon, and it may do so again"
        arguments = {"number": number, "note": note}
        return {
            "type": "function_call",
            "name": tool,
            "call_id": f"call_{number}",
            "arguments": arguments,
        }

    # A turn is a reasoning item, a message, and calls with an output each.
    calls = max(4, items // _MOST_TURNS // 2 - 1)
    said: list[Any] = []
    for turn in range(round(items / (2 * calls + 2))):
        first = turn * calls
        said.append(
            [
                {"type": "reasoning", "summary": f"Step {turn} asks for {calls} things."},
                {"type": "message", "text": f"Now for the numbers from {first} on."},
                *(call(first + index, "note") for index in range(calls)),
            ]
        )
    said.append([call(1_000_000, "ask")])
    return said


@asynccontextmanager
async def model(items: int) -> AsyncIterator[str]:
    """The base URL of a model for one run of about `items` items."""
    said = {"at": "2026-01-01", "turns": turns(items)}
    played = cassette.parse("bench", script.expand("bench", said))
    async with CassetteServer() as server:
        yield server.open("bench", played).base_url


def agent() -> Agent[Any]:
    """The agent of the runs: one tool that runs, one that waits for approval."""

    @function_tool
    def note(number: int, note: str) -> str:
        """Takes a note."""
        return f"noted {number}: {note}"

    @function_tool(needs_approval=True)
    def ask(number: int, note: str) -> str:
        """Asks a person."""
        return "yes"

    return Agent(name="Bench", model="gpt-x", tools=[note, ask])


async def paused(items: int) -> RunState[Any]:
    """The state of a run with about `items` items that waits for one approval."""
    async with (
        model(items) as base_url,
        AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client,
    ):
        provider = OpenAIProvider(openai_client=client)
        result = await run_agent(agent(), "Go", model_provider=provider, max_turns=None)
    assert result.interruptions
    return result.to_state()
