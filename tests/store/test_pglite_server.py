"""What a client in Python can do with the server of a PGLite folder, several at once."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.store.pglite_server import MAIN, Server, needs_node, serving

pytestmark = needs_node


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("pglite") / "database") as one:
        yield one


@pytest.fixture
def two(server: Server) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    with server.connect() as one, server.connect() as other:
        yield one, other


Two = tuple[psycopg.Connection[Any], psycopg.Connection[Any]]


def value(connection: psycopg.Connection[Any], sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]


def test_two_connections_prepare_statements_under_the_same_names(two: Two) -> None:
    for number in range(8):  # psycopg prepares a statement when it is used the fifth time
        for connection in two:
            row = connection.execute("SELECT %s::int + 1", (number,)).fetchone()
            assert row == (number + 1,)
    names = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE '%%pg3%%'"
    before = value(two[0], names)
    two[0].execute("DEALLOCATE ALL")
    assert value(two[0], names) == before - 1
    assert two[1].execute("SELECT %s::int + 1", (1,)).fetchone() == (2,)


def test_a_prepared_statement_goes_with_its_connection(server: Server, two: Two) -> None:
    names = "SELECT count(*) FROM pg_prepared_statements"
    before = value(two[0], names)
    with closing(server.connect()) as other:
        other.execute("SELECT 7", prepare=True)
        assert value(two[0], names) == before + 1
    while value(two[0], names) != before:
        pass


def test_a_notification_reaches_those_who_listen_and_nobody_else(two: Two) -> None:
    listener, sender = two
    listener.execute("LISTEN news")
    sender.execute("NOTIFY news, 'hello'")
    [note] = listener.notifies(timeout=20, stop_after=1)
    assert (note.channel, note.payload) == ("news", "hello")
    assert note.pid == sender.info.backend_pid
    assert list(sender.notifies(timeout=0)) == []


def test_who_stops_to_listen_does_not_stop_others(two: Two) -> None:
    for connection in two:
        connection.execute("LISTEN common")
    two[1].execute("UNLISTEN *")
    two[1].execute("NOTIFY common, 'still'")
    [note] = two[0].notifies(timeout=20, stop_after=1)
    assert note.payload == "still"
    assert list(two[1].notifies(timeout=0)) == []


def test_a_parameter_of_thirty_megabytes_goes_in_and_comes_out(two: Two) -> None:
    large = bytes(range(256)) * 117_188
    two[0].execute("CREATE TEMP TABLE large (data bytea)")
    two[0].execute("INSERT INTO large VALUES (%s)", (large,))
    row = two[0].cursor(binary=True).execute("SELECT data FROM large").fetchone()
    assert row is not None
    assert row[0] == large


def test_an_open_transaction_keeps_others_waiting_but_not_from_connecting(
    server: Server, two: Two
) -> None:
    two[0].execute("CREATE TABLE turns (who text)")
    seen: list[int] = []

    def count() -> None:
        with server.connect() as late:
            connected.set()
            seen.append(value(late, "SELECT count(*) FROM turns"))

    connected = threading.Event()
    thread = threading.Thread(target=count)
    with two[0].transaction():
        two[0].execute("INSERT INTO turns VALUES ('first')")
        thread.start()
        assert connected.wait(20)
        for _ in range(200):
            two[0].execute("INSERT INTO turns VALUES ('later')")
        assert seen == []
    thread.join()
    assert seen == [201]


def test_a_client_that_is_cut_off_inside_a_transaction_is_rolled_back(
    server: Server, two: Two
) -> None:
    two[0].execute("CREATE TABLE cut (number int)")
    other = server.connect(autocommit=False)
    other.execute("INSERT INTO cut VALUES (1)")
    other.pgconn.finish()
    assert value(two[0], "SELECT count(*) FROM cut") == 0
    other.close()


def test_an_error_is_for_the_client_that_made_it(two: Two) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        two[0].execute("SELECT 1/0")
    assert value(two[1], "SELECT 1") == 1
    assert value(two[0], "SELECT 1") == 1


@pytest.mark.parametrize("sql", ["COPY copied FROM STDIN", "COPY copied FROM STDIN (FORMAT csv)"])
def test_copying_in_is_refused_and_the_engine_lives_on(two: Two, sql: str) -> None:
    two[0].execute("CREATE TABLE IF NOT EXISTS copied (number int)")
    with (
        pytest.raises(psycopg.errors.QueryCanceled, match="not possible with PGLite"),
        two[0].cursor().copy(sql) as copy,
    ):
        copy.write("1\n")
    assert value(two[1], "SELECT count(*) FROM copied") == 0
    with two[1].cursor().copy("COPY (SELECT 1) TO STDOUT") as out:
        assert [bytes(line) for line in out] == [b"1\n"]


def test_a_pipeline_and_a_cursor_of_the_server(two: Two) -> None:
    two[0].execute("CREATE TABLE many (number int)")
    with two[0].pipeline():
        for number in range(20):
            two[0].execute("INSERT INTO many VALUES (%s)", (number,))
    with two[0].transaction(), two[0].cursor("named") as cursor:
        cursor.itersize = 3
        rows = cursor.execute("SELECT number FROM many ORDER BY number")
        assert [row[0] for row in rows] == list(range(20))


def test_a_pool_of_four_and_two_hundred_short_tasks(server: Server) -> None:
    async def main() -> int:
        free: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()
        pool = [
            await psycopg.AsyncConnection.connect(**server.options(), autocommit=True)
            for _ in range(4)
        ]
        for each in pool:
            free.put_nowait(each)
        await pool[0].execute("CREATE TABLE tasks (number int)")

        async def task(number: int) -> None:
            connection = await free.get()
            try:
                async with connection.transaction():
                    await connection.execute("INSERT INTO tasks VALUES (%s)", (number,))
                    cursor = await connection.execute("SELECT %s::int", (number,))
                    assert await cursor.fetchone() == (number,)
            finally:
                free.put_nowait(connection)

        await asyncio.gather(*(task(number) for number in range(200)))
        cursor = await pool[0].execute("SELECT count(DISTINCT number) FROM tasks")
        row = await cursor.fetchone()
        for each in pool:
            await each.close()
        assert row is not None
        return int(row[0])

    assert asyncio.run(main()) == 200


def test_eight_clients_without_prepared_statements_at_once(server: Server) -> None:
    wrong: list[object] = []

    def client(number: int) -> None:
        with server.connect() as connection:
            connection.prepare_threshold = None
            for step in range(100):
                row = connection.execute("SELECT %s::int, %s::int", (number, step)).fetchone()
                if row != (number, step):
                    wrong.append(row)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nonsense_ends_the_client_that_sends_it(server: Server, two: Two) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(f"{server.said['host']}/.s.PGSQL.5432")
        raw.sendall(b"\xff" * 64)
        answer = b""
        while part := raw.recv(4096):
            answer += part
    assert b"FATAL" in answer
    assert value(two[0], "SELECT 1") == 1


def test_a_second_server_says_that_there_is_one(server: Server, tmp_path: Path) -> None:
    folder = Path(server.said["host"])
    second = Server(folder)
    assert second.said == {"owner": False, "host": str(folder)}
    assert second.stop() == 0


@pytest.mark.parametrize(
    ("major", "code"), [("19", "newer-database"), ("17", "database-unavailable")]
)
def test_a_database_of_another_major_version_is_named(
    tmp_path: Path, major: str, code: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text(f"{major}\n")
    server = Server(tmp_path)
    assert server.stop() == 1
    error = server.said["error"]
    assert error["code"] == code
    assert f"PostgreSQL {major}" in error["message"]
    assert "PostgreSQL 18" in error["message"]


def test_it_needs_a_folder() -> None:
    ended = subprocess.run(["node", str(MAIN)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "usage: timestep-pglite FOLDER\n")
