"""Runs that wait, stored in every kind of place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.harness import services

KINDS = ("file", "folder", "postgresql", "pglite")


@pytest.fixture(params=KINDS)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place of each kind that nothing is in. In a file the run is `run`."""
    yield from place(request.param, tmp_path)


@pytest.fixture(params=("folder", "postgresql"))
def many(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same of kinds that hold many runs."""
    yield from place(request.param, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A folder of runs that nothing is in."""
    return str(tmp_path / "runs")


def place(kind: str, parent: Path) -> Iterator[str]:
    """A location of a kind, in a folder where it has one."""
    if kind == "postgresql":
        with services.postgres() as url:
            yield url
    elif kind == "pglite":
        if shutil.which("node") is None:
            pytest.skip("PGLite needs Node")
        yield f"pglite:{parent / 'database'}"
    else:
        yield str(parent / ("run.json" if kind == "file" else "runs"))
