"""Every kind of place runs are kept in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.harness import services
from tests.store.pglite_server import empty_database

KINDS = ("file", "folder", "postgresql", "pglite")


@pytest.fixture(params=KINDS)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place of each kind that nothing is in. In a file the run is `run`."""
    yield from place(request.param, tmp_path)


@pytest.fixture(params=KINDS[1:])
def many(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same of the kinds that keep many runs with their history."""
    yield from place(request.param, tmp_path)


def place(kind: str, folder: Path) -> Iterator[str]:
    """A location of a kind, in a folder where it has one."""
    if kind == "postgresql":
        with services.postgres() as url:
            yield url
    elif kind == "pglite":
        with empty_database() as location:
            yield location
    else:
        yield str(folder / ("run.json" if kind == "file" else "runs"))
