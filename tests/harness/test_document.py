"""The harness's own canonical form, digest and patches."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.document import canonical, digest, patched
from conformance.harness.errors import CaseError
from timestep import state

SAMPLES = sorted((Path(__file__).parents[1] / "vectors").glob("*.json"))
NUMBERS = [
    *(0.0, -0.0, 1.0, 100.0, -1.5, 0.1, 1e21, 1e20, 123e18, 1e-6, 1e-7, 1.5e300, 5e-324),
    *(1.7976931348623157e308, 1e16, 4.5e15, 0.00001234, 9007199254740993.0, 333333333.33333329),
]


def test_numbers_are_those_of_javascript() -> None:
    program = 'process.stdout.write(JSON.stringify(JSON.parse(require("fs").readFileSync(0))))'
    done = subprocess.run(
        ["node", "-e", program], input=json.dumps(NUMBERS), capture_output=True, text=True
    )
    assert canonical(NUMBERS) == done.stdout


def test_keys_are_sorted_by_utf_16_and_lone_surrogates_escaped() -> None:
    value = {"\U0001f600": 1, "\uffee": 2, "a": "\ud83d", "big": 2**70, "t": [True, None]}
    assert canonical(value) == (
        '{"a":"\\ud83d","big":1180591620717411303424,"t":[true,null],"\U0001f600":1,"\uffee":2}'
    )


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="no JSON"):
        canonical([float("nan")])


def test_the_python_port_agrees() -> None:
    document = {"b": NUMBERS, "a": {"é": "x\ny", "": []}, "n": 2**53 + 1, "s": "\ud800"}
    assert canonical(document) == state.canonical(document)
    with_writer: dict[str, Any] = {**document, "writer": {"port": "x"}, "residue": {}}
    assert digest(with_writer) == digest(document) == state.digest(with_writer)


@pytest.mark.parametrize("value", [1.0, 2, "\ud800", "\U0001f600", "\uffee", "é\n", None, True])
def test_the_short_cut_for_digests_makes_no_difference(value: Any) -> None:
    document = {"b": [value, {"x": 1, "\uffee": 2, "\U0001f600": 3}], "a": {"é": value}}
    plain = {"b": [value, {"x": 1}], "a": value}
    for each in (document, plain):
        assert digest(each) == hashlib.sha256(canonical(each).encode()).hexdigest()


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3], "b/c": {}}),
        ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2], "b/c": {}}),
        ([{"op": "remove", "path": "/b~1c"}], {"a": [1, 2]}),
        ([{"op": "replace", "path": "", "value": []}], []),
        ([{"op": "move", "from": "/a/0", "path": "/x"}], {"a": [2], "b/c": {}, "x": 1}),
        ([{"op": "copy", "from": "/a", "path": "/b~1c/d"}], {"a": [1, 2], "b/c": {"d": [1, 2]}}),
        ([{"op": "test", "path": "/a/1", "value": 2}], {"a": [1, 2], "b/c": {}}),
    ],
)
def test_patches(patch: list[dict[str, Any]], after: Any) -> None:
    before = {"a": [1, 2], "b/c": {}}
    assert patched(before, patch) == after
    assert before == {"a": [1, 2], "b/c": {}}


@pytest.mark.parametrize(
    "step",
    [
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "remove", "path": "/a/7"},
        {"op": "test", "path": "/a", "value": []},
    ],
)
def test_a_patch_that_does_not_fit_is_the_case_s_fault(step: dict[str, Any]) -> None:
    with pytest.raises(CaseError, match=step["path"]):
        patched({"a": [1]}, [step])
