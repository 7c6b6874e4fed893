"""Runs a case for one pairing, judges it, and compares it with the run that never crossed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from . import match
from .case import Case, Cross, Pairing
from .cassette import Request
from .driver import Driver
from .errors import (
    CaseError,
    CassetteError,
    CheckFailed,
    DriverCrashed,
    DriverError,
    DriverTimeout,
    NotHere,
    PortError,
    Unsupported,
)
from .library import Library
from .places import Places, disk
from .play import Play, Trace
from .ports import Port
from .report import Result
from .server import CassetteServer


class Runner:
    """Runs cases against `drivers` (by port name), one at a time.

    `others` makes a further process of a port, for cases where roles of one port act side by side.
    """

    def __init__(
        self,
        library: Library,
        drivers: Mapping[str, Driver],
        server: CassetteServer,
        places: Places,
        others: Callable[[Port, int], Driver],
    ) -> None:
        self._library = library
        self._drivers = drivers
        self._server = server
        self._places = places
        self._others = others
        self._references: dict[tuple[str, str], Trace | Exception] = {}
        self._count = 0

    async def run(self, case: Case, pairing: Pairing) -> Result:
        """The result of one run; what goes wrong is in it, not raised."""
        began = time.monotonic()
        result = Result.of(case, pairing)
        if pairing.not_applicable:
            return result.ended("n/a", message=pairing.not_applicable)
        trace = Trace()
        try:
            await self._require(case, pairing)
            trace = await self._play(case, pairing, crossing=True)
            await self._judge(case, pairing, trace)
            result = result.ended("pass")
        except CheckFailed as error:
            result = result.ended("fail", check=error.check, message=str(error))
        except DriverError as error:
            where = f"{error.where}: " if error.where else ""
            code = f"{error.code}: " if isinstance(error, PortError) else ""
            crashed = isinstance(error, DriverCrashed | DriverTimeout) and error.stderr
            tail = f"\nstderr:\n{error.stderr[-2000:]}" if crashed else ""
            result = result.ended(
                error.status, check=error.check, message=f"{where}{code}{error}{tail}"
            )
        except NotHere as error:
            result = result.ended("n/a", message=f"not run: {error}")
        except (CaseError, CassetteError) as error:
            result = result.ended("errored", check="data", message=str(error))
        return result.timed(time.monotonic() - began, len(trace.requests))

    async def _require(self, case: Case, pairing: Pairing) -> None:
        for port in dict.fromkeys(port for _, port in pairing.ports):
            driver = self._drivers[port.name]
            await driver.start()
            needed = case.requires | ({f"store.{pairing.location}"} if pairing.location else set())
            if lacking := needed - driver.capabilities:
                raise _lacks(port.name, lacking)

    async def _play(self, case: Case, pairing: Pairing, *, crossing: bool) -> Trace:
        self._count += 1
        name = f"{case.id}-{self._count}"
        cassette = self._library.cassette(case.cassette) if case.cassette else None
        session = self._server.open(name, cassette, split=case.split)
        drivers = self._seated(case, pairing, crossing=crossing)
        try:
            async with AsyncExitStack() as stack:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="conformance-")))
                place = None
                if crossing and case.store is not None and pairing.location is not None:
                    if case.store.room is not None:
                        stack.enter_context(disk(folder / "disk", case.store.room))
                        folder = folder / "disk"
                    opened = self._places.open(pairing.location, folder, served=case.store.served)
                    place = await stack.enter_async_context(opened)
                play = Play(
                    case, drivers, session, self._library, folder, crossing=crossing, place=place
                )
                try:
                    trace = await play.run()
                except (CheckFailed, DriverError) as error:
                    missed = [each.miss for each in session.player.requests if each.miss]
                    if missed:
                        raise CheckFailed(
                            "cassette", f"unmatched request: {missed[0]}\nthen: {error}"
                        ) from error
                    raise
                finally:
                    await play.abandon()
        finally:
            player = self._server.close(name)
        trace.problems = player.problems()
        return trace

    def _seated(self, case: Case, pairing: Pairing, *, crossing: bool) -> dict[str, Driver]:
        """Drivers by role: one of a port, but where its roles act side by side one for each."""
        if case.store is None or not crossing:
            return {role: self._drivers[port.name] for role, port in pairing.ports}
        seated: dict[str, Driver] = {}
        for role, port in pairing.ports:
            taken = sum(pairing[other] == port for other in seated)
            seated[role] = self._others(port, taken) if taken else self._drivers[port.name]
        return seated

    async def _judge(self, case: Case, pairing: Pairing, trace: Trace) -> None:
        expect = case.expect
        if expect.outcome is not None:
            found = list(match.mismatches(expect.outcome, trace.outcome))
            _fail("outcome", found)
        if expect.effects is not None:
            _fail("effects", match.effects(expect.effects, trace.effects))
        if expect.count is not None and len(trace.requests) != expect.count:
            _fail("count", [f"{len(trace.requests)} requests, expected {expect.count}"])
        if expect.sent is not None:
            _fail("sent", match.sent(expect.sent, [each.body for each in trace.requests]))
        if expect.authorization is not None:
            keys = [each.authorization for each in trace.requests]
            _fail("authorization", list(match.differences(list(expect.authorization), keys)))
        if expect.session is not None and expect.session != "equal-to-uncrossed":
            _fail("session", list(match.mismatches(expect.session, trace.session)))
        # Last of its own checks: a run that went wrong leaves turns unused, and that is no news.
        _fail("cassette", trace.problems)
        if case.crosses and case.negative is None and expect.compare != "not-compared":
            await self._compare(case, pairing, trace)

    async def _compare(self, case: Case, pairing: Pairing, trace: Trace) -> None:
        expect = case.expect
        writer = pairing.ports[0][1]
        last = pairing[_last_role(case)]
        with_writer = expect.compare == "equal-to-writer"
        final = await self._reference(case, pairing, writer.name if with_writer else last.name)
        if trace.outcome is not None and final.outcome is not None:
            for key in ("status", "output"):
                found = list(match.differences(final.outcome.get(key), trace.outcome.get(key)))
                _fail(
                    "outcome", [f"not as in the run that never crossed: {each}" for each in found]
                )
        if expect.effects is None:
            _fail("effects", match.effects(final.effects, trace.effects))
        if expect.session == "equal-to-uncrossed":
            one, other = (
                match.normalise({"input": each.session}, ports_differ=True, extra=expect.normalise)
                for each in (final, trace)
            )
            _fail("session", list(match.differences(one["input"], other["input"])))
        if len(trace.requests) != len(final.requests):
            told = f"{len(trace.requests)} requests, {len(final.requests)} where it never crosses"
            _fail("requests", [told])
        for number, request in enumerate(_by_turn(trace.requests)):
            port = pairing[request.sender]
            other = writer if with_writer else port
            reference = await self._reference(case, pairing, other.name)
            one, two = (
                match.normalise(
                    each.body, ports_differ=port.language != other.language, extra=expect.normalise
                )
                for each in (_by_turn(reference.requests)[number], request)
            )
            found = list(match.differences(one, two))
            named = f"request {number + 1} by {port.name} is not that of {other.name} alone: "
            _fail("requests", [named + "; ".join(found[:6])] if found else [])

    async def _reference(self, case: Case, pairing: Pairing, name: str) -> Trace:
        """The run of one port alone, once for each case and port."""
        key = (case.id, name)
        if key not in self._references:
            port = self._drivers[name].port
            alone = Pairing(tuple((role, port) for role, _ in pairing.ports))
            try:
                trace = await self._play(case, alone, crossing=False)
                _fail("cassette", trace.problems)
                self._references[key] = trace
            except (CheckFailed, DriverError) as error:
                self._references[key] = error
        found = self._references[key]
        if isinstance(found, Exception):
            raise CheckFailed("reference", f"the run that never crosses, by {name}: {found}")
        return found


def _lacks(name: str, capabilities: frozenset[str]) -> DriverError:
    return Unsupported(f"{name} lacks {', '.join(sorted(capabilities))}")


def _fail(check: str, found: list[str]) -> None:
    if found:
        raise CheckFailed(check, "; ".join(found[:6]))


def _last_role(case: Case) -> str:
    last = case.legs[-1]
    return last.target if isinstance(last, Cross) else str(last.role)


def _by_turn(requests: list[Request]) -> list[Request]:
    """Requests in the order of the cassette's turns: parallel ones arrive in any order."""
    return sorted(requests, key=lambda each: each.turn or 0)
