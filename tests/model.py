"""A model for tests: the harness's cassette server, playing a script, behind the real client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agents import Agent, OpenAIProvider, function_tool
from openai import AsyncOpenAI

from conformance.harness import cassette, script
from conformance.harness.server import CassetteServer, Session

Turn = list[dict[str, Any]] | dict[str, Any]


@dataclass
class Model:
    """A scripted model, reached through a real OpenAI client."""

    provider: OpenAIProvider
    client: AsyncOpenAI
    session: Session

    @property
    def requests(self) -> list[Any]:
        """The body of every request, in order."""
        return [request.body for request in self.session.player.requests]


@asynccontextmanager
async def scripted(turns: Sequence[Turn]) -> AsyncIterator[Model]:
    """A model that answers with `turns`; an unused one fails at the end."""
    played = cassette.parse(
        "test", script.expand("test", {"at": "2026-01-01", "turns": list(turns)})
    )
    async with CassetteServer() as server:
        session = server.open("test", played)
        async with AsyncOpenAI(base_url=session.base_url, api_key="none", max_retries=0) as client:
            yield Model(OpenAIProvider(openai_client=client), client, session)
        assert session.player.problems() == []


def call(name: str = "get_weather", call_id: str = "call_1", **arguments: Any) -> dict[str, Any]:
    """A function call of the model."""
    return {
        "type": "function_call",
        "name": name,
        "call_id": call_id,
        "arguments": arguments or {"city": "Oslo"},
    }


def message(text: str) -> dict[str, Any]:
    """A message of the model."""
    return {"type": "message", "role": "assistant", "text": text}


def weather_agent(calls: list[str], *, approval: bool = True) -> Agent[Any]:
    """An agent with one tool, which notes the cities it was asked for in `calls`."""

    @function_tool(needs_approval=approval)
    def get_weather(city: str) -> str:
        """The weather in a city."""
        calls.append(city)
        return f"{city} is sunny"

    return Agent(name="Weather", model="gpt-x", tools=[get_weather])
