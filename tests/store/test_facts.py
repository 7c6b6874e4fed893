"""The facts of a save, by the vectors that both ports share."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from timestep.state import validate
from timestep.store.facts import facts

VECTORS = Path(__file__).parents[1] / "vectors" / "facts"
CASES = [
    pytest.param(case, id=case["name"])
    for path in sorted(VECTORS.glob("*.json"))
    for case in json.loads(path.read_text("utf-8"))
]


@pytest.mark.parametrize("case", CASES)
def test_a_document_says_its_facts(case: dict[str, Any]) -> None:
    document, before = case["document"], case["before"]
    validate(document)
    said = asdict(facts(document, before, case["models"]))
    for call in said["pending"]:
        assert call["digest"] == hashlib.sha256(call["arguments"]).hexdigest()
        call["arguments"] = call["arguments"].decode()
    assert said == case["facts"]
