"""`timestep doctor` in both languages: what it says of every kind of location."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.store.pglite_server import empty_database, needs_node, shared
from tests.store.writer import Writer
from timestep.store.location import open_backend, parse

MAIN = Path(__file__).parents[2] / "typescript" / "dist" / "cli" / "main.js"
COMMANDS = {"python": (sys.executable, "-m", "timestep.cli"), "typescript": ("node", str(MAIN))}

pytestmark = [pytest.mark.anyio, needs_node]


@pytest.fixture(params=sorted(COMMANDS))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def doctor(language: str, location: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMANDS[language], "doctor", "--location", location, *more],
        capture_output=True,
        text=True,
        check=False,
    )


def report(language: str, location: str, code: int = 0) -> dict[str, Any]:
    done = doctor(language, location, "--json")
    assert (done.returncode, done.stderr) == (code, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_installed(language: str, tmp_path: Path) -> None:
    found = report(language, str(tmp_path))
    assert found["language"] == language
    assert found["timestep"]
    assert found["sdk"]["version"]
    assert all(found["packages"].values())
    lines = doctor(language, str(tmp_path)).stdout.splitlines()
    assert lines[0] == f"timestep    {found['timestep']}"
    assert lines[1] == f"runtime     {found['runtime']}"


DURABILITY = {
    "file": "every save is synced to the disk: safe when the machine crashes or loses power",
    "folder": "every save is synced to the disk: safe when the machine crashes or loses power",
    "postgresql": "the server says fsync is on and synchronous_commit is on: safe",
    "pglite": "PGLite does not sync to the disk: safe when a process dies, not when the machine "
    "crashes or loses power",
}


async def test_a_location_that_is_used(language: str, location: str) -> None:
    kind = parse(location).kind
    backend = await open_backend(location)
    await Writer(backend, location).save()
    found = report(language, location)["location"]
    await backend.aclose()
    assert found["kind"] == kind
    assert found["exists"] is True
    assert found["error"] is None
    assert found["runs"] == 1
    assert found["schema"] == (1 if kind in ("postgresql", "pglite") else None)
    assert found["durability"].startswith(DURABILITY[kind])


@pytest.mark.parametrize("name", ["{}/run.json", "{}/runs", "pglite:{}/database"])
def test_what_is_not_there_is_not_made(language: str, name: str, tmp_path: Path) -> None:
    location = name.format(tmp_path)
    assert report(language, location)["location"]["exists"] is False
    assert "not there yet" in doctor(language, location).stdout
    assert list(tmp_path.iterdir()) == []


def test_tables_that_are_not_there_are_not_made(language: str, postgres_url: str) -> None:
    found = report(language, postgres_url)["location"]
    assert (found["exists"], found["schema"], found["runs"]) == (True, None, None)
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT to_regnamespace('timestep')").fetchone()
    assert row == (None,)


def test_settings_of_a_server_that_may_lose_saves(language: str, postgres_url: str) -> None:
    name = urlsplit(postgres_url).path[1:]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    said = report(language, postgres_url)["location"]["durability"]
    assert "synchronous_commit is off: the newest saves may be lost" in said


def test_a_newer_database_is_named(language: str) -> None:
    with empty_database() as location, shared().connect() as connection:
        connection.execute("CREATE SCHEMA timestep")
        connection.execute("CREATE TABLE timestep.migrations AS SELECT 9 AS version")
        connection.execute("CREATE TABLE timestep.runs ()")
        error = report(language, location, 1)["location"]["error"]
    assert error["code"] == "newer-database"
    assert "version 9" in error["message"]


def test_a_server_that_is_not_there(language: str, postgres_url: str) -> None:
    at = urlsplit(postgres_url)
    closed = urlunsplit((at.scheme, "ada:secret@127.0.0.1:1", "/runs", "", ""))
    found = report(language, closed, 1)["location"]
    assert found["location"] == "postgresql://ada@127.0.0.1:1/runs"
    assert found["error"]["code"] == "database-unavailable"
    done = doctor(language, closed)
    assert "secret" not in done.stdout + done.stderr
    assert "opens       no: error[database-unavailable]" in done.stdout


def test_no_location(language: str) -> None:
    found = report(language, "mysql://host/runs", 1)["location"]
    assert found["error"]["code"] == "unknown-location"
    assert "pglite:<folder>" in found["error"]["hint"]
