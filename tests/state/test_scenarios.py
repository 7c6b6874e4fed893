"""Snapshots openai-agents wrote in real runs; they lie beside the repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from timestep.state import canonical, digest, to_native, to_portable, validate

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TIMESTEP_EXTERNAL") or ROOT.parent / "shared") / "scenarios"
PATHS = sorted((FOLDER / "snapshots").glob("*.py.json"))
METADATA = ("/description", "/paramsJsonSchema", "/tool_origin", "/allow_bare_name_alias")

pytestmark = pytest.mark.skipif(not PATHS, reason="no scenarios beside the repository")


@pytest.fixture(params=PATHS, ids=lambda path: path.name.removesuffix(".py.json"))
def native(request: pytest.FixtureRequest) -> dict[str, Any]:
    snapshot: dict[str, Any] = json.loads(request.param.read_text())
    return snapshot


def _without(value: Any, pointers: tuple[str, ...]) -> Any:
    copy = json.loads(json.dumps(value))
    for pointer in pointers:
        *path, last = pointer.split("/")[1:]
        place = copy
        for step in path:
            place = place[int(step)] if isinstance(place, list) else place[step]
        del place[last]
    return copy


def test_a_snapshot_comes_back_byte_for_byte(native: dict[str, Any]) -> None:
    before = canonical(native)
    converted = to_portable(native)
    validate(converted.document)
    back = to_native(json.loads(json.dumps(converted.document))).document
    assert canonical(back) == canonical(_without(native, converted.lossy))
    assert canonical(native) == before


def test_the_core_alone_gives_the_same_core(native: dict[str, Any]) -> None:
    facts = to_portable(native).document
    if "cannot_cross" in facts:
        pytest.skip("bound to Python")
    del facts["residue"]
    assert digest(to_portable(to_native(facts).document).document) == digest(facts)


def test_little_is_left_to_the_residue(native: dict[str, Any]) -> None:
    facts = to_portable(native).document
    rest = [
        operation["path"]
        for operation in facts["residue"]["python"]["patch"]
        if not operation["path"].endswith((*METADATA, "/identity"))
    ]
    assert all(path.startswith("/context/hosted_mcp_approvals/") for path in rest)
