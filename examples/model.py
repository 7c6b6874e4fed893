"""The model of the examples: a scripted one, on this machine, without a key.

`python -m examples.model [PORT]` answers until it is stopped, run after run.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import yaml

from conformance.harness import cassette
from conformance.harness.server import CassetteServer

CASSETTES = Path(__file__).parent.parent / "cassettes"
PLAYED = {"weather": "weather", "ollama": "ollama-approved"}
"""Cassettes by the name they have in an address: OpenAI's /weather/v1, Ollama's /ollama."""


async def serve(port: int) -> None:
    """Plays the cassettes over and over, each time from their start."""
    played = {
        name: cassette.parse(name, yaml.safe_load((CASSETTES / f"{file}.yaml").read_text()))
        for name, file in PLAYED.items()
    }
    async with CassetteServer(port) as server:
        sessions = {name: server.open(name, each) for name, each in played.items()}
        print(f"the scripted model answers at {sessions['weather'].base_url}", flush=True)
        while True:
            await asyncio.sleep(0.1)
            for name, each in played.items():
                if sessions[name].player.played.issuperset(each.turns):
                    server.close(name)
                    sessions[name] = server.open(name, each)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8787))
