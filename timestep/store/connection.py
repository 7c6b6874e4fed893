"""A connection to a database that speaks PostgreSQL, as the store needs it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class ConnectionLost(Exception):
    """The connection ended under a statement. Whether the statement was done is not known.

    `sqlstate` is what the server said about it, where it said something.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DatabaseRefused(Exception):
    """The database answered a statement with an error; nothing of the statement was done."""

    def __init__(self, message: str, sqlstate: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Statements(Protocol):
    """Whatever statements can be sent to. They raise `ConnectionLost` and `DatabaseRefused`."""

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement with `$1`, `$2`, ... for its parameters.

        Parameters and values are str, bytes, int, float, bool and None.
        """

    async def script(self, sql: str) -> None:
        """Runs any number of statements, without parameters."""


class Connection(Statements, Protocol):
    """Sends one statement after the other, each in a transaction of its own.

    Nothing relies on the state of a session: a lost connection is opened again for the next
    statement. Raises `StoreError` (`database-unavailable`) where it cannot be opened.
    """

    def transaction(self) -> AbstractAsyncContextManager[Statements]:
        """What is sent to the value is one transaction, undone if the block raises.

        Nothing is sent to the connection itself until the block ends.
        """

    async def aclose(self) -> None:
        """Ends the connection."""
