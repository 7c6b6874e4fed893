"""Everything a process needs to run cases: drivers, server and transcript around one event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from . import known_failing, requirements
from .case import Case, Pairing, lint, pairings
from .cassette import Request
from .driver import Driver, Limits
from .known_failing import Entry
from .library import Library
from .places import Places
from .ports import Port
from .report import Report, Result
from .runner import Runner
from .server import CassetteServer
from .transcript import Entry as Line
from .transcript import Transcript


class Suite:
    """The suite over `ports`. Starts what it needs with the first case; `close` ends it."""

    def __init__(
        self,
        library: Library,
        ports: Sequence[Port],
        *,
        transcript: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.library = library
        self.ports = tuple(ports)
        self.transcript = Transcript(transcript)
        self.drivers = {port.name: Driver(port, self.transcript, limits) for port in ports}
        self._others: dict[str, Driver] = {}
        self._limits = limits
        self._places = Places()
        self._loop = asyncio.Runner()
        self._server = CassetteServer(heard=self._heard)
        self._runner: Runner | None = None

    @cached_property
    def entries(self) -> list[Entry]:
        """The known-failing lists. Raises CaseError."""
        return [
            entry
            for name, path in self.library.known_failing()
            for entry in known_failing.parse(yaml.safe_load(path.read_text()), f"{name}.yaml")
        ]

    def run(self, case: Case, pairing: Pairing) -> tuple[Result, list[Line]]:
        """The result of one run, listed failures marked, and its part of the transcript."""
        self.transcript.take()
        self.transcript.add("suite", "note", f"{case.id} {pairing.label}: {case.title}")
        result = self._loop.run(self._run(case, pairing))
        return known_failing.mark(result, self.entries), self.transcript.take()

    def every_run(self) -> list[Result]:
        """One not-run result for each run of each case: what a full run has to deliver."""
        return [
            Result.of(case, pairing)
            for case in self.library.cases
            for pairing in pairings(case, self.ports)
        ]

    def report(
        self,
        results: Mapping[tuple[str, str], Result],
        *,
        ports: Mapping[str, Mapping[str, Any]],
        started: datetime.datetime,
        seconds: float,
        filtered: bool,
    ) -> Report:
        """The report of a run: what did not run and what nothing covers is in it."""
        every = [results.get(each.key, each) for each in self.every_run()]
        found = self.library.requirements()
        frozen = None if found is None else requirements.parse(*found)
        required = frozenset() if frozen is None else frozen.cases
        covered = {each.case for each in every}
        missing = [
            Result(name, "no case has this id", "must", "", "", "uncovered", "covered")
            for name in sorted(required - covered)
        ]
        exist = {each.key for each in every}
        problems = lint(self.library.cases)
        if frozen and not filtered:
            problems += frozen.unlisted(self.library.cases)
        problems += known_failing.stale(self.entries, every, exist, started.date())
        return Report(
            results=tuple(every + missing),
            ports=ports,
            suite=self.digest(),
            started=started.isoformat(timespec="seconds"),
            seconds=seconds,
            filtered=filtered,
            version=frozen.version if frozen else None,
            problems=tuple(problems),
        )

    def fix(self, report: Report) -> list[Path]:
        """Rewrite the known-failing lists from a full run; the paths that changed."""
        changed = []
        folder = self.library.root / "conformance" / "known-failing"
        folder.mkdir(exist_ok=True)
        for port in self.ports:
            path = folder / f"{port.name}.yaml"
            text = path.read_text() if path.exists() else ""
            new = known_failing.fixed(text, report.results, port.name)
            if new != text:
                path.write_text(new)
                changed.append(path)
        return changed

    def digest(self) -> str:
        """sha256 over the files that make the suite: cases, agents, cassettes."""
        whole = hashlib.sha256()
        for folder in ("conformance/cases", "conformance/agents", "cassettes"):
            for path in sorted((self.library.root / folder).rglob("*.yaml")):
                whole.update(str(path.relative_to(self.library.root)).encode())
                whole.update(path.read_bytes())
        return whole.hexdigest()

    def close(self) -> None:
        """End the drivers and the server."""
        self._loop.run(self._close())
        self._loop.close()
        self.transcript.close()

    def _heard(self, session: str, request: Request) -> None:
        told = {"session": session, "turn": request.turn, "miss": request.miss}
        self.transcript.add("model", "note", json.dumps(told))

    def _other(self, port: Port, number: int) -> Driver:
        """The further process `number` of a port."""
        name = f"{port.name}-{number + 1}"
        if name not in self._others:
            named = dataclasses.replace(port, name=name)
            self._others[name] = Driver(named, self.transcript, self._limits)
        return self._others[name]

    async def _run(self, case: Case, pairing: Pairing) -> Result:
        if self._runner is None:
            await self._server.__aenter__()
            self._runner = Runner(
                self.library, self.drivers, self._server, self._places, self._other
            )
        return await self._runner.run(case, pairing)

    async def _close(self) -> None:
        every = (*self.drivers.values(), *self._others.values())
        await asyncio.gather(*(driver.close() for driver in every))
        await self._places.close()
        if self._runner is not None:
            await self._server.__aexit__(None, None, None)
