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

CASSETTE = Path(__file__).parent.parent / "cassettes" / "weather.yaml"


async def serve(port: int) -> None:
    """Plays the cassette over and over, each time from its start."""
    played = cassette.parse("weather", yaml.safe_load(CASSETTE.read_text()))
    async with CassetteServer(port) as server:
        session = server.open("weather", played)
        print(f"the scripted model answers at {session.base_url}", flush=True)
        while True:
            await asyncio.sleep(0.1)
            if session.player.played.issuperset(played.turns):
                server.close("weather")
                session = server.open("weather", played)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8787))
