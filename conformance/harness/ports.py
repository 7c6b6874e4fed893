"""The ports under test, as conformance/ports.yaml lists them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from .errors import CaseError
from .schemas import ROOT

PORTS = ROOT / "conformance" / "ports.yaml"


@dataclass(frozen=True)
class Port:
    """A port: its name, its language and the command that starts its driver."""

    name: str
    language: str
    command: tuple[str, ...]


def load(path: Path = PORTS) -> tuple[Port, ...]:
    """The ports of a file. `{python}` in a command is the running interpreter. Raises CaseError."""
    data = yaml.safe_load(path.read_text())
    try:
        return tuple(
            Port(
                name,
                each["language"],
                tuple(part.replace("{python}", sys.executable) for part in each["command"]),
            )
            for name, each in data["ports"].items()
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CaseError(f"{path.name}: a port has a language and a command: {error!r}") from error
