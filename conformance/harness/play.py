"""One play of a case: its legs in order, with or without crossing, and what came of them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import answer, document, match, schemas
from .case import Act, Case, Cross, Leg, stands_alone
from .cassette import Request
from .driver import Driver
from .errors import CheckFailed, DriverCrashed, DriverError, PortError
from .library import Library
from .places import Place
from .server import Session

Json = dict[str, Any]
_OUTCOMES = frozenset({"run.start", "run.advance", "run.recover"})
# What a model provider reads: unset, so that no case depends on where it runs.
_NO_ENVIRONMENT = dict.fromkeys(
    ("OLLAMA_API_KEY", "OLLAMA_HOST", "OPENAI_API_KEY", "OPENAI_BASE_URL")
)


@dataclass
class Trace:
    """What a play did, over all ports together; `problems` is what the cassette says to it."""

    outcome: Json | None = None
    effects: list[Json] = field(default_factory=list)
    session: list[Json] | None = None
    requests: list[Request] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


# How a run crosses: the operations, and the form they take.
_FORMS: Mapping[str, tuple[str, str, Json]] = {
    "portable": ("state.save", "state.load", {"form": "portable"}),
    "file": ("state.save", "state.load", {"form": "file"}),
    "store": ("store.save", "store.load", {}),
}


# A decision that expires sooner does so while the case waits; in seconds.
_LONG = 5


class Refused(Exception):
    """The refusal a negative case is about has come; nothing is left to do."""


class Play:
    """Plays `case` with `drivers` by role. Where `crossing` is off, one driver has every role.

    `place` is where a case with a store keeps its runs: there every role has a case of its own
    open, elsewhere one role at a time. The run that never crosses has no store: what a case does
    there is left out, and decisions of the inbox are taken on the run itself.
    """

    def __init__(
        self,
        case: Case,
        drivers: Mapping[str, Driver],
        session: Session,
        library: Library,
        workdir: Path,
        *,
        crossing: bool,
        place: Place | None = None,
    ) -> None:
        self.case = case
        self.trace = Trace(session=case.session["items"] if case.session else None)
        self._place = place
        self._drivers = drivers
        self._session = session
        self._library = library
        self._workdir = workdir
        self._crossing = crossing
        self._agents = case.agents
        self._seats: dict[str, Driver] = {}
        self._reads = case.session is not None
        self._entered: set[str] = set()
        self._named: dict[str, Json] = {}
        self._acting: list[str] = []

    async def run(self) -> Trace:
        """Raises CheckFailed, DriverError or CaseError."""
        try:
            for number, leg in enumerate(self.case.legs, 1):
                where = f"leg {number}"
                try:
                    last = number == len(self.case.legs)
                    if isinstance(leg, Leg):
                        await self._leg(leg, where, last=last)
                    elif isinstance(leg, Cross) and self._crossing:
                        await self._cross(leg, where, last=last)
                    elif isinstance(leg, Act) and self._place is not None:
                        await self._act(leg, self._place)
                except DriverError as error:
                    error.where = error.where or where
                    raise
        except Refused:
            self._reads = False
        finally:
            self.trace.requests = self._session.player.requests
        for seat in sorted(self._seats, key=lambda seat: seat == self._session.sender):
            await self._leave(seat)
        return self.trace

    async def abandon(self) -> None:
        """Close the case at the drivers that still have it open after a failure."""
        while self._seats:
            _, driver = self._seats.popitem()
            driver.signal(signal.SIGCONT)
            if driver.runs:
                try:
                    await driver.call("case.close", {})
                except DriverError:
                    continue

    async def _enter(self, role: str) -> Driver:
        driver = self._drivers[role]
        self._session.sender = role
        seat = role if self._place is not None else ""
        if self._agents is None or self._seats.get(seat) is driver:
            return driver
        args: Json = {
            "case": self.case.id,
            "agents": self._library.agents(self._agents),
            "model": {"base_url": self._session.base_url, "api_key": "unused"},
            "workdir": str(self._workdir),
        }
        place = self._place
        if place is not None and self.case.store is not None:
            store = place.store(self.case.store.keys.get(role, ()))
            args["store"] = {**store, "run_id": self.case.store.run_id}
        if self.case.session is not None and self.case.session.get("stored") and place is not None:
            args["session"] = {**store, "id": "conversation"}
            if not self._entered:
                args["session"]["items"] = self.trace.session
        elif self.trace.session is not None:
            args["session"] = {"items": self.trace.session}
        if self.case.tracing:
            args["tracing"] = True
        await driver.call("case.open", args, required=self.case.requires)
        self._seats[seat] = driver
        self._entered.add(seat)
        return driver

    async def _leave(self, seat: str) -> None:
        driver = self._seats[seat]
        effects = await self._call(driver, "effects.read", {})
        self.trace.effects += effects["effects"]
        if self._reads and seat in ("", self._session.sender):
            self.trace.session = (await self._call(driver, "session.read", {}))["items"]
        await self._call(driver, "case.close", {})
        del self._seats[seat]

    async def _act(self, act: Act, place: Place) -> None:
        """What the harness does by itself."""
        if act.do == "wait":
            await asyncio.sleep(act.args["seconds"])
        elif act.do == "damage":
            assert self.case.store is not None
            run_id = self.case.store.run_id
            await place.damage(act.args["what"], run_id, act.args.get("revision"))
        elif act.do == "kill" and act.role is not None:
            driver = self._seats.pop(act.role)
            if "during" in act.args:
                await place.kill_during(self._call(driver, act.args["during"], {}), driver)
            else:
                await driver.kill()
        elif act.role is not None:
            frozen = act.do == "freeze"
            self._seats[act.role].signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    async def _call(self, driver: Driver, op: str, args: Json) -> Json:
        return await driver.call(op, args, required=self.case.requires)

    async def _leg(self, leg: Leg, where: str, *, last: bool) -> None:
        if not self._crossing:
            if (alone := _uncrossed(leg)) is None:
                return
            leg = alone
        if leg.do == "case.close":
            await self._leave(leg.role)
            return
        # What needs no open case leaves the one that is open as it is.
        driver = self._alone(leg) if stands_alone(leg) else await self._enter(leg.role)
        where = f"{where} ({leg.do} by {driver.port.name})"
        args = self._arguments(leg, driver)
        foreign = self._is_foreign(leg.role)
        refusal = last and self._refused(leg.do, foreign=foreign)
        try:
            reply = await self._asked_for(leg, driver, args)
        except PortError as error:
            if refusal:
                self._check_refusal(error.err, where)
            if leg.refused is not None:
                _check("refused", leg.refused, error.err, where)
                return
            error.where = where
            raise
        except DriverCrashed:
            if not leg.dies:
                raise
            del self._seats[leg.role]
            return
        if leg.refused is not None or leg.dies:
            raise CheckFailed("refused", f"{where}: no error, expected {leg.refused or 'a crash'}")
        if leg.do in _OUTCOMES:
            self.trace.outcome = reply
            self._check_outcome(leg, reply, where, refusal=refusal, last=last)
        if refusal:
            assert self.case.negative is not None
            raise CheckFailed("refusal", f"{where}: no error, expected {self.case.negative.code}")
        if leg.do == "state.save" and leg.args["form"] == "portable":
            _check_document(reply, where)
        if leg.expect is not None and leg.do == "model.call":
            _fail("expect", answer.mismatches(leg.expect, reply, args["model"]), where)
        elif leg.expect is not None:
            _check("expect", leg.expect, reply, where)
        if leg.name:
            self._named[leg.name] = reply

    async def _asked_for(self, leg: Leg, driver: Driver, args: Json) -> Json:
        """The answer to a leg; one with `within` is asked for until it is not refused."""
        end = time.monotonic() + (leg.within or 0)
        while True:
            try:
                return await self._call(driver, leg.do, args)
            except PortError:
                if time.monotonic() > end:
                    raise
            await asyncio.sleep(0.02)

    async def _cross(self, leg: Cross, where: str, *, last: bool) -> None:
        source = await self._enter(leg.source)
        self._acting += [leg.source, leg.target]
        path = self._workdir / "state.json"
        save, load, form = _FORMS[leg.form]
        if leg.form == "file":
            form = {**form, "path": str(path)}
        foreign = source.port.language != self._drivers[leg.target].port.language
        saving = f"{where} ({save} by {source.port.name})"
        refused = last and self._refused(save, foreign=foreign)
        seen: Json = {}
        if leg.form == "store":
            # A store tells no document: what it is given is looked at before.
            seen = await self._call(source, "state.save", {"form": "portable"})
        reply = await self._maybe_refused(source, save, form, saving, refused=refused)
        written = self._written(leg, path, reply | seen, saving)
        if leg.document is not None:
            _check("document", leg.document, written, saving)
        await self._leave(leg.source if self._place is not None else "")
        args = {**form, **leg.context}
        if leg.form == "portable":
            args["payload"] = document.patched(written, leg.patch)
        elif leg.text is not None:
            path.write_text(leg.text)
        elif leg.patch:
            path.write_text(json.dumps(document.patched(written, leg.patch)))
        self._agents = leg.agents or self._agents
        target = await self._enter(leg.target)
        loading = f"{where} ({load} by {target.port.name})"
        refused = last and self._refused(load, foreign=foreign)
        loaded = await self._maybe_refused(target, load, args, loading, refused=refused)
        if leg.load is not None:
            _check("load", leg.load, loaded, loading)
        if leg.digest:
            again = await self._call(target, "state.save", {"form": "portable"})
            _check_same(written, again, loading)
        if leg.digest == "equal" and target.capabilities >= {"state.native", "state.convert"}:
            # A port may keep a document it only passes on: what its SDK holds is looked at too.
            held = await self._call(target, "state.save", {"form": "native"})
            ways = {"from": "native", "to": "portable"}
            anew = await self._call(target, "state.convert", {"payload": held["payload"], **ways})
            _check_same(written, anew, f"{loading}, written anew")

    async def _maybe_refused(
        self, driver: Driver, op: str, args: Json, where: str, *, refused: bool
    ) -> Json:
        try:
            reply = await self._call(driver, op, args)
        except PortError as error:
            if refused:
                self._check_refusal(error.err, where)
            error.where = where
            raise
        if refused:
            assert self.case.negative is not None
            raise CheckFailed("refusal", f"{where}: no error, expected {self.case.negative.code}")
        return reply

    def _written(self, leg: Cross, path: Path, reply: Json, where: str) -> Any:
        if leg.form != "file":
            _check_document(reply, where)
            return reply["payload"]
        try:
            written = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckFailed("document", f"{where}: {error}") from error
        _check_document({"payload": written, **reply}, where)
        return written

    def _alone(self, leg: Leg) -> Driver:
        self._session.sender = leg.role
        return self._drivers[leg.role]

    def _arguments(self, leg: Leg, driver: Driver) -> Json:
        args = dict(leg.args)
        if leg.do.startswith("model."):
            return self._asked(leg.do, args)
        if "path" in args:
            args["path"] = str(self._workdir / args["path"])
        payload = args.get("payload")
        if leg.fixture is not None:
            language = driver.port.language
            named = leg.fixture
            name = named if isinstance(named, str) else str(named[language])
            payload = self._library.fixture(name.format(language=language))
        elif isinstance(payload, str) and payload.startswith("$"):
            payload = self._named[payload[1:]].get("payload")
        if payload is not None or "payload" in args:
            args["payload"] = document.patched(payload, leg.patch)
        return args

    def _asked(self, op: str, args: Json) -> Json:
        """Arguments about a model: `$server` is the cassette server, which is the default."""
        server = self._session.base_url.removesuffix("/v1")
        env = {
            name: server if value == "$server" else value
            for name, value in (_NO_ENVIRONMENT | args.get("env", {})).items()
        }
        if op == "model.call":
            ollama = args["model"].startswith("ollama/")
            base_url = args.pop("base_url", "$server" if ollama else "$server/v1")
            if base_url is not None:
                args["base_url"] = base_url.replace("$server", server)
        return args | {"env": env}

    def _is_foreign(self, role: str) -> bool:
        """Whether the last other role to act has a port of another language."""
        others = [each for each in self._acting if each != role]
        self._acting.append(role)
        languages = (self._drivers[each].port.language for each in (role, *others[-1:]))
        return len(set(languages)) > 1

    def _refused(self, op: str, *, foreign: bool) -> bool:
        negative = self.case.negative
        if negative is None or negative.phase != op:
            return False
        return foreign or not negative.foreign_only

    def _check_refusal(self, err: Mapping[str, Any], where: str) -> None:
        negative = self.case.negative
        assert negative is not None
        code, pointer, message = (err.get(key) for key in ("code", "pointer", "message"))
        if code != negative.code:
            raise CheckFailed(
                "refusal", f"{where}: code {code}, expected {negative.code}: {message}"
            )
        if negative.pointer is not None and pointer != negative.pointer:
            raise CheckFailed("refusal", f"{where}: at {pointer}, expected {negative.pointer}")
        if negative.err is not None:
            _check("refusal", negative.err, err, where)
        raise Refused

    def _check_outcome(
        self, leg: Leg, reply: Json, where: str, *, refusal: bool, last: bool
    ) -> None:
        if reply["status"] != "failed":
            return
        error = reply.get("error", {})
        if refusal:
            self._check_refusal(error, where)
        wanted = leg.expect or (self.case.expect.outcome if last else None) or {}
        if wanted.get("status") != "failed":
            raise CheckFailed("outcome", f"{where}: failed: {error}")


def _uncrossed(leg: Leg) -> Leg | None:
    """What stands for a leg in the run that never crosses; None where nothing does."""
    if leg.refused is not None or leg.do == "case.close":
        return None
    if leg.do == "approvals.decide" and leg.args.get("expires", _LONG) >= _LONG:
        known = {"call_id", "decision", "always", "message"}
        args = {key: value for key, value in leg.args.items() if key in known}
        return dataclasses.replace(leg, do="run.decide", args=args, expect=None)
    if leg.do.startswith(("store.", "approvals.", "fault.")):
        return None
    return leg


def _check(check: str, expected: Any, actual: Any, where: str) -> None:
    _fail(check, list(match.mismatches(expected, actual)), where)


def _fail(check: str, found: list[str], where: str) -> None:
    if found:
        raise CheckFailed(check, f"{where}: {'; '.join(found[:5])}")


def _check_document(reply: Json, where: str) -> None:
    """The schema, and the digest where the port tells one."""
    payload = reply.get("payload")
    if not isinstance(payload, Mapping):
        raise CheckFailed("document", f"{where}: no payload")
    if wrong := schemas.problem("run-state", payload):
        raise CheckFailed("document", f"{where}: the document is wrong: {wrong}")
    told, real = reply.get("digest"), document.digest(payload)
    if told is not None and told != real:
        raise CheckFailed("digest", f"{where}: told digest {told}, the document has {real}")


def _check_same(written: Json, again: Json, where: str) -> None:
    """That a document written again has the core of the first."""
    _check_document(again, where)
    if document.digest(again["payload"]) != document.digest(written):
        found = list(match.differences(_core(written), _core(again["payload"])))
        raise CheckFailed("digest", f"{where}: the core changed: {'; '.join(found[:5])}")


def _core(written: Mapping[str, Any]) -> Json:
    return {key: value for key, value in written.items() if key not in ("writer", "residue")}
