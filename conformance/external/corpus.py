"""Every snapshot of the corpus through `state.convert`: back into its language, and across."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from conformance.harness.driver import Driver
from conformance.harness.errors import CaseError, DriverError, PortError
from conformance.harness.ports import Port
from conformance.harness.transcript import Transcript

from .kept import same
from .material import Row, rows
from .outcome import Outcome

_OTHER = {"python": "typescript", "typescript": "python"}


class Lane:
    """A driver of each port, used by one row at a time."""

    def __init__(self, ports: Mapping[str, Port]) -> None:
        self._transcript = Transcript()
        self._drivers = {name: Driver(port, self._transcript) for name, port in ports.items()}

    async def close(self) -> None:
        for driver in self._drivers.values():
            await driver.close()

    async def convert(self, language: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """`state.convert` at the port of `language`. Raises DriverError."""
        try:
            return await self._drivers[language].call("state.convert", args)
        finally:
            self._transcript.take()

    async def judge(self, row: Row) -> Outcome:
        """Send one row both ways."""
        try:
            portable = await self.convert(
                row.language, {"payload": row.state, "from": "native", "to": "portable"}
            )
        except PortError as error:
            return Outcome(row, error.code, error.code, str(error))
        except (DriverError, CaseError) as error:
            return Outcome(row, "driver", "driver", str(error))
        document = portable["payload"]
        back, detail = await self._back(row, document)
        cross, why = await self._across(row, document)
        return Outcome(row, back, cross, detail or why)

    async def _back(self, row: Row, document: Any) -> tuple[str, str]:
        args = {"payload": document, "from": "portable", "to": "native"}
        try:
            native = await self.convert(row.language, args)
        except PortError as error:
            return error.code, str(error)
        except DriverError as error:
            return "driver", str(error)
        return ("identical", "") if same(row.state, native["payload"]) else ("different", "")

    async def _across(self, row: Row, document: Any) -> tuple[str, str]:
        args = {"payload": document, "from": "portable", "to": "native"}
        args |= {"graph": row.graph or {"agents": [], "root": 0}}
        if any("context" in option for option in row.options):
            args |= {"options": {"context": {}}}
        try:
            native = await self.convert(_OTHER[row.language], args)
        except PortError as error:
            return error.code, str(error)
        except DriverError as error:
            return "driver", str(error)
        return ("loaded", "") if native["checked"] else ("unchecked", "")


async def run(
    folder: Path,
    names: tuple[str, ...],
    ports: Mapping[str, Port],
    *,
    lanes: int,
    every: int,
    progress: Callable[[str, int, float], None],
) -> list[Outcome]:
    """The outcomes of each `every`-th row of the named corpora, `lanes` rows at a time."""
    queue = _rows(folder, names, every)
    outcomes: list[Outcome] = []
    begin = time.monotonic()

    async def work() -> None:
        lane = Lane(ports)
        try:
            for row in queue:
                outcomes.append(await lane.judge(row))
                if len(outcomes) % 500 == 0:
                    progress(row.id, len(outcomes), time.monotonic() - begin)
        finally:
            await lane.close()

    await asyncio.gather(*(work() for _ in range(lanes)))
    return outcomes


def _rows(folder: Path, names: tuple[str, ...], every: int) -> Iterator[Row]:
    return itertools.chain.from_iterable(
        itertools.islice(rows(folder, name), 0, None, every) for name in names
    )
