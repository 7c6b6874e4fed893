"""Runs and sessions on a PostgreSQL server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from timestep.errors import StoreError
from timestep.store.base import Backend
from timestep.store.connection import ConnectionLost, DatabaseRefused, Statements
from timestep.store.sql import open_sql

if TYPE_CHECKING:
    import psycopg

_SECONDS_TO_CONNECT: Final = 10


async def open_postgres(url: str) -> Backend:
    """The database of a `postgresql://` URL, its tables made or brought up to date.

    Raises `StoreError` (`missing-dependency`, `unknown-location`, `database-unavailable`,
    `newer-database`). A password never appears in an error.
    """
    return await open_sql(PostgresConnection(url))


class PostgresConnection:
    """One connection to a server, by psycopg: statements wait for each other.

    It keeps to what PGLite can do as well: no prepared statements, no COPY, no LISTEN, no second
    connection. `url` may be any connection string that libpq knows.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        async with self._lock:
            connection = await self._connected()
            return await _Statements(connection).fetch(sql, parameters)

    async def script(self, sql: str) -> None:
        async with self._lock:
            connection = await self._connected()
            await _Statements(connection).script(sql)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        async with self._lock:
            connection = await self._connected()
            psycopg = _psycopg()
            try:
                async with connection.transaction():
                    yield _Statements(connection)
            except psycopg.Error as error:  # of the commit
                raise _failed(connection, error) from None

    async def aclose(self) -> None:
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        """The connection, opened where there is none or the last one has ended meanwhile."""
        if self._connection is not None and not _ended(self._connection):
            return self._connection
        psycopg = _psycopg()
        options = _options(self._url)
        options.setdefault("connect_timeout", _SECONDS_TO_CONNECT)
        try:
            self._connection = await psycopg.AsyncConnection.connect(
                **options,
                autocommit=True,
                prepare_threshold=None,
                cursor_factory=psycopg.AsyncRawCursor,
            )
        except psycopg.Error as error:
            raise _unavailable(options, error) from None
        return self._connection


class _Statements:
    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._execute(sql, parameters, binary=True)

    async def script(self, sql: str) -> None:
        await self._execute(sql, None, binary=False)

    async def _execute(
        self, sql: str, parameters: Sequence[Any] | None, *, binary: bool
    ) -> list[tuple[Any, ...]]:
        psycopg = _psycopg()
        try:
            cursor = await self._connection.execute(sql, parameters, binary=binary)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _failed(self._connection, error) from None


def _failed(
    connection: psycopg.AsyncConnection[Any], error: psycopg.Error
) -> ConnectionLost | DatabaseRefused:
    if connection.closed:
        return ConnectionLost(_line(error), error.sqlstate)
    return DatabaseRefused(_line(error), error.sqlstate)


def _ended(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether it was closed; looks whether the server has said so since the last statement."""
    try:
        connection.pgconn.consume_input()  # its last words
        connection.pgconn.consume_input()  # the end
    except _psycopg().Error:
        return True
    return connection.closed


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise StoreError(
            "a PostgreSQL database needs the package psycopg, which is not installed",
            code="missing-dependency",
            hint="Run: pip install 'timestep[postgres]'",
        ) from None
    return psycopg


def _options(url: str) -> dict[str, Any]:
    """What the URL says. Raises `StoreError` (`unknown-location`), which does not quote it."""
    psycopg = _psycopg()
    try:
        options: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
        [int(port) for port in str(options.get("port", "")).split(",") if port]
    except (psycopg.ProgrammingError, ValueError):
        raise StoreError(
            "the location is no URL that PostgreSQL understands",
            code="unknown-location",
            hint="Give postgresql://user:password@host:5432/database; write characters other "
            "than A-Z a-z 0-9 in the password as %XX.",
        ) from None
    return options


def _unavailable(options: dict[str, Any], error: psycopg.Error) -> StoreError:
    message = _line(error)
    if password := options.get("password"):
        message = message.replace(str(password), "***")
    database = options.get("dbname") or options.get("user") or "postgres"
    return StoreError(
        f"cannot open the database {database}: {message}", code="database-unavailable"
    )


def _line(error: psycopg.Error) -> str:
    """What the server or libpq said first; the lines after it repeat it."""
    return str(error).strip().partition("\n")[0]
