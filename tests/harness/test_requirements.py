"""Requirement sets."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness import case as cases
from conformance.harness.errors import CaseError
from conformance.harness.requirements import parse

from .workshop import CASE, case

FIRST = cases.parse(CASE, "a.yaml")
SECOND = cases.parse(case(id="ts-0002", title="the other one"), "b.yaml")


def test_a_must_case_is_required_or_not_scored_with_a_reason() -> None:
    whole = {"version": "0.1.0", "cases": ["ts-0001", "ts-0002"]}
    assert parse(whole, "x").unlisted([FIRST, SECOND]) == []
    part = {**whole, "cases": ["ts-0001"]}
    assert parse(part, "x").unlisted([FIRST, SECOND]) == [
        "requirements 0.1.0: ts-0002 is a must and neither required nor not_scored"
    ]
    apart = {**part, "not_scored": [{"id": "ts-0002", "reason": "later"}]}
    assert parse(apart, "x").unlisted([FIRST, SECOND]) == []
    may = cases.parse(case(id="ts-0003", title="what may be", level="may"), "c.yaml")
    assert parse(whole, "x").unlisted([may]) == []


@pytest.mark.parametrize(
    "damage", [{"cases": []}, {"colour": 1}, {"not_scored": ["ts-0002"]}, {"not_scored": [{}]}]
)
def test_wrong_sets_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(CaseError, match=r"0\.1\.0\.yaml"):
        parse({"version": "0.1.0", "cases": ["ts-0001"], **damage}, "0.1.0.yaml")
