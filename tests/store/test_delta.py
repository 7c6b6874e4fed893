"""Deltas between documents, as both ports write and read them."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.state.test_patch import changed, random_json
from timestep.errors import DocumentError
from timestep.store.delta import LONG, apply, delta
from timestep.store.text import dumps

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "delta.json").read_text())
EVERY = [*VECTORS["deltas"], *VECTORS["unsafe"]]


def same(left: Any, right: Any) -> bool:
    """Equal to the order of keys, those of the document itself excepted."""
    return left.keys() == right.keys() and all(
        json.dumps(left[key]) == json.dumps(right[key]) for key in left
    )


@pytest.mark.parametrize("vector", EVERY, ids=lambda vector: str(vector["name"]))
def test_the_delta_is_what_the_vectors_say(vector: dict[str, Any]) -> None:
    old = copy.deepcopy(vector["old"])
    assert delta(old, vector["new"]) == vector["delta"]
    assert same(apply(old, vector["delta"]), vector["new"])
    assert same(old, vector["old"])
    assert same(apply(old, vector["delta"], owned=True), vector["new"])


@pytest.mark.parametrize("vector", VECTORS["damaged"], ids=lambda vector: str(vector["delta"]))
def test_a_delta_that_is_none_or_does_not_fit_is_malformed(vector: dict[str, Any]) -> None:
    with pytest.raises(DocumentError) as caught:
        apply(vector["old"], vector["delta"])
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("seed", range(300))
def test_a_delta_leads_from_one_document_to_the_other(seed: int) -> None:
    rng = random.Random(seed)
    old: dict[str, Any] = {"list": [random_json(rng) for _ in range(6)], "other": random_json(rng)}
    new = old
    for _ in range(rng.randrange(5)):
        new = changed(rng, new)
    if not isinstance(new, dict):
        return
    for text in ("x" * LONG, "y" * LONG):
        if rng.random() < 0.5:
            old = {**old, text[0]: {"a": text}}
        if rng.random() < 0.7:
            new = {**new, "z": [{"a": text}, {"b": [{"": text}]}], text[0]: {"a": text}}
    written = json.loads(dumps(delta(old, new)))
    assert same(apply(old, written), new)


def test_a_long_text_is_written_once() -> None:
    text = "".join(random.Random(0).choices("abcdefgh", k=100_000))
    item = {"type": "function_call", "call_id": "1", "arguments": text}
    old: dict[str, Any] = {"items": [], "responses": [], "interruptions": []}
    new = {"items": [{"item": item}], "responses": [{"output": [item]}], "interruptions": [item]}
    operations = delta(old, new)
    assert len(dumps(operations)) < 101_000
    assert same(apply(old, operations), new)
    assert item["arguments"] == text
