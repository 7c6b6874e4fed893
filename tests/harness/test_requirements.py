"""Requirement sets."""

from __future__ import annotations

import itertools
import subprocess
from typing import Any

import pytest
import yaml

from conformance.harness import case as cases
from conformance.harness.errors import CaseError
from conformance.harness.library import Library
from conformance.harness.requirements import parse
from conformance.harness.schemas import ROOT

from .workshop import CASE, case

REQUIREMENTS = ROOT / "conformance" / "requirements"
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


def test_the_requirement_sets_of_this_suite_only_grow() -> None:
    library = Library()
    folder = library.root / "conformance" / "requirements"
    sets = sorted(
        (parse(yaml.safe_load(path.read_text()), path.name) for path in folder.glob("*.yaml")),
        key=lambda each: tuple(map(int, each.version.split("."))),
    )
    assert sets
    for earlier, later in itertools.pairwise(sets):
        assert earlier.cases <= later.cases | set(later.not_scored), later.version
    ids = {case.id for case in library.cases}
    for each in sets:
        assert each.cases <= ids, f"{each.version} requires cases that are gone"


@pytest.mark.parametrize("name", sorted(path.stem for path in REQUIREMENTS.glob("*.yaml")))
def test_what_a_release_requires_is_not_taken_back(name: str) -> None:
    """Against the last commit, where there is one: ids are added to a list and never removed."""
    path = f"conformance/requirements/{name}.yaml"
    shown = subprocess.run(
        ("git", "show", f"HEAD:{path}"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if shown.returncode:
        pytest.skip("no earlier list to compare with")
    before = parse(yaml.safe_load(shown.stdout), path)
    now = parse(yaml.safe_load((ROOT / path).read_text()), path)
    assert before.cases <= now.cases, sorted(before.cases - now.cases)
