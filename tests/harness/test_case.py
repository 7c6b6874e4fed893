"""Cases as values: what is refused, and the runs a case expands to."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness.case import lint, pairings, parse
from conformance.harness.errors import CaseError
from conformance.harness.ports import Port

from .workshop import CASE, case

PORTS = (
    Port("python", "python", ()),
    Port("typescript", "typescript", ()),
    Port("elixir", "elixir", ()),
)
START = {"port": "A", "do": "run.start", "input": "x"}
CROSS = {"do": "cross", "from": "A", "to": "B"}


def labels(data: Any, count: int = 2) -> list[str]:
    return [each.label for each in pairings(parse(data, "x"), PORTS[:count])]


def test_roles_expand_over_all_ports() -> None:
    assert labels(CASE) == [
        "python->python",
        "python->typescript",
        "typescript->python",
        "typescript->typescript",
    ]
    assert len(labels(CASE, 3)) == 9
    assert labels(case(legs=[START])) == ["python", "typescript"]


def test_going_there_and_back_is_two_roles() -> None:
    back = {"do": "cross", "from": "B", "to": "A"}
    assert len(labels(case(legs=[START, CROSS, back]))) == 4
    third = {"do": "cross", "from": "B", "to": "C"}
    assert len(labels(case(legs=[START, CROSS, third]))) == 8


def test_restrictions_rule_ports_out_with_their_reason() -> None:
    only = {"only": ["python"], "reason": "the other SDK has no such tool"}
    wrote = pairings(parse(case(writers=only), "x"), PORTS[:2])
    assert [each.not_applicable is None for each in wrote] == [True, True, False, False]
    read = pairings(parse(case(readers=only), "x"), PORTS[:2])
    assert [each.not_applicable is None for each in read] == [True, False, True, False]
    assert read[1].not_applicable == (
        "typescript does not read this: the other SDK has no such tool"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"id": "ts-1"}, "/id"),
        ({"title": "An approved call runs once."}, "/title"),
        ({"colour": "red"}, "colour"),
        ({"expect": {}, "legs": [START]}, "expects nothing"),
        (
            {"expect": {"requests": "not-compared"}, "legs": [START, CROSS]},
            "expects nothing",
        ),
        ({"legs": [{**START, "speed": 3}]}, "leg 1: run.start: .*speed"),
        ({"legs": [START, {"port": "B", "do": "run.advance"}]}, "A has the run; cross first"),
        ({"legs": [START, {**CROSS, "from": "B", "to": "A"}]}, "crosses from B"),
        ({"legs": [START, {**CROSS, "to": "A"}]}, "to itself"),
        ({"legs": [START, {**CROSS, "text": "x"}]}, "the form is file"),
        ({"agents": None}, "needs agents"),
        (
            {"legs": [{"port": "A", "do": "state.load", "form": "portable", "payload": "$x"}]},
            "no earlier leg is named x",
        ),
        ({"negative": {"phase": "run.start", "code": "x"}}, "the last leg does no run.start"),
    ],
)
def test_wrong_cases_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CaseError, match=told):
        parse(case(**changes), "x.yaml")


def test_ids_and_titles_are_unique_and_plain() -> None:
    first = parse(CASE, "a.yaml")
    second = parse(case(title="a call should run once"), "b.yaml")
    third = parse(case(id="ts-0003"), "c.yaml")
    assert lint([first, second, third]) == [
        "b.yaml: id 'ts-0001' is that of a.yaml too",
        "c.yaml: title 'an approved call runs once in the other language' is that of a.yaml too",
        "b.yaml: the title says 'should'; say what happens",
    ]
