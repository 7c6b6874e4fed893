"""Cases with a store: places, a process for every role, refusals, faults and damage."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.harness import places, runner
from conformance.harness.case import pairings, parse
from conformance.harness.errors import CaseError, NotHere
from conformance.harness.places import Place
from conformance.harness.ports import Port

from .test_suite import run, statuses
from .workshop import case

START: dict[str, Any] = {
    "port": "A",
    "do": "run.start",
    "input": "Pay.",
    "expect": {"status": "interrupted"},
}
SAVE: dict[str, Any] = {"port": "A", "do": "store.save"}
LOAD: dict[str, Any] = {"port": "B", "do": "store.load"}
DECIDE: dict[str, Any] = {
    "port": "B",
    "do": "run.decide",
    "call_id": "call_1",
    "decision": "approve",
}
FINISH: list[dict[str, Any]] = [DECIDE, {"port": "B", "do": "run.advance"}]
STALE: dict[str, Any] = {"port": "A", "do": "store.save", "refused": {"code": "stale-state"}}
HANDED_ON = [START, SAVE, LOAD, *FINISH]


def stored(*legs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The usual case with its run in a store."""
    given: dict[str, Any] = {"store": {}, "locations": ["folder"], **changes}
    return case(legs=list(legs), **given)


def test_a_case_is_played_in_every_place() -> None:
    one = parse(stored(*HANDED_ON, locations=["folder", "pglite"]), "a.yaml")
    ports = [Port(name, name, ()) for name in ("python", "typescript")]
    labels = [each.label for each in pairings(one, ports)]
    assert labels[:2] == ["python->python@folder", "python->typescript@folder"]
    assert labels[-1] == "typescript->typescript@pglite"
    assert len(labels) == 8
    usual = parse({**stored(*HANDED_ON), "locations": None} | {"locations": ["file"]}, "a.yaml")
    assert usual.locations == ("file",)
    del (anywhere := stored(*HANDED_ON))["locations"]
    assert parse(anywhere, "a.yaml").locations == ("folder", "postgresql", "pglite")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"store": None}, "locations and a stored session need a store"),
        ({"store": None, "locations": None}, "leg 2: store.save needs a store"),
    ],
)
def test_what_needs_a_store_says_so(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(CaseError, match=problem):
        parse(stored(*HANDED_ON, **changed), "a.yaml")


def test_every_role_has_a_process_and_a_case_of_its_own(tmp_path: Path) -> None:
    again = {"port": "B", "do": "store.save", "expect": {"revision": 2}}
    results = run(tmp_path, stored(*HANDED_ON, again, STALE))
    assert set(statuses(results).values()) == {"pass"}
    assert len(results) == 4


def test_a_refusal_that_does_not_come_is_a_failure(tmp_path: Path) -> None:
    legs = [*HANDED_ON, {"port": "B", "do": "store.save"}, STALE]
    results = statuses(run(tmp_path, stored(*legs), lies={"typescript": "saves-over"}))
    assert results["python->typescript@folder"] == "pass"
    assert results["typescript->python@folder"] == "fail refused"


def test_a_process_that_dies_where_it_has_to_is_started_again(tmp_path: Path) -> None:
    lies = {"typescript": "dies-saving"}
    restriction = {"only": ["typescript"], "reason": "The other one is not made to die."}
    again = {**START, "expect": {"status": "completed"}}
    one = stored(
        START,
        {**SAVE, "dies": True},
        again,
        writers=restriction,
        expect={"count": 2},
    )
    found = statuses(run(tmp_path / "dies", one, lies=lies))
    assert found == {"python@folder": "n/a", "typescript@folder": "pass"}
    assert statuses(run(tmp_path / "lives", one))["typescript@folder"] == "fail refused"
    lost = {**one, "legs": [START, SAVE, again]}
    assert statuses(run(tmp_path / "lost", lost, lies=lies))["typescript@folder"] == "crashed crash"


def test_a_process_that_is_killed_leaves_what_it_stored(tmp_path: Path) -> None:
    kill = {"do": "kill", "port": "A"}
    finish = [{**each, "port": "A"} for each in FINISH]
    results = run(tmp_path, stored(START, SAVE, kill, {**LOAD, "port": "A"}, *finish))
    assert set(statuses(results).values()) == {"pass"}


def test_a_place_that_a_port_does_not_know_is_unsupported(tmp_path: Path) -> None:
    results = run(tmp_path, stored(*HANDED_ON, locations=["file"]))
    assert set(statuses(results).values()) == {"unsupported unsupported"}


def test_a_case_without_the_disk_it_needs_is_not_run_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def no_disk(folder: Path, size: int) -> Iterator[None]:
        raise NotHere("no disk can be mounted: not allowed")
        yield

    monkeypatch.setattr(runner, "disk", no_disk)
    results = run(tmp_path, stored(*HANDED_ON, store={"room": 65536}))
    assert {each.status for each in results} == {"n/a"}
    assert results[0].message == "not run: no disk can be mounted: not allowed"


def test_damage_is_done_to_one_revision_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "runs" / "run" / "1.log"
    log.parent.mkdir(parents=True)
    place = Place("folder", str(tmp_path))
    data = b"#0123456789"
    first, second = (json.dumps({"revision": number}).encode() for number in (1, 2))
    whole = b"\n" + b"".join(each + b"\n" for each in (data, first, data, second))

    def damaged(what: str, revision: int | None = None) -> bytes:
        log.write_bytes(whole)
        asyncio.run(place.damage(what, "run", revision))
        return log.read_bytes()

    flipped = damaged("flip", 2)
    assert len(flipped) == len(whole)
    assert flipped.count(data) == 1
    assert flipped.index(data) < flipped.index(first)
    gone = damaged("remove", 1)
    assert gone.startswith(b"\n" + first + b"\n#")
    assert damaged("tear").startswith(whole)
    assert not damaged("tear").endswith(b"\n")
    with pytest.raises(CaseError, match="no revision 3"):
        damaged("flip", 3)


def test_a_key_is_made_of_its_name() -> None:
    told = Place("folder", "kept").store(["one", "two"])
    assert [each["id"] for each in told["keys"]] == ["one", "two"]
    assert len({each["key"] for each in told["keys"]}) == 2
    assert {len(base64.b64decode(each["key"])) for each in told["keys"]} == {32}
    assert Place("folder", "kept").store([]) == {"location": "kept"}


def test_a_disk_has_an_end(tmp_path: Path) -> None:
    try:
        with places.disk(tmp_path / "small", 65536):
            place = Place("folder", str(tmp_path / "small" / "kept"))
            asyncio.run(place.damage("fill", "run", None))
            with pytest.raises(OSError, match="No space left"):
                (tmp_path / "small" / "more").write_bytes(bytes(4096))
            asyncio.run(place.damage("free", "run", None))
            (tmp_path / "small" / "more").write_bytes(bytes(4096))
    except NotHere as error:
        pytest.skip(str(error))
