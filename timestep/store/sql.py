"""Runs and sessions in a database that speaks PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from timestep.errors import ApprovalError, StoreError
from timestep.store import rows
from timestep.store.base import (
    Claimed,
    Decision,
    Facts,
    Piece,
    Revision,
    RunSummary,
    StoredApproval,
    StoredRun,
)
from timestep.store.connection import Connection, ConnectionLost, DatabaseRefused
from timestep.store.migrations import migrate

# What the server takes back because of others who write at the same time, and how often it may.
_CONFLICTS: Final = ("40001", "40P01")
_TRIES: Final = 5


async def open_sql(connection: Connection) -> SqlBackend:
    """The backend over a connection, its tables made or brought up to date.

    Closes the connection where that fails. Raises `StoreError` (`newer-database`,
    `database-unavailable`).
    """
    try:
        await migrate(connection)
    except (ConnectionLost, DatabaseRefused) as error:
        await connection.aclose()
        raise _unavailable(error) from None
    except BaseException:
        await connection.aclose()
        raise
    return SqlBackend(connection)


class SqlBackend:
    """A `Backend` over the functions of `schemas/sql`, one statement for each method.

    A statement whose connection was lost is sent once more where that is safe: where it only
    reads, where doing it twice comes to the same, and for a save, which tells by what is stored
    whether the first try went through. Elsewhere it is `database-unavailable`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def save(
        self, run_id: str, piece: Piece, facts: Facts, *, owner: str | None = None
    ) -> None:
        arguments = (
            run_id,
            piece.revision,
            owner,
            piece.base,
            piece.checksum,
            *_content(piece),
            rows.facts_json(facts),
        )
        try:
            answer = (await self._send(_json("save_revision", arguments), arguments))[0][0]
        except ConnectionLost:
            answer = await self._answer("save_revision", *arguments)
            if json.loads(answer)["outcome"] == "stale" and await self._holds(run_id, piece):
                return  # the first try went through
        outcome = json.loads(answer)
        if outcome["outcome"] == "missing":
            raise StoreError(f"run {run_id!r} was cleared", code="stale-state")
        _refuse(run_id, outcome)

    async def _holds(self, run_id: str, piece: Piece) -> bool:
        stored: str | None = await self._answer("checksum", run_id, piece.revision)
        return stored == piece.checksum.hex()

    async def read(self, run_id: str, revision: int | None = None) -> StoredRun:
        found = await self._fetch(_table("read_run", 2), (run_id, revision))
        if not found:
            raise _not_found(run_id)
        newest, oldest, decisions = found[0][:3]
        if revision is not None and not (oldest or 1) <= revision <= newest:
            raise _no_revision(run_id, revision)
        return StoredRun(
            revision=newest if revision is None else revision,
            newest=newest,
            pieces=[
                Piece(number, base, checksum, data or b"", document)
                for _, _, _, number, base, checksum, document, data in found[1:]
            ],
            decisions=[rows.approval(row) for row in json.loads(decisions or "[]")],
        )

    async def clear(self, run_id: str) -> None:
        await self._answer("clear_run", run_id, repeat=False)

    async def runs(self) -> list[RunSummary]:
        return [rows.summary(row) for row in await self._list("list_runs")]

    async def history(self, run_id: str) -> list[Revision]:
        found = await self._list("list_revisions", run_id)
        if not found:
            raise _not_found(run_id)
        return [rows.revision(row) for row in found]

    async def prune(self, run_id: str, oldest: Piece) -> int:
        answer = json.loads(
            await self._answer(
                "prune_run", run_id, oldest.revision, oldest.checksum, *_content(oldest)
            )
        )
        _refuse(run_id, answer)
        return int(answer["removed"])

    async def claim(
        self, run_id: str, owner: str, seconds: float, *, seen: int | None = None
    ) -> Claimed:
        answer = json.loads(await self._answer("claim_run", run_id, owner, float(seconds), seen))
        _refuse(run_id, answer)
        return Claimed(owner, datetime.fromisoformat(answer["until"]))

    async def release(self, run_id: str, owner: str) -> None:
        if await self._answer("release_run", run_id, owner) == "false":
            raise _not_found(run_id)

    async def approvals(
        self, run_id: str | None = None, *, resolved: bool = False
    ) -> list[StoredApproval]:
        found = await self._list("list_approvals", run_id, resolved)
        if found == [None]:
            raise _not_found(str(run_id))
        return [rows.approval(row) for row in found]

    async def decide(
        self,
        run_id: str,
        call_id: str,
        decision: Decision,
        *,
        digest: str | None,
        always: bool,
        message: bytes | None,
        by: str,
        expires: datetime | None,
    ) -> None:
        until = None if expires is None else expires.astimezone().isoformat()
        arguments = (run_id, call_id, digest, decision, always, message, by, until)
        answer = json.loads(await self._answer("decide", *arguments, repeat=False))
        call = f"call {call_id!r} of run {run_id!r}"
        match answer["outcome"]:
            case "no call":
                raise ApprovalError(f"{call} does not wait", code="approval-not-found")
            case "mismatch":
                raise ApprovalError(
                    f"the arguments of {call} have the digest {answer['digest']}, not {digest}",
                    code="approval-mismatch",
                )
            case "already":
                raise ApprovalError(
                    f"{call} was decided by {answer['by']}: {answer['decision']}",
                    code="already-decided",
                    decided_by=answer["by"],
                    decided_at=datetime.fromisoformat(answer["at"]),
                )
        _refuse(run_id, answer)

    async def add_items(self, session_id: str, items: Sequence[str | bytes]) -> None:
        if items:
            await self._answer("append_items", session_id, rows.items_json(items), repeat=False)

    async def read_items(self, session_id: str, limit: int | None = None) -> list[str | bytes]:
        found = await self._fetch(_table("read_items", 2), (session_id, limit))
        return [_item(*row) for row in reversed(found)]

    async def pop_item(self, session_id: str) -> str | bytes | None:
        found = await self._fetch(_table("pop_item", 1), (session_id,), repeat=False)
        return _item(*found[0]) if found else None

    async def clear_items(self, session_id: str) -> None:
        await self._answer("clear_items", session_id, repeat=False)

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _list(self, function: str, *arguments: Any) -> list[Any]:
        """What each row of a function says."""
        found = await self._fetch(_json(function, arguments), arguments)
        return [None if row[0] is None else json.loads(row[0]) for row in found]

    async def _answer(self, function: str, *arguments: Any, repeat: bool = True) -> Any:
        """What a function with one row answers, as text."""
        return (await self._fetch(_json(function, arguments), arguments, repeat=repeat))[0][0]

    async def _fetch(
        self, sql: str, arguments: Sequence[Any], *, repeat: bool = True
    ) -> list[tuple[Any, ...]]:
        try:
            return await self._send(sql, arguments)
        except ConnectionLost as lost:
            if not repeat:
                raise _unavailable(lost) from None
        try:
            return await self._send(sql, arguments)
        except ConnectionLost as lost:
            raise _unavailable(lost) from None

    async def _send(self, sql: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement, sent again where others were in its way."""
        texts = [rows.plain(each) if isinstance(each, str) else each for each in arguments]
        for left in reversed(range(_TRIES)):
            try:
                return await self._connection.fetch(sql, texts)
            except DatabaseRefused as refused:
                if not left or refused.sqlstate not in _CONFLICTS:
                    raise _unavailable(refused) from None
        raise AssertionError


def _json(function: str, arguments: Sequence[Any]) -> str:
    return f"SELECT timestep.{function}({_numbers(len(arguments))})::text"


def _table(function: str, count: int) -> str:
    return f"SELECT * FROM timestep.{function}({_numbers(count)})"


def _numbers(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))


def _content(piece: Piece) -> tuple[str | None, bytes | None]:
    """The piece as text or as data."""
    return piece.text, piece.data if piece.text is None else None


def _item(text: str | None, data: bytes) -> str | bytes:
    return data if text is None else text


def _refuse(run_id: str, answer: dict[str, Any]) -> None:
    """Raises what the outcome of a function means, if it did not do its work."""
    match answer["outcome"]:
        case "missing":
            raise _not_found(run_id)
        case "stale":
            raise StoreError(
                f"run {run_id!r} is at revision {answer['revision']} by now",
                code="stale-state",
                revision=answer["revision"],
            )
        case "held":
            until = datetime.fromisoformat(answer["until"])
            raise StoreError(
                f"run {run_id!r} is held by {answer['owner']} until {until.isoformat()}",
                code="already-claimed",
                owner=answer["owner"],
                until=until,
            )


def _not_found(run_id: str) -> StoreError:
    return StoreError(f"there is no run {run_id!r}", code="state-not-found")


def _no_revision(run_id: str, revision: int) -> StoreError:
    return StoreError(f"run {run_id!r} has no revision {revision}", code="revision-not-found")


def _unavailable(error: ConnectionLost | DatabaseRefused) -> StoreError:
    if isinstance(error, DatabaseRefused):
        return StoreError(f"the database refused: {error}", code="database-unavailable")
    return StoreError(
        f"the connection to the database was lost: {error}",
        code="database-unavailable",
        hint="Look at what is stored, then try again: the change may have been made.",
    )
