"""A case of the suite as a value: its legs by role, its expectations, the runs it expands to.

Pure: data in, values out. Reading files is `library.py`, running is `runner.py`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import schemas
from .errors import CaseError
from .ports import Port

Json = Mapping[str, Any]
LOCATIONS = ("file", "folder", "postgresql", "pglite")
"""Kinds of places where runs are kept."""

_DEFAULT_LOCATIONS = ("folder", "postgresql", "pglite")
_OWN_KEYS = frozenset(
    {"do", "port", "as", "fixture", "patch", "expect", "refused", "dies", "within"}
)
_HARNESS = frozenset({"kill", "freeze", "thaw", "wait", "damage"})
_OF_STORES = ("store.", "approvals.", "fault.")
_MODAL = re.compile(
    r"\b(?:should|must|shall|can|could|may|might|will|would|needs? to|has to|have to)\b"
)


@dataclass(frozen=True)
class Leg:
    """One driver operation by the port of a role.

    `fixture` is a file, or a file for each language. `refused` is what the error of an operation
    holds that fails and after which the case goes on; one that `dies` ends the process of the
    port. An operation is asked again for `within` seconds until it is not refused.
    """

    do: str
    role: str
    args: Json
    name: str | None = None
    fixture: str | Json | None = None
    patch: tuple[Json, ...] = ()
    expect: Json | None = None
    refused: Json | None = None
    dies: bool = False
    within: float | None = None


@dataclass(frozen=True)
class Act:
    """Something the harness does by itself: to the process of a role, or to what is stored.

    `do` is `kill`, `freeze`, `thaw`, `wait` or `damage`.
    """

    do: str
    role: str | None
    args: Json


@dataclass(frozen=True)
class Cross:
    """The run moves from one role's port to another's.

    `form` is `portable`, `file` or `store`, `digest` is `equal` or `kept`.
    """

    source: str
    target: str
    form: str = "portable"
    context: Json = field(default_factory=dict)
    agents: str | None = None
    digest: str | None = None
    patch: tuple[Json, ...] = ()
    text: str | None = None
    document: Json | None = None
    load: Json | None = None


@dataclass(frozen=True)
class Store:
    """The store of a case. `keys` holds names of keys by role, the one that seals first.

    `room` is the size in bytes of the disk it is on, where that is to be a small one.

    Where it is `served`, PGLite runs before the ports come; else the first of them starts it.
    """

    run_id: str
    keys: Mapping[str, tuple[str, ...]]
    served: bool
    room: int | None


@dataclass(frozen=True)
class Restriction:
    """The languages that can take a role, and why no other can."""

    only: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Negative:
    """The refusal that the last leg ends in."""

    phase: str
    code: str
    pointer: str | None = None
    err: Json | None = None
    foreign_only: bool = False


@dataclass(frozen=True)
class ExtraRule:
    """A normalisation that only this case needs: an optional rule by name, or members to drop."""

    reason: str
    rule: str | None = None
    drop: str | None = None


@dataclass(frozen=True)
class Expect:
    """What has to come out. `compare` says what the requests are compared with."""

    outcome: Json | None
    effects: tuple[Json, ...] | None
    session: Any
    compare: str
    normalise: tuple[ExtraRule, ...]
    count: int | None
    sent: tuple[Any, ...] | None
    authorization: tuple[str | None, ...] | None


@dataclass(frozen=True)
class Case:
    """One case."""

    id: str
    title: str
    level: str
    spec: tuple[str, ...]
    requires: frozenset[str]
    writers: Restriction | None
    readers: Restriction | None
    agents: str | None
    cassette: str | None
    split: int | tuple[int | None, ...] | None
    session: Json | None
    store: Store | None
    locations: tuple[str, ...]
    tracing: bool
    legs: tuple[Leg | Cross | Act, ...]
    expect: Expect
    negative: Negative | None
    source: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles, in order of appearance."""
        names = itertools.chain.from_iterable(
            (leg.source, leg.target) if isinstance(leg, Cross) else (leg.role,) for leg in self.legs
        )
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def crosses(self) -> bool:
        """Whether the run ever moves between ports."""
        return len(self.roles) > 1


@dataclass(frozen=True)
class Pairing:
    """Ports by role, for one run of a case, and the kind of place where it is stored, if any.

    `not_applicable` is why it does not run, if so.
    """

    ports: tuple[tuple[str, Port], ...]
    not_applicable: str | None = None
    location: str | None = None

    def __getitem__(self, role: str) -> Port:
        return dict(self.ports)[role]

    @property
    def label(self) -> str:
        """`python->typescript`, or `python->typescript@folder`; one name for one role."""
        names = "->".join(port.name for _, port in self.ports)
        return f"{names}@{self.location}" if self.location else names

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(port.language for _, port in self.ports)


def parse(data: Any, source: str) -> Case:
    """The case in the parsed YAML of the file `source`. Raises CaseError."""
    if wrong := schemas.problem("case", data):
        raise CaseError(f"{source}: {wrong}")
    cassette = data.get("cassette")
    name, split = (
        (cassette["name"], cassette.get("split"))
        if isinstance(cassette, Mapping)
        else (cassette, None)
    )
    case = Case(
        id=data["id"],
        title=data["title"],
        level=data["level"],
        spec=tuple(data["spec"]),
        requires=frozenset(data.get("requires", ())),
        writers=_restriction(data.get("writers")),
        readers=_restriction(data.get("readers")),
        agents=data.get("agents"),
        cassette=name,
        split=tuple(split) if isinstance(split, list) else split,
        session=data.get("session"),
        store=_store(data),
        locations=tuple(data.get("locations", _DEFAULT_LOCATIONS if "store" in data else ())),
        tracing=data.get("tracing", False),
        legs=tuple(_leg(each) for each in data["legs"]),
        expect=_expect(data["expect"]),
        negative=_negative(data.get("negative")),
        source=source,
    )
    if wrong := next(iter(_problems(case)), None):
        raise CaseError(f"{source}: {wrong}")
    return case


def pairings(case: Case, ports: Sequence[Port]) -> tuple[Pairing, ...]:
    """Every assignment of ports to the case's roles, in every place the case names."""
    roles = case.roles
    return tuple(
        Pairing(pairs, _why_not(case, pairs), location)
        for location in case.locations or (None,)
        for chosen in itertools.product(ports, repeat=len(roles))
        for pairs in [tuple(zip(roles, chosen, strict=True))]
    )


def lint(cases: Iterable[Case]) -> list[str]:
    """What is wrong with cases taken together, and with their titles."""
    found: list[str] = []
    for key in ("id", "title"):
        seen: dict[str, str] = {}
        for case in cases:
            value = getattr(case, key)
            if value in seen:
                found.append(f"{case.source}: {key} {value!r} is that of {seen[value]} too")
            seen.setdefault(value, case.source)
    found += [
        f"{case.source}: the title says {modal.group()!r}; say what happens"
        for case in cases
        if (modal := _MODAL.search(case.title))
    ]
    return found


def _leg(data: Json) -> Leg | Cross | Act:
    if data["do"] == "cross":
        expect = data.get("expect", {})
        return Cross(
            source=data["from"],
            target=data["to"],
            form=data.get("form", "portable"),
            context={"context": data["context"]} if "context" in data else {},
            agents=data.get("agents"),
            digest=data.get("digest"),
            patch=tuple(data.get("patch", ())),
            text=data.get("text"),
            document=expect.get("document"),
            load=expect.get("load"),
        )
    if data["do"] in _HARNESS:
        args = {key: value for key, value in data.items() if key not in ("do", "port")}
        return Act(data["do"], data.get("port"), args)
    return Leg(
        do=data["do"],
        role=data["port"],
        args={key: value for key, value in data.items() if key not in _OWN_KEYS},
        name=data.get("as"),
        fixture=data.get("fixture"),
        patch=tuple(data.get("patch", ())),
        expect=data.get("expect"),
        refused=data.get("refused"),
        dies=data.get("dies", False),
        within=data.get("within"),
    )


def _store(data: Json) -> Store | None:
    given = data.get("store")
    if given is None:
        return None
    keys = given.get("keys", {})
    roles = ("A", "B", "C", "D")
    by_role = keys if isinstance(keys, Mapping) else dict.fromkeys(roles, keys)
    named = {role: tuple(names) for role, names in by_role.items() if names}
    return Store(given.get("run_id", "run"), named, given.get("served", True), given.get("room"))


def _expect(data: Json) -> Expect:
    requests = data.get("requests", "equal-to-uncrossed")
    if not isinstance(requests, Mapping):
        requests = {"compare": requests}
    effects, sent, keys = (data.get(key) for key in ("effects", "sent", "authorization"))
    return Expect(
        outcome=data.get("outcome"),
        effects=None if effects is None else tuple(effects),
        session=data.get("session"),
        compare=requests["compare"],
        normalise=tuple(
            ExtraRule(each["reason"], each.get("rule"), each.get("drop"))
            for each in requests.get("normalise", ())
        ),
        count=data.get("count"),
        sent=None if sent is None else tuple(sent),
        authorization=None if keys is None else tuple(keys),
    )


def _restriction(data: Json | None) -> Restriction | None:
    return None if data is None else Restriction(tuple(data["only"]), data["reason"])


def _negative(data: Json | None) -> Negative | None:
    if data is None:
        return None
    foreign = data.get("when", "always") == "foreign"
    return Negative(data["phase"], data["code"], data.get("pointer"), data.get("err"), foreign)


def _why_not(case: Case, pairs: tuple[tuple[str, Port], ...]) -> str | None:
    first, *others = (port for _, port in pairs)
    if case.writers and first.language not in case.writers.only:
        return f"{first.name} does not write this: {case.writers.reason}"
    for port in others:
        if case.readers and port.language not in case.readers.only:
            return f"{port.name} does not read this: {case.readers.reason}"
    return None


def _problems(case: Case) -> Iterable[str]:
    """What the schema cannot see."""
    runs = [leg for leg in case.legs if not stands_alone(leg)]
    first = runs[0] if runs else case.legs[0]
    active = first.source if isinstance(first, Cross) else first.role
    named: set[str] = set()
    if case.store is None and (case.locations or (case.session or {}).get("stored")):
        yield "locations and a stored session need a store"
    for number, leg in enumerate(case.legs, 1):
        where = f"leg {number}"
        if isinstance(leg, Cross):
            if leg.form == "store" and case.store is None:
                yield f"{where}: form store needs a store"
            if leg.source != active and case.store is None:
                yield f"{where}: crosses from {leg.source}, but {active} has the run"
            if leg.target == leg.source:
                yield f"{where}: crosses from {leg.source} to itself"
            if leg.text is not None and leg.form != "file":
                yield f"{where}: text takes the place of a file, so the form is file"
            active = leg.target
            continue
        if isinstance(leg, Act):
            if case.store is None:
                yield f"{where}: {leg.do} needs a store"
            continue
        if case.store is None and (leg.do.startswith(_OF_STORES) or leg.refused or leg.dies):
            yield f"{where}: {leg.do} needs a store"
        if leg.role != active and case.store is None and not stands_alone(leg):
            yield f"{where}: is for {leg.role}, but {active} has the run; cross first"
        payload = leg.args.get("payload")
        if isinstance(payload, str) and payload.startswith("$") and payload[1:] not in named:
            yield f"{where}: no earlier leg is named {payload[1:]}"
        args = dict(leg.args)
        if leg.fixture is not None:
            args.setdefault("payload", {})
        if leg.do == "model.call" and args.get("base_url", ...) is None:
            del args["base_url"]
        if wrong := schemas.problem("driver", args, f"args.{leg.do}"):
            yield f"{where}: {leg.do}: {wrong}"
        if leg.name:
            named.add(leg.name)
        if not stands_alone(leg) and case.agents is None:
            yield f"{where}: {leg.do} needs agents"
    if case.agents is None and any(isinstance(leg, Cross) for leg in case.legs):
        yield "a crossing needs agents"
    if case.negative:
        last = case.legs[-1]
        does: tuple[str, ...] = (
            (last.do,)
            if not isinstance(last, Cross)
            else (
                ("store.save", "store.load")
                if last.form == "store"
                else ("state.save", "state.load")
            )
        )
        if case.negative.phase not in does:
            yield f"negative: the last leg does no {case.negative.phase}"
    elif not _asserts(case):
        yield "expects nothing"


def stands_alone(leg: Leg | Cross | Act) -> bool:
    """Whether a leg is about a document or a model only: it needs no agents."""
    return isinstance(leg, Leg) and leg.do in ("state.convert", "model.call", "model.route")


def _asserts(case: Case) -> bool:
    expect = case.expect
    compared = case.crosses and not all(map(stands_alone, case.legs))
    return (
        any((expect.outcome, expect.effects is not None, expect.session, expect.count))
        or expect.sent is not None
        or expect.authorization is not None
        or (compared and expect.compare != "not-compared")
        or any(
            (leg.document or leg.load or leg.digest)
            if isinstance(leg, Cross)
            else isinstance(leg, Leg) and (leg.expect or leg.refused)
            for leg in case.legs
        )
    )
