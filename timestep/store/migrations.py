"""The tables of a database, made or brought up to date by numbered files of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from timestep.errors import StoreError
from timestep.state.document import schema_path
from timestep.store.connection import Connection, DatabaseRefused, Statements

# The key of the lock that ports of all languages take before they change tables: "timestep".
_LOCK: Final = 0x74696D6573746570

_MISSING: Final = ("3F000", "42P01")  # no such schema, no such table


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `schemas/sql`: `0001_store.sql` is version 1, named `store`."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """The migrations this release knows, in order."""
    return read_migrations(schema_path("sql"))


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """The migrations of a folder, in order. Raises `OSError`."""
    found = []
    for file in sorted(folder.glob("[0-9]*_*.sql")):
        version, _, name = file.stem.partition("_")
        found.append(Migration(int(version), name, file.read_text("utf-8")))
    return tuple(found)


async def migrate(connection: Connection, known: Sequence[Migration] | None = None) -> None:
    """Brings the database up to the last of the `known` migrations, or to this release's own.

    One query where there is nothing to do. Else one process at a time does it, in any language,
    each migration in a transaction of its own. Raises `StoreError` (`newer-database`), which names
    the newest migration, and `DatabaseRefused`.
    """
    known = migrations() if known is None else known
    try:
        done = await _newest(connection, known)
    except DatabaseRefused as refused:
        if refused.sqlstate not in _MISSING:
            raise
        done = 0
    for migration in known:
        if migration.version > done:
            await _apply(connection, migration, known)


async def _newest(statements: Statements, known: Sequence[Migration]) -> int:
    rows = await statements.fetch(
        "SELECT version, name FROM timestep.migrations ORDER BY version DESC LIMIT 1"
    )
    version, name = rows[0] if rows else (0, "")
    if version > known[-1].version:
        raise StoreError(
            f"the newest migration of the database is {version:04}_{name}, and this release of "
            f"Timestep knows {known[-1].version:04}_{known[-1].name}",
            code="newer-database",
        )
    return int(version)


async def _apply(connection: Connection, migration: Migration, known: Sequence[Migration]) -> None:
    async with connection.transaction() as inside:
        await inside.fetch("SELECT pg_advisory_xact_lock($1::bigint)::text", [_LOCK])
        rows = await inside.fetch("SELECT to_regclass('timestep.migrations') IS NOT NULL")
        if rows[0][0] and await _newest(inside, known) >= migration.version:
            return  # somebody else was first
        await inside.script(migration.sql)
        await inside.fetch(
            "INSERT INTO timestep.migrations (version, name, applied_by) "
            "VALUES ($1::integer, $2::text, 'python')",
            [migration.version, migration.name],
        )
