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
_OWN_KEYS = frozenset({"do", "port", "as", "fixture", "patch", "expect"})
_MODAL = re.compile(
    r"\b(?:should|must|shall|can|could|may|might|will|would|needs? to|has to|have to)\b"
)


@dataclass(frozen=True)
class Leg:
    """One driver operation by the port of a role.

    `fixture` is a file, or a file for each language.
    """

    do: str
    role: str
    args: Json
    name: str | None = None
    fixture: str | Json | None = None
    patch: tuple[Json, ...] = ()
    expect: Json | None = None


@dataclass(frozen=True)
class Cross:
    """The run moves from one role's port to another's.

    `form` is `portable` or `file`, `digest` is `equal` or `kept`.
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
    tracing: bool
    legs: tuple[Leg | Cross, ...]
    expect: Expect
    negative: Negative | None
    source: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles, in order of appearance."""
        names = itertools.chain.from_iterable(
            (leg.role,) if isinstance(leg, Leg) else (leg.source, leg.target) for leg in self.legs
        )
        return tuple(dict.fromkeys(names))

    @property
    def crosses(self) -> bool:
        """Whether the run ever moves between ports."""
        return len(self.roles) > 1


@dataclass(frozen=True)
class Pairing:
    """Ports by role, for one run of a case. `not_applicable` is why it does not run, if so."""

    ports: tuple[tuple[str, Port], ...]
    not_applicable: str | None = None

    def __getitem__(self, role: str) -> Port:
        return dict(self.ports)[role]

    @property
    def label(self) -> str:
        """`python->typescript`; a single name where the case has one role."""
        return "->".join(port.name for _, port in self.ports)

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
    """Every assignment of ports to the case's roles."""
    roles = case.roles
    return tuple(
        Pairing(pairs, _why_not(case, pairs))
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


def _leg(data: Json) -> Leg | Cross:
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
    return Leg(
        do=data["do"],
        role=data["port"],
        args={key: value for key, value in data.items() if key not in _OWN_KEYS},
        name=data.get("as"),
        fixture=data.get("fixture"),
        patch=tuple(data.get("patch", ())),
        expect=data.get("expect"),
    )


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
    active = first.role if isinstance(first, Leg) else first.source
    named: set[str] = set()
    for number, leg in enumerate(case.legs, 1):
        where = f"leg {number}"
        if isinstance(leg, Cross):
            if leg.source != active:
                yield f"{where}: crosses from {leg.source}, but {active} has the run"
            if leg.target == leg.source:
                yield f"{where}: crosses from {leg.source} to itself"
            if leg.text is not None and leg.form != "file":
                yield f"{where}: text takes the place of a file, so the form is file"
            active = leg.target
            continue
        if leg.role != active and not stands_alone(leg):
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
        does = ("state.save", "state.load") if isinstance(last, Cross) else (last.do,)
        if case.negative.phase not in does:
            yield f"negative: the last leg does no {case.negative.phase}"
    elif not _asserts(case):
        yield "expects nothing"


def stands_alone(leg: Leg | Cross) -> bool:
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
            leg.expect if isinstance(leg, Leg) else (leg.document or leg.load or leg.digest)
            for leg in case.legs
        )
    )
