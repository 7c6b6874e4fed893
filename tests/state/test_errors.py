import json
from pathlib import Path

import pytest

from timestep import errors

CODES = json.loads((Path(__file__).parents[2] / "schemas" / "errors.json").read_text())["errors"]


def test_classes_carry_the_codes_of_the_contract() -> None:
    classes = {
        cls.__name__: list(cls.codes)
        for parent in (errors.TimestepError, errors.ModelError)
        for cls in parent.__subclasses__()
    }
    assert classes == CODES


def test_every_code_has_a_hint() -> None:
    assert set(errors.HINTS) == {code for codes in CODES.values() for code in codes}


def test_a_class_refuses_codes_of_another() -> None:
    with pytest.raises(ValueError, match="has no code"):
        errors.DocumentError("no", code="interrupted")


def test_an_error_says_code_place_and_message() -> None:
    error = errors.DocumentError("is missing", code="malformed", pointer="/items/0")
    assert str(error) == "malformed at /items/0: is missing"
    assert error.hint == errors.HINTS["malformed"]
    assert error.phase == "document"


def test_an_interruption_carries_the_state() -> None:
    error = errors.InterruptionException(["call"], "state", "result")
    assert (error.interruptions, error.state, error.result) == (["call"], "state", "result")
    assert error.code == "interrupted"


def test_an_ollama_error_is_a_model_error_with_the_facts_of_the_answer() -> None:
    error = errors.OllamaError("gone", status=404, body={"error": "gone"})
    assert isinstance(error, errors.ModelError)
    assert (error.code, error.status, error.retryable) == ("ollama-refused", 404, False)
    assert error.body == {"error": "gone"}
    assert str(error) == "ollama-refused: gone"
