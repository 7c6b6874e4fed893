import json
from pathlib import Path
from typing import Any

import pytest

from tests.state.build import call, decision, document, message
from timestep.errors import DocumentError
from timestep.state import digest, validate
from timestep.state.document import sorted_set

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "digest.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_digest_vectors(vector: dict[str, Any]) -> None:
    assert digest(vector["document"]) == vector["digest"]


def test_the_digest_is_of_the_core() -> None:
    plain = document()
    residue = {"python": {"patch": [{"op": "remove", "path": "/trace"}]}}
    same = {**plain, "writer": {**plain["writer"], "port_version": "9"}, "residue": residue}
    assert digest(same) == digest(plain)
    assert digest({**plain, "current_turn": 2}) != digest(plain)


def test_a_good_document_is_valid() -> None:
    validate(document(decisions=[decision()]))


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"format": "other"}, "not-a-run-state", "/format"),
        ({"version": "2"}, "newer-version", "/version"),
        ({"version": 1}, "malformed", "/version"),
        ({"status": "paused"}, "malformed", "/status"),
        ({"surprise": 1}, "malformed", ""),
        ({"response": {"start": 0, "count": 9, "tools_used": []}}, "malformed", "/response"),
        ({"items": [{"type": "tool_call_item", "agent": "a"}]}, "malformed", "/items/0"),
        ({"context": []}, "malformed", "/context"),
    ],
)
def test_a_bad_document_is_named(change: Any, code: str, pointer: str | None) -> None:
    with pytest.raises(DocumentError) as caught:
        validate(document(**change))
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


def test_a_raw_snapshot_is_named_for_what_it_is() -> None:
    with pytest.raises(DocumentError, match=r"raw @openai/agents snapshot \(schema 1.22\)"):
        validate({"currentTurn": 1, "$schemaVersion": "1.22"})
    with pytest.raises(DocumentError, match=r"raw openai-agents snapshot \(schema 1.21\)"):
        validate({"current_turn": 1, "$schemaVersion": "1.21"})


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_what_is_no_object_is_malformed(value: Any) -> None:
    with pytest.raises(DocumentError) as caught:
        validate(value)
    assert caught.value.code == "malformed"


def test_a_missing_field_is_malformed() -> None:
    incomplete = document()
    del incomplete["max_turns"]
    with pytest.raises(DocumentError, match="max_turns"):
        validate(incomplete)


def test_lone_surrogates_and_big_integers_are_valid() -> None:
    validate(document(call(arguments="\ud800"), context={"big": 2**70}, context_type="mapping"))


def test_no_number_is_malformed() -> None:
    broken = document(context={"n": float("nan")}, context_type="mapping")
    with pytest.raises(DocumentError) as caught:
        validate(broken)
    assert caught.value.code == "malformed"


def test_a_set_is_sorted_by_canonical_json_and_has_no_doubles() -> None:
    first, second = decision("a"), decision("b")
    assert sorted_set([second, first, dict(second)]) == [first, second]


def test_an_assistant_message_needs_content() -> None:
    wrong = message()
    del wrong["content"]
    with pytest.raises(DocumentError):
        validate(document(input=[wrong]))
