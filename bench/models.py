"""What the models of Ollama cost beside the server's answer: converting it, and the first event."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from agents import ModelSettings, ModelTracing
from ollama import AsyncClient

from bench.measure import medians
from conformance.harness import cassette, script
from conformance.harness.server import CassetteServer
from timestep import OllamaModelProvider
from timestep.models.ollama.response import Answer, CallIds, to_items, to_usage
from timestep.models.ollama.stream import EventWriter

TYPESCRIPT = Path(__file__).parent.parent / "typescript"
ROUNDS = 40
"""Requests of each kind for the time to the first event."""

_CHUNKS = 200

WHAT = {
    "response": ("an answer of Ollama to items / parse", "parse_response"),
    "stream": ("a streamed chunk to events / parse", "parse_stream"),
    "first_event": ("time to the first event / the client's", "first_chunk"),
}
"""Works by name: what the row says, and the work it is measured against."""


def spoken() -> list[Any]:
    """The chunks of an answer: thinking, text, and two calls."""
    thinking = [{"thinking": f"step {number} "} for number in range(_CHUNKS // 4)]
    text = [f"word{number} 🌦 " for number in range(_CHUNKS - len(thinking))]
    arguments = {"city": "Oslo", "days": [1, 2, 3], "units": {"temperature": "celsius"}}
    calls = [
        {"id": f"call_{number}", "function": {"name": "get_weather", "arguments": arguments}}
        for number in range(2)
    ]
    return [*thinking, *text, *({"tool_calls": [call]} for call in calls)]


def bodies() -> tuple[str, list[str]]:
    """The answer as one object, and as lines."""
    turn = {"api": "ollama", "output": spoken()}
    whole, streamed = script.expand("bench", {"at": "2026-01-01", "turns": [turn]})["interactions"]
    lines = streamed["response"]["body"]["string"].splitlines()
    return whole["response"]["body"]["string"], lines


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """The address of a server that streams the answer as often as both clients ask for it."""
    turn = {"api": "ollama", "output": spoken(), "times": 2 * ROUNDS}
    played = cassette.parse("bench", script.expand("bench", {"at": "2026-01-01", "turns": [turn]}))
    async with CassetteServer() as running:
        yield running.open("bench", played).base_url.removesuffix("/v1")


async def measured() -> dict[str, dict[str, float]]:
    """Seconds by port and work: CPU time, for the first event and chunk real time."""
    async with server() as url:
        python = _conversions() | await _first_events(url)
    whole, lines = bodies()
    async with server() as url:
        process = await asyncio.create_subprocess_exec(
            *("node", "--expose-gc", "bench/models.mjs", url, str(ROUNDS)),
            cwd=TYPESCRIPT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        told, _ = await process.communicate(json.dumps({"whole": whole, "lines": lines}).encode())
    if process.returncode:
        sys.exit("the TypeScript port could not be measured")
    return {"python": python, "typescript": json.loads(told)}


def _conversions() -> dict[str, float]:
    whole, lines = bodies()
    answer, chunks = json.loads(whole), [json.loads(line) for line in lines]

    def convert() -> object:
        made = Answer()
        made.add(answer, CallIds(set()))
        return to_items(made, "llama3"), to_usage(answer)

    def stream() -> object:
        made, ids = Answer(), CallIds(set())
        writer = EventWriter("llama3", ModelSettings())
        events = [event for chunk in chunks for event in writer.add(made.add(chunk, ids))]
        return [*events, *writer.finish(made, to_usage(made.done or {}))]

    return medians(
        {
            "parse_response": lambda: json.loads(whole),
            "response": convert,
            "parse_stream": lambda: [json.loads(line) for line in lines],
            "stream": stream,
        }
    )


async def _first_events(url: str) -> dict[str, float]:
    provider = OllamaModelProvider(base_url=url)
    client = AsyncClient(host=url)
    model = provider.get_model("llama3")
    messages = [{"role": "user", "content": "Weather?"}]

    async def first_event() -> float:
        began = time.perf_counter()
        events = model.stream_response(
            *(None, "Weather?", ModelSettings(), [], None, [], ModelTracing.DISABLED),
            previous_response_id=None,
            conversation_id=None,
            prompt=None,
        )
        return await _first(events, began)

    async def first_chunk() -> float:
        began = time.perf_counter()
        return await _first(await client.chat("llama3", messages, stream=True), began)

    works: Mapping[str, Callable[[], Any]] = {
        "first_event": first_event,
        "first_chunk": first_chunk,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            times[name].append(await work())
            await asyncio.sleep(0.01)  # the server shares this process, and has to come to rest
    await provider.aclose()
    await client.close()  # type: ignore[no-untyped-call]
    return {name: statistics.median(each) for name, each in times.items()}


async def _first(stream: AsyncIterator[Any], began: float) -> float:
    """Seconds to the first of a stream, which is then read to its end."""
    took = 0.0
    async with aclosing(cast(Any, stream)):
        async for _ in stream:
            took = took or time.perf_counter() - began
    return took
