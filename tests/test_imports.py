"""Importing the package is light, and every name it promises is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import timestep

HEAVY = ("agents", "openai", "pydantic", "jsonschema_rs", "asyncio", "ollama", "httpx")


def loaded_by(code: str) -> set[str]:
    """The heavy modules that `code` has loaded when it is done, in a fresh interpreter."""
    report = f"import sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    assert loaded_by("import timestep") == set()


def test_errors_and_state_load_no_sdk() -> None:
    code = """
import timestep
timestep.DocumentError, timestep.RunStateStore, timestep.run_agent
from timestep.state import canonical, digest, to_native, to_portable, validate
"""
    assert loaded_by(code) & {"agents", "openai"} == set()


def test_models_load_the_client_of_ollama_when_it_is_asked() -> None:
    assert loaded_by("import timestep.models") == set()
    made = "from timestep import MultiModelProvider; MultiModelProvider().get_model('ollama/m')"
    assert loaded_by(made) & {"ollama", "jsonschema_rs"} == set()


@pytest.mark.parametrize("name", timestep.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(timestep, name).__name__ == name
    assert name in dir(timestep)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = timestep.nothing
