"""What a database does beyond what every kind of place does."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conformance.harness import services
from timestep.errors import ApprovalError, StoreError
from timestep.store.base import Backend, Facts, Piece
from timestep.store.connection import Connection, ConnectionLost, Statements
from timestep.store.migrations import migrate, migrations, read_migrations
from timestep.store.postgres import PostgresConnection, open_postgres
from timestep.store.sql import open_sql

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SQL = ROOT / "schemas" / "sql"
DIGEST = "ab" * 32


def facts(*pending: str, **said: Any) -> Facts:
    calls = [
        {
            "call_id": call_id,
            "agent": "Weather",
            "tool": "get_weather",
            "kind": "function",
            "digest": DIGEST,
            "arguments": b'{"city": "Oslo"}',
        }
        for call_id in pending
    ]
    values: dict[str, Any] = {
        "agent": "Weather",
        "status": "interrupted",
        "turn": 1,
        "language": "python",
        "trace_id": None,
        "pending": calls,
        "decided": {},
        "calls": [],
        "usage": [],
    }
    return Facts(**{**values, **said})


def whole(text: str = "{}", revision: int = 1) -> Piece:
    return Piece(revision, None, revision.to_bytes(8), b"", text)


def delta(revision: int, data: bytes = b"delta") -> Piece:
    return Piece(revision, revision - 1, revision.to_bytes(8), data)


async def decide(backend: Backend, run: str = "run", call: str = "a", **said: Any) -> None:
    decision = said.pop("decision", "approve")
    details: dict[str, Any] = {"digest": None, "always": False, "message": None, "expires": None}
    await backend.decide(run, call, decision, **{**details, "by": "ann", **said})


def ask(url: str, statement: str, *parameters: Any) -> list[Any]:
    """What somebody else's connection says."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def alter(url: str, setting: str) -> None:
    """Changes a setting for all who open the database from now on."""
    [(name,)] = ask(url, "SELECT current_database()")
    ask(url, f'ALTER DATABASE "{name}" SET {setting}')


@asynccontextmanager
async def opened(url: str, count: int) -> AsyncIterator[list[Backend]]:
    """Backends with a connection each."""
    backends = [await open_postgres(url) for _ in range(count)]
    try:
        yield backends
    finally:
        for backend in backends:
            await backend.aclose()


async def codes(*work: Any) -> list[str]:
    """How each of several things done at once went, sorted."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        assert not isinstance(each, BaseException) or isinstance(each, StoreError | ApprovalError)
    return sorted(
        each.code if isinstance(each, StoreError | ApprovalError) else "done" for each in done
    )


class Recorded:
    """A connection as strict as PGLite: a session of its own for every statement, and no second
    one at a time. It notes what is sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sent: list[str] = []
        self.busy = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        assert not self.busy, "a statement while another one is under way"
        self.busy = True
        fresh = PostgresConnection(self.url)
        try:
            async with fresh.transaction() as inside:
                yield _Inside(self, inside)
        finally:
            self.busy = False
            await fresh.aclose()

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        async with self.transaction() as inside:
            return await inside.fetch(sql, parameters)

    async def script(self, sql: str) -> None:
        async with self.transaction() as inside:
            await inside.script(sql)

    async def aclose(self) -> None:
        pass


class _Inside:
    def __init__(self, recorded: Recorded, inside: Statements) -> None:
        self.recorded = recorded
        self.inside = inside

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.recorded.sent.append(sql)
        return await self.inside.fetch(sql, parameters)

    async def script(self, sql: str) -> None:
        self.recorded.sent.append(sql)
        await self.inside.script(sql)


async def use_everything(backend: Backend) -> None:
    await backend.save("run", whole(), facts("a", "b"))
    claimed = await backend.claim("run", "me", 60, seen=1)
    assert claimed.owner == "me"
    await decide(backend, digest=DIGEST, message=b"go", expires=claimed.until)
    await backend.save("run", delta(2), facts("b", decided={"a": "approve"}), owner="me")
    await backend.save("run", delta(3), facts("b"), owner="me")
    assert [call.approval.revision for call in await backend.approvals("run")] == [1]
    assert [call.approval.call_id for call in await backend.approvals(resolved=True)] == ["a", "b"]
    assert [piece.revision for piece in (await backend.read("run", 2)).pieces] == [1, 2]
    assert len(await backend.history("run")) == 3
    assert await backend.prune("run", whole(revision=2)) == 1
    assert [run.revision for run in await backend.runs()] == [3]
    await backend.release("run", "me")
    await backend.add_items("chat", ["1", b"\x01sealed"])
    assert await backend.read_items("chat") == ["1", b"\x01sealed"]
    assert await backend.pop_item("chat") == b"\x01sealed"
    await backend.clear_items("chat")
    await backend.clear("run")


async def test_nothing_is_sent_that_pglite_cannot_do(postgres_url: str) -> None:
    connection = Recorded(postgres_url)
    await use_everything(await open_sql(connection))
    words = "PREPARE|EXECUTE|DEALLOCATE|COPY|LISTEN|NOTIFY|CURSOR|SESSION|TEMP|EXTENSION"
    forbidden = rf"\b(?:{words})\b|\bpg_(?:try_)?advisory_lock\b|^SET\b"
    text = "\n".join(connection.sent)
    assert "save_revision" in text
    assert "CREATE TABLE" in text
    code = re.sub(r"--.*", "", text)
    assert re.findall(forbidden, code, re.MULTILINE) == []


async def test_psycopg_prepares_nothing_on_its_own(postgres_url: str) -> None:
    connection = PostgresConnection(postgres_url)
    for _ in range(20):
        await connection.fetch("SELECT $1::text", ["x"])
    assert await connection.fetch("SELECT count(*)::text FROM pg_prepared_statements") == [("0",)]
    await connection.aclose()


async def test_a_read_is_one_statement_however_deep_the_run(postgres_url: str) -> None:
    connection = Recorded(postgres_url)
    backend = await open_sql(connection)
    await backend.save("run", whole(), facts("a"))
    async with opened(postgres_url, 1) as [quick]:
        for revision in range(2, 1001):
            await quick.save("run", delta(revision), facts("a"))
        await decide(quick, decision="reject")
    connection.sent.clear()
    stored = await backend.read("run")
    assert [piece.revision for piece in stored.pieces] == list(range(1, 1001))
    assert [call.approval.decision for call in stored.decisions] == ["reject"]
    assert len(connection.sent) == 1


async def test_of_two_savers_one_is_stale(postgres_url: str) -> None:
    async with opened(postgres_url, 2) as backends:
        for revision in range(1, 31):
            piece = whole() if revision == 1 else delta(revision)
            saves = (backend.save("run", piece, facts()) for backend in backends)
            assert await codes(*saves) == ["done", "stale-state"]
        assert len(await backends[0].history("run")) == 30


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_savers_and_claimers_meet_in_a_database_that_is_stricter(
    postgres_url: str, level: str
) -> None:
    alter(postgres_url, f"default_transaction_isolation = '{level}'")
    async with opened(postgres_url, 4) as backends:
        for revision in range(1, 11):
            piece = whole() if revision == 1 else delta(revision)
            saves = (backend.save("run", piece, facts()) for backend in backends)
            assert await codes(*saves) == ["done", *["stale-state"] * 3]
        claims = (
            backend.claim("run", f"owner {number}", 60) for number, backend in enumerate(backends)
        )
        assert await codes(*claims) == [*["already-claimed"] * 3, "done"]


async def test_of_twenty_claimers_one_gets_the_run(postgres_url: str) -> None:
    async with opened(postgres_url, 20) as backends:
        for number in range(5):
            run = f"run {number}"
            await backends[0].save(run, whole(), facts())
            owners = [f"owner {number}" for number in range(20)]
            claims = [
                backend.claim(run, owner, 60)
                for backend, owner in zip(backends, owners, strict=True)
            ]
            assert await codes(*claims) == ["already-claimed"] * 19 + ["done"]
            [summary] = [each for each in await backends[0].runs() if each.run_id == run]
            assert summary.claimed_by in owners


async def test_of_many_who_decide_one_is_first(postgres_url: str) -> None:
    async with opened(postgres_url, 5) as backends:
        await backends[0].save("run", whole(), facts("a"))
        decisions = (
            decide(backend, digest=DIGEST, by=f"by {number}")
            for number, backend in enumerate(backends)
        )
        assert await codes(*decisions) == [*["already-decided"] * 4, "done"]


class Workers:
    """Processes of both languages that do what they are told at once."""

    def __init__(self, each: int, stack: ExitStack) -> None:
        commands = [
            [sys.executable, "-m", "tests.store.sql_worker"],
            ["node", str(ROOT / "tests" / "store" / "sql_worker.mjs")],
        ]
        self.processes = [
            stack.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for command in commands
            for _ in range(each)
        ]

    def do(self, *tasks: dict[str, Any]) -> list[Any]:
        """One task for each, or one for all."""
        for process, task in zip(self.processes, self._dealt(tasks), strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process in self.processes]  # type: ignore[union-attr]

    def _dealt(self, tasks: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        return tasks if len(tasks) > 1 else [*tasks] * len(self.processes)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with ExitStack() as stack:
        yield Workers(3, stack)


def test_processes_of_both_languages_open_an_empty_database_at_once(workers: Workers) -> None:
    for _ in range(8):
        with services.postgres() as url:
            assert workers.do({"do": "open", "url": url}) == ["done"] * 6
            applied = ask(url, "SELECT version, name FROM timestep.migrations ORDER BY version")
            assert applied == [(each.version, each.name) for each in migrations()]


def test_appends_of_both_languages_keep_order_and_lose_nothing(
    workers: Workers, postgres_url: str
) -> None:
    tasks = [
        {"do": "append", "url": postgres_url, "items": [f"{who}-{n}" for n in range(40)]}
        for who in range(6)
    ]
    assert workers.do(*tasks) == ["done"] * 6
    items = asyncio.run(read_items(postgres_url))
    assert len(items) == 480
    assert all(second == f"{first}'" for first, second in zip(items[::2], items[1::2], strict=True))
    for who in range(6):
        own = [item for item in items[::2] if item.startswith(f"{who}-")]
        assert own == [f"{who}-{n}" for n in range(40)]

    popped = workers.do({"do": "pop", "url": postgres_url, "count": 80})
    assert sorted(item for each in popped for item in each) == sorted(items)
    assert asyncio.run(read_items(postgres_url)) == []


async def read_items(url: str) -> list[Any]:
    async with opened(url, 1) as [backend]:
        return await backend.read_items("chat")


def test_claimers_of_both_languages_get_a_run_once(workers: Workers, postgres_url: str) -> None:
    async def save() -> None:
        async with opened(postgres_url, 1) as [backend]:
            await backend.clear("run")
            await backend.save("run", whole(), facts())

    for _ in range(5):
        asyncio.run(save())
        tasks = [{"do": "claim", "url": postgres_url, "owner": f"owner {n}"} for n in range(6)]
        answers = workers.do(*tasks)
        assert answers.count("already-claimed") == 5
        assert [answer for answer in answers if answer.startswith("owner ")]


NASTY = [
    "'; DROP TABLE timestep.runs; --",
    '"quoted"',
    "$1",
    "%s %(x)s {0}",
    "back\\slash \\x00",
    "E'\\''",
    "\u2028 \U0001f600 é",
    "NULL",
    "\ufffd",
    " ",
    "line\nbreak\ttab",
]


async def test_ids_and_names_are_never_read_as_sql(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as [backend]:
        for text in NASTY:
            said = facts(text, agent=text, trace_id=text)
            said = replace(said, pending=[{**said.pending[0], "agent": text}])
            await backend.save(text, whole(json.dumps(text)), said)
            await backend.claim(text, text, 60)
            await decide(
                backend, run=text, call=text, decision="reject", message=text.encode(), by=text
            )
            await backend.add_items(text, [json.dumps(text)])
        assert [run.run_id for run in await backend.runs()] == NASTY[::-1]
        for text in NASTY:
            stored = await backend.read(text)
            assert stored.pieces[0].text == json.dumps(text)
            [call] = await backend.approvals(text)
            assert call.approval.call_id == call.approval.agent == call.approval.decided_by == text
            assert call.message == text.encode()
            assert await backend.read_items(text) == [json.dumps(text)]


async def test_texts_that_no_database_holds_are_shown_with_a_mark(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as [backend]:
        text = json.dumps({"nul": "\0", "lone": "\ud800"})
        said = facts("call\0\udc00", agent="a\0b\ud800")
        await backend.save("run", whole(text), said)
        await backend.add_items("chat", [text])
        assert (await backend.read("run")).pieces[0].text == text
        assert await backend.read_items("chat") == [text]
        assert [run.agent for run in await backend.runs()] == ["a\ufffdb\ufffd"]
        [call] = await backend.approvals()
        assert call.approval.call_id == "call\ufffd\ufffd"
        await decide(backend, call="call\0\udc00", by="a\0")


async def test_arguments_are_kept_as_they_are(postgres_url: str) -> None:
    """In clear as text, which whoever queries the table can read; what is no text in base64."""
    kept = ['{"a": "é\u2028 \\ud800 \\"}', "", "a\0b", "\x01sealed"]
    async with opened(postgres_url, 1) as [backend]:
        said = facts(*map(str, range(len(kept))))
        pending = [
            {**call, "kind": kind, "arguments": text.encode()}
            for call, kind, text in zip(
                said.pending, ["function", "mcp", "native", "function"], kept, strict=True
            )
        ]
        await backend.save("run", whole(), replace(said, pending=pending))
        found = await backend.approvals("run")
        assert [call.arguments for call in found] == [text.encode() for text in kept]
        assert [call.approval.kind for call in found] == [call["kind"] for call in pending]
    [(stored,)] = ask(postgres_url, "SELECT pending FROM timestep.run_revisions")
    assert [call.get("arguments") for call in stored] == [*kept[:2], None, None]
    assert [call.get("data") for call in stored] == [None, None, "YQBi", "AXNlYWxlZA=="]


async def test_what_goes_without_saying_is_told_by_the_views(postgres_url: str) -> None:
    names = ("input", "output", "total", "cached", "reasoning")
    counts = [(7, 3, 10, 2, 1), (7, 0, 7, 0, 0), (0, 0, 0, 0, 0), (1, 2, 0, 0, 0), (1, 2, 9, 0, 4)]
    usage = [
        {
            "request": number,
            "model": "m" if number % 2 else None,
            **dict(zip(names, each, strict=True)),
        }
        for number, each in enumerate(counts)
    ]
    done = {"agent": "Weather", "tool": "get_weather"}
    calls = [{**done, "call_id": name, "executed": name == "a"} for name in "ab"]
    async with opened(postgres_url, 1) as [backend]:
        await backend.save("run", whole(), facts(usage=usage, calls=calls))
    [(stored,)] = ask(postgres_url, "SELECT usage FROM timestep.run_revisions")
    assert stored[1:3] == [{"request": 1, "model": "m", "input": 7}, {"request": 2}]
    told = ask(
        postgres_url,
        "SELECT request, model, input_tokens, output_tokens, total_tokens, cached_tokens, "
        "reasoning_tokens FROM timestep.usage ORDER BY request",
    )
    assert told == [tuple(each.values()) for each in usage]
    executed = "SELECT call_id, executed FROM timestep.tool_calls ORDER BY call_id"
    assert ask(postgres_url, executed) == [("a", True), ("b", False)]


async def test_documents_and_items_of_ten_megabytes(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as [backend]:
        text = json.dumps(["é" + "0123456789" * 100] * 10_000, ensure_ascii=False)
        data = bytes(range(256)) * 40_000
        await backend.save("run", whole(text), facts())
        await backend.save("run", delta(2, data), facts())
        await backend.add_items("chat", [text, data])
        first, second = (await backend.read("run")).pieces
        assert first.text == text
        assert second.data == data
        assert await backend.read_items("chat") == [text, data]
        sizes = [revision.size for revision in await backend.history("run")]
        assert sizes[0] < len(text) / 10
        assert sizes[1] >= len(data)


async def test_pieces_and_facts_of_a_deep_run_take_little(postgres_url: str) -> None:
    """Beside an INSERT of the two items of a turn as text: at most 1.5 times what is logged."""
    items = "x" * 700, "y" * 700
    async with opened(postgres_url, 1) as [backend]:
        with psycopg.connect(postgres_url, autocommit=True) as floor:
            floor.execute(
                "CREATE TABLE items (run int, place int, item text, PRIMARY KEY (run, place))"
            )
            logged = {"floor": 0, "save": 0}

            def position() -> int:
                row = floor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
                return int(row[0]) if row else 0

            await backend.save("run", whole(), facts("0"))
            for turn in range(2, 402):
                start = position()
                floor.execute(
                    "INSERT INTO items VALUES (1, %s, %s), (1, %s, %s)",
                    (2 * turn, items[0], 2 * turn + 1, items[1]),
                )
                middle = position()
                done = {"call_id": f"call_{turn - 1:024}", "agent": "Weather", "executed": True}
                counts = dict.fromkeys(["input", "output", "total", "cached", "reasoning"], 1000)
                said = facts(
                    f"call_{turn:024}",
                    turn=turn,
                    trace_id="trace_" + "0" * 32,
                    calls=[{**done, "tool": "get_weather"}],
                    usage=[{"request": turn, "model": "gpt-4.1", **counts}],
                )
                await backend.save("run", delta(turn, bytes(900)), said)
                logged["floor"] += middle - start
                logged["save"] += position() - middle
    assert logged["save"] <= 1.5 * logged["floor"]


async def test_a_newer_database_is_refused_by_name(postgres_url: str) -> None:
    async with opened(postgres_url, 1):
        pass
    ask(
        postgres_url,
        "INSERT INTO timestep.migrations (version, name, applied_by) VALUES (9999, 'far', 'x')",
    )
    with pytest.raises(StoreError, match=r"9999_far.*0001_store") as caught:
        await open_postgres(postgres_url)
    assert caught.value.code == "newer-database"


async def test_migrations_are_applied_once_each_in_order(postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "0001_store.sql").write_text((SQL / "0001_store.sql").read_text())
    (tmp_path / "0002_notes.sql").write_text("CREATE TABLE timestep.notes (note text)")
    (tmp_path / "README.md").write_text("no migration")
    known = read_migrations(tmp_path)
    assert [(each.version, each.name) for each in known] == [(1, "store"), (2, "notes")]
    connection = PostgresConnection(postgres_url)
    await migrate(connection, known[:1])
    others = [PostgresConnection(postgres_url) for _ in range(4)]
    await asyncio.gather(*(migrate(other, known) for other in others))
    for other in others:
        await other.aclose()
    ask(postgres_url, "INSERT INTO timestep.notes VALUES ('kept')")
    sent = Recorded(postgres_url)
    await migrate(sent, known)
    assert len(sent.sent) == 1
    assert ask(postgres_url, "SELECT note FROM timestep.notes") == [("kept",)]
    with pytest.raises(StoreError, match="0002_notes"):
        await migrate(connection, known[:1])
    await connection.aclose()


async def test_a_migration_that_fails_leaves_nothing_behind(
    postgres_url: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_store.sql").write_text((SQL / "0001_store.sql").read_text())
    (tmp_path / "0002_half.sql").write_text("CREATE TABLE timestep.half (a int); SELECT 1 / 0")
    connection = PostgresConnection(postgres_url)
    with pytest.raises(Exception, match="division by zero"):
        await migrate(connection, read_migrations(tmp_path))
    await connection.aclose()
    assert ask(postgres_url, "SELECT to_regclass('timestep.half')::text") == [(None,)]
    assert ask(postgres_url, "SELECT max(version) FROM timestep.migrations") == [(1,)]
    async with opened(postgres_url, 1) as [backend]:
        await use_everything(backend)


async def test_a_connection_that_ended_meanwhile_is_opened_again(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as [backend]:
        await backend.save("run", whole(), facts("a"))
        end_others(postgres_url)
        await backend.add_items("chat", ["1"])
        end_others(postgres_url)
        await backend.save("run", delta(2), facts("a"))
        end_others(postgres_url)
        assert await backend.pop_item("chat") == "1"
        end_others(postgres_url)
        await backend.clear("run")
        end_others(postgres_url)
        assert await backend.runs() == []


def end_others(url: str) -> None:
    ask(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


class Losing:
    """A connection that is lost under the next statement: before it is done, or after."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.lose: str | None = None
        self.sent = 0

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        lose, self.lose = self.lose, None
        self.sent += 1
        if lose != "before":
            rows = await self.connection.fetch(sql, parameters)
        if lose is not None:
            raise ConnectionLost("cut")
        return rows

    async def script(self, sql: str) -> None:
        await self.connection.script(sql)

    def transaction(self) -> Any:
        return self.connection.transaction()

    async def aclose(self) -> None:
        await self.connection.aclose()


@pytest.mark.parametrize("lose", ["before", "after"])
async def test_a_save_whose_answer_was_lost_is_told_by_what_is_stored(
    postgres_url: str, lose: str
) -> None:
    connection = Losing(PostgresConnection(postgres_url))
    backend = await open_sql(connection)
    for revision in range(1, 4):
        connection.lose = lose
        await backend.save("run", whole() if revision == 1 else delta(revision), facts())
    assert len(await backend.history("run")) == 3

    async with opened(postgres_url, 1) as [other]:
        await other.save("run", Piece(4, 3, b"others", b"theirs"), facts())
    connection.lose = lose
    with pytest.raises(StoreError) as caught:
        await backend.save("run", delta(4), facts())
    assert caught.value.code == "stale-state"
    assert caught.value.revision == 4
    await backend.aclose()


async def test_what_may_not_be_done_twice_is_not_repeated(postgres_url: str) -> None:
    connection = Losing(PostgresConnection(postgres_url))
    backend = await open_sql(connection)
    await backend.save("run", whole(), facts("a"))
    await backend.add_items("chat", ["1", "2"])
    done: list[Any] = [
        backend.add_items("chat", ["3"]),
        backend.pop_item("chat"),
        decide(backend),
        backend.clear_items("other"),
        backend.clear("other"),
    ]
    for work in done:
        connection.lose = "after"
        connection.sent = 0
        with pytest.raises(StoreError, match="was lost: cut") as caught:
            await work
        assert caught.value.code == "database-unavailable"
        assert connection.sent == 1
    assert await backend.read_items("chat") == ["1", "2"]
    await backend.aclose()


async def test_a_server_that_is_not_there_is_named_and_no_password_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2"
    refused = "cannot open the database app: connection failed: .*refused"
    for url, code, said in (
        (f"postgresql://me:{secret}@127.0.0.1:1/app", "database-unavailable", refused),
        (f"postgresql://me:{secret}@/app?host={tmp_path}", "database-unavailable", str(tmp_path)),
        (
            f"postgresql://127.0.0.1:1/app?user=me&password={secret}",
            "database-unavailable",
            refused,
        ),
        (f"postgresql://me:{secret}@127.0.0.1:port/app", "unknown-location", "no URL"),
        (f"postgresql://me:{secret}%@127.0.0.1/app", "unknown-location", "no URL"),
        (f"postgresql://me:{secret}@127.0.0.1/app?nothing={secret}", "unknown-location", "no URL"),
    ):
        with pytest.raises(StoreError, match=said) as caught:
            await open_postgres(url)
        assert caught.value.code == code
        shown = f"{caught.value} {caught.value!r} {caught.value.hint} {caught.value.__cause__}"
        assert secret not in shown


async def test_what_the_server_refuses_is_told_in_its_words(postgres_url: str) -> None:
    alter(postgres_url, "default_transaction_read_only = on")
    with pytest.raises(StoreError, match=r"refused: cannot execute .* in a read-only") as caught:
        await open_postgres(postgres_url)
    assert caught.value.code == "database-unavailable"


async def test_a_socket_folder_can_be_given_as_host(postgres_url: str) -> None:
    folder = re.search(r"host=(/[^&]+)", postgres_url)
    if folder is None:
        pytest.skip("the server that was given listens elsewhere")
    async with opened(postgres_url.replace("@localhost/", "@/"), 1) as [backend]:
        await use_everything(backend)


async def test_psycopg_missing_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match="psycopg") as caught:
        await open_postgres("postgresql://127.0.0.1/app")
    assert caught.value.code == "missing-dependency"
    assert "pip install 'timestep[postgres]'" in caught.value.hint


def test_the_document_names_every_table_column_and_function(postgres_url: str) -> None:
    async def make() -> None:
        async with opened(postgres_url, 1):
            pass

    asyncio.run(make())
    text = (ROOT / "docs" / "database.md").read_text()
    said = {
        (table, column)
        for table, rows in re.findall(r"### `timestep\.(\w+)`\n(.*?)(?=\n##|\Z)", text, re.DOTALL)
        for column in re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)
    }
    there = ask(
        postgres_url,
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'timestep'",
    )
    assert said == set(there)
    functions = re.findall(r"^\| `(\w+\([\w, ]*\))` \|", text, re.MULTILINE)
    found = ask(
        postgres_url,
        "SELECT p.proname || '(' || coalesce((SELECT string_agg(a.name, ', ' ORDER BY a.place) "
        "FROM unnest(p.proargnames) WITH ORDINALITY AS a (name, place) "
        "WHERE a.place <= p.pronargs), '') || ')' FROM pg_proc p "
        "WHERE p.pronamespace = 'timestep'::regnamespace",
    )
    assert sorted(functions) == sorted(name for (name,) in found)


def test_long_texts_are_compressed_and_data_is_not(postgres_url: str) -> None:
    async def make() -> None:
        async with opened(postgres_url, 1):
            pass

    asyncio.run(make())
    found = ask(
        postgres_url,
        "SELECT attname, attcompression::text, attstorage::text FROM pg_attribute "
        "WHERE attrelid = 'timestep.run_revisions'::regclass AND attname IN ('document', 'data') "
        "ORDER BY attname",
    )
    [(methods,)] = ask(
        postgres_url, "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
    )
    assert found == [("data", "", "e"), ("document", "l" if "lz4" in methods else "", "x")]
