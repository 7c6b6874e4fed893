"""Say what is installed, and whether a location can be used and how safe it is.

Changes nothing: what is not there yet is not made. Loads no SDK.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from timestep.cli.text import as_json, say, visible
from timestep.errors import StoreError, TimestepError
from timestep.store.location import Location, default_location, open_backend, parse

_OPTIONAL: Final = ("cryptography", "psycopg")
_NAMES: Final = {
    "file": "a file",
    "folder": "a folder",
    "postgresql": "PostgreSQL",
    "pglite": "PGLite",
}
_MISSING: Final = ("3F000", "42P01")  # no such schema, no such table
_SYNCED: Final = "every save is synced to the disk: safe when the machine crashes or loses power"
_UNSYNCED: Final = (
    "PGLite does not sync to the disk: safe when a process dies, "
    "not when the machine crashes or loses power"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument(
        "--location", metavar="LOCATION", help="where runs are (default: TIMESTEP_LOCATION)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """1 where the location cannot be used."""
    report: dict[str, Any] = {
        "timestep": version("timestep"),
        "language": "python",
        "runtime": f"Python {platform.python_version()}",
        "sdk": {"name": "openai-agents", "version": _installed("openai-agents")},
        "packages": {name: _installed(name) for name in _OPTIONAL},
        "location": asyncio.run(_look(options.location or default_location())),
    }
    say(as_json(report) if options.json else map(visible, _text(report)))
    return 0 if report["location"]["error"] is None else 1


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


async def _look(given: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "location": re.sub(r"(://[^/?#]*?):[^/?#]*@", r"\1@", given.partition("?")[0]),
        "kind": None,
        "exists": None,
        "runs": None,
        "schema": None,
        "known_schema": None,
        "durability": None,
        "error": None,
    }
    try:
        location = parse(given)
        found["kind"] = location.kind
        if location.kind != "postgresql":
            found["exists"] = _place(location).exists()
        if location.kind in ("postgresql", "pglite"):
            await _look_into_database(location, found)
        else:
            found["durability"] = _SYNCED
            if found["exists"]:
                backend = await open_backend(given)
                try:
                    found["runs"] = len(await backend.runs())
                finally:
                    await backend.aclose()
    except TimestepError as error:
        found["error"] = {"code": error.code, "message": error.message, "hint": error.hint}
    except OSError as error:
        found["error"] = {
            "code": "database-unavailable",
            "message": f"{error.filename or given}: {error.strerror or error}",
            "hint": "Give a place this user can read and write.",
        }
    return found


def _place(location: Location) -> Path:
    return location.path / "data" if location.kind == "pglite" else location.path


async def _look_into_database(location: Location, found: dict[str, Any]) -> None:
    from timestep.store.connection import ConnectionLost, DatabaseRefused
    from timestep.store.migrations import migrations
    from timestep.store.pglite import PgliteConnection
    from timestep.store.postgres import PostgresConnection

    found["known_schema"] = migrations()[-1].version
    connection: PgliteConnection | PostgresConnection
    if location.kind == "pglite":
        found["durability"] = _UNSYNCED
        if not found["exists"]:
            return
        connection = PgliteConnection(location.path)
    else:
        connection = PostgresConnection(location.target)
    try:
        [[fsync, commit]] = await connection.fetch(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
        )
        found["exists"] = True
        if location.kind == "postgresql":
            found["durability"] = _of_settings(fsync, commit)
        try:
            rows = await connection.fetch("SELECT max(version) FROM timestep.migrations")
            found["schema"] = rows[0][0]
            rows = await connection.fetch("SELECT count(*)::integer FROM timestep.runs")
            found["runs"] = rows[0][0]
        except DatabaseRefused as refused:
            if refused.sqlstate not in _MISSING:
                raise
        if (found["schema"] or 0) > found["known_schema"]:
            raise StoreError(
                f"the database has version {found['schema']}, and this release of Timestep knows "
                f"{found['known_schema']}",
                code="newer-database",
            )
    except (ConnectionLost, DatabaseRefused) as error:
        raise StoreError(f"the database refused: {error}", code="database-unavailable") from error
    finally:
        await connection.aclose()


def _of_settings(fsync: str, commit: str) -> str:
    said = f"the server says fsync is {fsync} and synchronous_commit is {commit}"
    if fsync == "off":
        return f"{said}: not safe when its machine crashes or loses power"
    if commit == "off":
        return f"{said}: the newest saves may be lost when it crashes"
    return f"{said}: safe when its machine crashes or loses power"


def _text(report: dict[str, Any]) -> list[str]:
    at = report["location"]
    sdk = report["sdk"]
    packages = [f"{name} {each or 'not installed'}" for name, each in report["packages"].items()]
    rows = [
        ("timestep", report["timestep"]),
        ("runtime", report["runtime"]),
        ("sdk", f"{sdk['name']} {sdk['version'] or 'not installed'}"),
        ("packages", ", ".join(packages)),
        ("location", f"{at['location']}: {_NAMES.get(at['kind'], 'unknown')}"),
    ]
    if (error := at["error"]) is not None:
        rows += [("opens", f"no: error[{error['code']}]: {error['message']}")]
        rows += [("hint", error["hint"])]
    elif not at["exists"]:
        rows += [("opens", "not there yet: the first save makes it")]
    else:
        rows += [("opens", "yes" if at["runs"] is None else f"yes, runs: {at['runs']}")]
    if at["known_schema"] is not None and at["exists"]:
        none = "none yet: the first use makes it"
        rows += [("schema", none if at["schema"] is None else f"version {at['schema']}")]
    if at["durability"] is not None:
        rows += [("durability", at["durability"])]
    return [f"{name:<10}  {what}" for name, what in rows]
