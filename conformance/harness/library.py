"""The data files of the suite, read once: cases, agents, cassettes, fixtures, lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from . import cassette as cassettes
from . import schemas
from .case import Case, parse
from .cassette import Cassette
from .errors import CaseError, CassetteError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Library:
    """The files under `root`, which is laid out as the repository is."""

    def __init__(self, root: Path = schemas.ROOT) -> None:
        self.root = root
        self._cases: dict[Path, Case] = {}
        self._agents: dict[str, dict[str, Any]] = {}
        self._cassettes: dict[str, Cassette] = {}

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Every case, by file. Raises CaseError."""
        return tuple(self.case(path) for path in self.case_files())

    def case_files(self) -> Iterator[Path]:
        yield from sorted((self.root / "conformance" / "cases").rglob("*.yaml"))

    def case(self, path: Path) -> Case:
        """The case of one file. Raises CaseError."""
        if path not in self._cases:
            where = path.relative_to(self.root) if path.is_relative_to(self.root) else path
            self._cases[path] = parse(_yaml(path), str(where))
        return self._cases[path]

    def agents(self, name: str) -> dict[str, Any]:
        """A file of the agents catalogue, as it is. Raises CaseError."""
        if name not in self._agents:
            data = _yaml(self.root / "conformance" / "agents" / f"{name}.yaml")
            if (self.root / "schemas" / "agents.schema.json").exists() and (
                wrong := schemas.problem("agents", data)
            ):
                raise CaseError(f"agents {name}: {wrong}")
            self._agents[name] = data
        return self._agents[name]

    def cassette(self, name: str) -> Cassette:
        """A cassette, linted. Raises CassetteError."""
        if name not in self._cassettes:
            path = self.root / "cassettes" / f"{name}.yaml"
            try:
                text = path.read_text()
            except OSError as error:
                raise CassetteError(f"cassette {name}: {error.strerror}") from error
            data = yaml.load(text, _Loader)
            found = cassettes.parse(name, data)
            if problems := cassettes.lint(name, text, data):
                raise CassetteError("; ".join(problems))
            self._cassettes[name] = found
        return self._cassettes[name]

    def fixture(self, name: str) -> Any:
        """The JSON value of a file of conformance/fixtures. Raises CaseError."""
        path = self.root / "conformance" / "fixtures" / name
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CaseError(f"fixture {name}: {error}") from error

    def requirements(self) -> tuple[Any, str] | None:
        """The newest file of conformance/requirements and its name, None where there is none."""
        folder = self.root / "conformance" / "requirements"
        paths = sorted(folder.glob("*.yaml"), key=lambda path: _version(path.stem))
        return (_yaml(paths[-1]), paths[-1].name) if paths else None

    def known_failing(self) -> Iterator[tuple[str, Path]]:
        """The known-failing lists: the port's name and the file."""
        for path in sorted((self.root / "conformance" / "known-failing").glob("*.yaml")):
            yield path.stem, path


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), _Loader)
    except OSError as error:
        raise CaseError(f"{path.name}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CaseError(f"{path.name}: {error}") from error


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
