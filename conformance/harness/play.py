"""One play of a case: its legs in order, with or without crossing, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import answer, document, match, schemas
from .case import Case, Cross, Leg, stands_alone
from .cassette import Request
from .driver import Driver
from .errors import CheckFailed, DriverError, PortError
from .library import Library
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


class Refused(Exception):
    """The refusal a negative case is about has come; nothing is left to do."""


class Play:
    """Plays `case` with `drivers` by role. Where `crossing` is off, one driver has every role."""

    def __init__(
        self,
        case: Case,
        drivers: Mapping[str, Driver],
        session: Session,
        library: Library,
        workdir: Path,
        *,
        crossing: bool,
    ) -> None:
        self.case = case
        self.trace = Trace(session=case.session["items"] if case.session else None)
        self._drivers = drivers
        self._session = session
        self._library = library
        self._workdir = workdir
        self._crossing = crossing
        self._agents = case.agents
        self._open: Driver | None = None
        self._named: dict[str, Json] = {}
        self._acting: list[str] = []

    async def run(self) -> Trace:
        """Raises CheckFailed, DriverError or CaseError."""
        try:
            for number, leg in enumerate(self.case.legs, 1):
                where = f"leg {number}"
                try:
                    if isinstance(leg, Leg):
                        await self._leg(leg, where, last=number == len(self.case.legs))
                    elif self._crossing:
                        await self._cross(leg, where, last=number == len(self.case.legs))
                except DriverError as error:
                    error.where = error.where or where
                    raise
        except Refused:
            pass
        except DriverError:
            self._open = None
            raise
        finally:
            self.trace.requests = self._session.player.requests
        if self._open is not None:
            await self._leave()
        return self.trace

    async def abandon(self) -> None:
        """Close the case at a driver that still has it open after a failure."""
        driver, self._open = self._open, None
        if driver is not None:
            try:
                await driver.call("case.close", {})
            except DriverError:
                return

    async def _enter(self, role: str) -> Driver:
        driver = self._drivers[role]
        self._session.sender = role
        if self._open is driver or self._agents is None:
            return driver
        args: Json = {
            "case": self.case.id,
            "agents": self._library.agents(self._agents),
            "model": {"base_url": self._session.base_url, "api_key": "unused"},
            "workdir": str(self._workdir),
        }
        if self.trace.session is not None:
            args["session"] = {"items": self.trace.session}
        if self.case.tracing:
            args["tracing"] = True
        await driver.call("case.open", args, required=self.case.requires)
        self._open = driver
        return driver

    async def _leave(self) -> None:
        driver = self._open
        assert driver is not None
        effects = await self._call(driver, "effects.read", {})
        self.trace.effects += effects["effects"]
        if self.case.session is not None:
            self.trace.session = (await self._call(driver, "session.read", {}))["items"]
        await self._call(driver, "case.close", {})
        self._open = None

    async def _call(self, driver: Driver, op: str, args: Json) -> Json:
        return await driver.call(op, args, required=self.case.requires)

    async def _leg(self, leg: Leg, where: str, *, last: bool) -> None:
        # What needs no open case leaves the one that is open as it is.
        driver = self._alone(leg) if stands_alone(leg) else await self._enter(leg.role)
        where = f"{where} ({leg.do} by {driver.port.name})"
        args = self._arguments(leg, driver)
        foreign = self._is_foreign(leg.role)
        refusal = last and self._refused(leg.do, foreign=foreign)
        try:
            reply = await self._call(driver, leg.do, args)
        except PortError as error:
            if refusal:
                self._check_refusal(error.err, where)
            error.where = where
            raise
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

    async def _cross(self, leg: Cross, where: str, *, last: bool) -> None:
        source = await self._enter(leg.source)
        self._acting += [leg.source, leg.target]
        path = self._workdir / "state.json"
        form: Json = {"form": leg.form, **({"path": str(path)} if leg.form == "file" else {})}
        foreign = source.port.language != self._drivers[leg.target].port.language
        saving = f"{where} (state.save by {source.port.name})"
        refused = last and self._refused("state.save", foreign=foreign)
        reply = await self._maybe_refused(source, "state.save", form, saving, refused=refused)
        written = self._written(leg, path, reply, saving)
        if leg.document is not None:
            _check("document", leg.document, written, saving)
        await self._leave()
        args = {**form, **leg.context}
        if leg.form == "portable":
            args["payload"] = document.patched(written, leg.patch)
        elif leg.text is not None:
            path.write_text(leg.text)
        elif leg.patch:
            path.write_text(json.dumps(document.patched(written, leg.patch)))
        self._agents = leg.agents or self._agents
        target = await self._enter(leg.target)
        loading = f"{where} (state.load by {target.port.name})"
        refused = last and self._refused("state.load", foreign=foreign)
        loaded = await self._maybe_refused(target, "state.load", args, loading, refused=refused)
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
        if leg.form == "portable":
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
