"""The Python side of conversations that tests of the TypeScript port share with it.

`python -m tests.conversation` reads commands from standard input, one a line, as JSON: the number
of a conversation, a name, and arguments. `open` makes a conversation and answers its number. Every
answer is `{"ok": ...}`, or `{"error": code}` for an error of Timestep.
"""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode
from contextlib import AsyncExitStack
from typing import Any

from agents import (
    Agent,
    HostedMCPTool,
    OpenAIProvider,
    Tool,
    ToolOutputImage,
    function_tool,
    handoff,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from timestep import RunStateStore, TimestepError, consume_result, run_agent
from timestep.session import Session

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def travel_agent(calls: list[str]) -> Agent[Any]:
    """The agent both languages have; it notes in `calls` what its tools were called with."""

    @function_tool(needs_approval=True)
    def get_weather(city: str) -> str:
        """The weather in a city."""
        calls.append(city)
        return f"{city} is sunny"

    @function_tool
    def find_time(city: str) -> str:
        """The time in a city."""
        calls.append(city)
        return f"noon in {city}"

    @function_tool
    def take_photo(city: str) -> ToolOutputImage:
        """A photo of a city."""
        calls.append(city)
        return ToolOutputImage(image_url=PIXEL, detail="low")

    trains = HostedMCPTool(
        tool_config={
            "type": "mcp",
            "server_label": "trains",
            "server_url": "https://trains.example",
            "require_approval": "always",
        }
    )
    tools: list[Tool] = [get_weather, find_time, take_photo, trains]
    weather = Agent(name="Weather", model="gpt-x", tools=tools)
    return Agent(
        name="Travel",
        model="gpt-x",
        tools=tools,
        handoffs=[handoff(weather, tool_name_override="transfer_to_weather")],
    )


class Conversation:
    """One session, and maybe a run that waits in a file."""

    def __init__(self, stack: AsyncExitStack, given: dict[str, Any]) -> None:
        keys = {name: b64decode(key) for name, key in given.get("keys", {}).items()}
        self.session = Session(given["session"], location=given["location"], keys=keys or None)
        stack.push_async_callback(self.session.aclose)
        self.calls: list[str] = []
        self._agent = travel_agent(self.calls)

    async def items(self, limit: int | None = None) -> Any:
        return await self.session.get_items(limit)

    async def add(self, items: list[Any], *, each: bool = False) -> None:
        for batch in [[item] for item in items] if each else [items]:
            await self.session.add_items(batch)

    async def drain(self) -> list[Any]:
        popped = []
        while (item := await self.session.pop_item()) is not None:
            popped.append(item)
        return popped

    async def clear(self) -> None:
        await self.session.clear_session()

    async def close(self) -> None:
        await self.session.aclose()

    async def run(
        self,
        model: str,
        *,
        input: str | list[Any] | None = None,
        file: str | None = None,
        decisions: dict[str, str] | None = None,
        stream: bool = False,
    ) -> Any:
        """A turn, or a run that goes on from its file. One that stops is saved there."""
        store = None if file is None else RunStateStore(file, self._agent)
        given: Any = input
        if decisions is not None:
            assert store is not None
            given = await store.load()
            for interruption in given.get_interruptions():
                match decisions.get(str(interruption.call_id)):
                    case "approve":
                        given.approve(interruption)
                    case str(message):
                        given.reject(interruption, rejection_message=message)
        async with AsyncOpenAI(base_url=model, api_key="none", max_retries=0) as client:
            result = await consume_result(
                await run_agent(
                    self._agent,
                    given,
                    session=self.session,
                    stream=stream,
                    model_provider=OpenAIProvider(openai_client=client),
                )
            )
        waiting = [interruption.call_id for interruption in result.interruptions]
        if waiting and store is not None:
            await store.save(result.to_state())
        return {"output": result.final_output, "waiting": waiting, "calls": self.calls}


async def main() -> None:
    """Answers commands until the input ends."""
    conversations: list[Conversation] = []
    async with AsyncExitStack() as stack:
        while line := await asyncio.to_thread(sys.stdin.readline):
            number, name, arguments = json.loads(line)
            try:
                if name == "open":
                    conversations.append(Conversation(stack, arguments))
                    reply: dict[str, Any] = {"ok": len(conversations) - 1}
                else:
                    reply = {"ok": await getattr(conversations[number], name)(**arguments)}
            except TimestepError as error:
                reply = {"error": error.code}
            print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    set_tracing_disabled(True)
    asyncio.run(main())
