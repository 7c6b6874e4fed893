"""Two resumers of one paused run, one of each language, released at the same moment.

`python -m conformance.resumers [--rounds N] [LOCATION ...]`. In every round a run is paused and
stored, by one port in the one round and by the other in the next. Then both claim it, load it,
approve its call, run it, save it and give it back, as fast as they can. The tool has to run once,
the model has to be asked once, and the stored run has to be complete: one of the two did it all,
and the other one was refused, or came when everything was done.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .harness import ports
from .harness.driver import Driver
from .harness.errors import CheckFailed, HarnessError, PortError
from .harness.library import Library
from .harness.places import Place, Places
from .harness.server import CassetteServer
from .harness.transcript import Transcript

Json = dict[str, Any]
LOCATIONS = ("folder", "postgresql", "pglite")
_CALL = {"tool": "get_weather", "arguments": {"city": "Oslo"}}
_TOO_LATE = frozenset({"already-claimed", "run-completed", "stale-state"})


@dataclass
class Tally:
    """What came of the rounds: who resumed the run, and what the other one was told."""

    winners: Counter[str] = field(default_factory=Counter)
    losers: Counter[str] = field(default_factory=Counter)


class Race:
    """Rounds at one place, between the drivers of both ports."""

    def __init__(self, drivers: list[Driver], server: CassetteServer, folder: Path) -> None:
        self._drivers = drivers
        self._server = server
        self._folder = folder
        library = Library()
        self._agents = library.agents("weather")
        self._cassette = library.cassette("weather")

    async def round(self, number: int, place: Place, tally: Tally) -> None:
        """One round. Raises CheckFailed where anything happened twice, or not at all."""
        session = self._server.open(f"round-{number}", self._cassette)
        run_id = f"run-{number}"
        case: Json = {
            "case": run_id,
            "agents": self._agents,
            "model": {"base_url": session.base_url, "api_key": "unused"},
            "workdir": str(self._folder),
            "store": {**place.store(()), "run_id": run_id},
        }
        # Both take turns at beginning the run, and at being told to go first.
        first, second = self._drivers if number % 2 else reversed(self._drivers)
        try:
            await first.call("case.open", case)
            await first.call("run.start", {"input": "Weather in Oslo?"})
            await first.call("store.save", {})
            for driver in (first, second):
                await driver.call("case.open", case)
            told = await asyncio.gather(_resume(second), _resume(first))
            effects = [each for driver in self._drivers for each in await _effects(driver)]
            listed = (await first.call("store.list", {}))["runs"]
            runs = [each for each in listed if each["run_id"] == run_id]
        finally:
            problems = self._server.close(f"round-{number}").problems()
        names = dict(zip((second.port.name, first.port.name), told, strict=True))
        winners = [name for name, code in names.items() if code is None]
        losers = [code for code in told if code is not None]
        if len(winners) != 1 or not set(losers) <= _TOO_LATE:
            raise CheckFailed("winner", f"round {number}: {names}")
        if effects != [_CALL]:
            raise CheckFailed("effects", f"round {number}: {effects}")
        if problems:
            raise CheckFailed("cassette", f"round {number}: {'; '.join(problems)}")
        stored = [(each["status"], each["revision"], each.get("claimed_by")) for each in runs]
        if stored != [("completed", 2, None)]:
            raise CheckFailed("stored", f"round {number}: {stored}")
        tally.winners.update(winners)
        tally.losers.update(losers)


async def _resume(driver: Driver) -> str | None:
    """Resume the run; None where that went well, else the code of the refusal."""
    steps: tuple[tuple[str, Json], ...] = (
        ("store.load", {}),
        ("run.decide", {"call_id": "call_1", "decision": "approve"}),
        ("run.advance", {}),
        ("store.save", {}),
    )
    try:
        await driver.call("store.claim", {})
    except PortError as error:
        return error.code
    refused = None
    for op, args in steps:
        try:
            outcome = await driver.call(op, args)
        except PortError as error:
            refused = error.code
            break
        if op == "run.advance" and outcome["status"] != "completed":
            raise CheckFailed("outcome", f"{driver.port.name}: {outcome}")
    await driver.call("store.release", {})
    return refused


async def _effects(driver: Driver) -> list[Json]:
    effects: list[Json] = (await driver.call("effects.read", {}))["effects"]
    return effects


async def race(locations: list[str], rounds: int) -> None:
    """`rounds` at every location, with a line about each. Raises HarnessError."""
    drivers = [Driver(port, Transcript()) for port in ports.load()]
    places = Places()
    try:
        async with CassetteServer() as server:
            for location in locations:
                with tempfile.TemporaryDirectory(prefix="resumers-") as name:
                    folder = Path(name)
                    tally = Tally()
                    began = time.monotonic()
                    async with places.open(location, folder, served=True) as place:
                        racing = Race(drivers, server, folder)
                        for number in range(1, rounds + 1):
                            await racing.round(number, place, tally)
                        for driver in drivers:
                            await driver.call("case.close", {})
                    print(_line(location, rounds, tally, time.monotonic() - began), flush=True)
    finally:
        for driver in drivers:
            await driver.close()
        await places.close()


def _line(location: str, rounds: int, tally: Tally, seconds: float) -> str:
    won = ", ".join(f"{name} {count}" for name, count in sorted(tally.winners.items()))
    lost = ", ".join(f"{code} {count}" for code, count in sorted(tally.losers.items()))
    return f"{location}: {rounds} rounds, {seconds:.1f} s; resumed by {won}; the other: {lost}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="conformance.resumers", description=__doc__)
    parser.add_argument("locations", nargs="*", metavar="LOCATION", help=", ".join(LOCATIONS))
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args(arguments)
    try:
        asyncio.run(race(options.locations or list(LOCATIONS), options.rounds))
    except HarnessError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
