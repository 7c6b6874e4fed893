"""A transcript sent to a driver again."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.harness import replay
from conformance.harness.case import pairings

from .workshop import CASE, build, case, suite


def recorded(root: Path) -> Path:
    """The transcript of a run of two cases over two honest ports."""
    build(root, CASE, case(id="ts-0002", title="the other one"))
    with suite(root) as made:
        for each in made.library.cases:
            for pairing in pairings(each, made.ports):
                assert made.run(each, pairing)[0].status == "pass"
    return root / "transcript.ndjson"


def test_an_honest_driver_answers_as_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    options = [str(path), "--port", "typescript", "--suite", str(tmp_path)]
    assert replay.main(options) == 0
    whole = capsys.readouterr().err
    assert replay.main([*options, "--case", "ts-0002"]) == 0
    part = capsys.readouterr().err
    assert int(part.split()[0]) * 2 == int(whole.split()[0])


def test_a_driver_that_answers_otherwise_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    build(tmp_path, lies={"typescript": "wrong-answer"})
    assert replay.main([str(path), "--port", "typescript", "--suite", str(tmp_path)]) == 1
    assert 'run.advance: /output: "I made this up.", expected "Paid."' in capsys.readouterr().out
