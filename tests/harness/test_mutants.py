"""Mutants as data; that the real ones still find their texts is for the session to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.harness.errors import CaseError
from conformance.harness.mutants import MUTANTS, Mutant, Verdict, parse
from conformance.harness.schemas import ROOT

ENTRY: dict[str, Any] = {
    "name": "forgets",
    "file": "codec.py",
    "old": "keep(x)",
    "new": "drop(x)",
    "breaks": "x is lost",
    "areas": ["items"],
}


def test_the_mutants_of_this_suite_are_well_formed() -> None:
    mutants = parse(yaml.safe_load(MUTANTS.read_text()))
    assert len(mutants) >= 20
    assert {mutant.typescript for mutant in mutants} == {True, False}
    folders = {path.name for path in (ROOT / "conformance" / "cases").iterdir()}
    for mutant in mutants:
        assert set(mutant.areas) <= folders, mutant.name
        assert mutant.old != mutant.new, mutant.name


@pytest.mark.parametrize(
    "damage",
    [{"name": None}, {"why": "?"}, {"areas": []}, {"file": None}],
    ids=["no name", "a key too many", "nothing to run", "no file"],
)
def test_a_wrong_entry_is_refused(damage: dict[str, Any]) -> None:
    entry = {key: value for key, value in {**ENTRY, **damage}.items() if value is not None}
    with pytest.raises(CaseError, match=r"mutants\.yaml: entry 1"):
        parse([entry])


def test_a_name_is_used_once() -> None:
    with pytest.raises(CaseError, match="listed twice"):
        parse([ENTRY, ENTRY])


@pytest.mark.parametrize(("text", "times"), [("", 0), ("keep(x)\nkeep(x)\n", 2)])
def test_a_text_that_is_not_there_once_is_stale(tmp_path: Path, text: str, times: int) -> None:
    (mutant,) = parse([ENTRY])
    (tmp_path / "codec.py").write_text(text)
    assert f"holds its text {times} times" in str(mutant.stale(tmp_path))
    (tmp_path / "codec.py").write_text("keep(x)\n")
    assert mutant.stale(tmp_path) is None


def test_only_a_red_case_kills() -> None:
    mutant = Mutant("forgets", "codec.py", "keep(x)", "drop(x)", "x is lost", areas=("items",))
    assert not Verdict(mutant, {}, 1.0).killed
    assert "SURVIVED" in Verdict(mutant, {}, 1.0).line()
    assert Verdict(mutant, {"ts-0001": ["python->typescript"]}, 1.0).killed
    broken = Verdict(mutant, {"ts-0001": []}, 1.0, "does not build")
    assert not broken.killed
    assert "BROKEN" in broken.line()
