"""A PGLite folder as a place for runs: owners that are killed, end, or do not answer."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.store.pglite_server import Server, needs_node
from tests.store.writer import RUN, Writer
from timestep import StoreError
from timestep.store import pglite
from timestep.store.base import Backend
from timestep.store.location import open_backend
from timestep.store.pglite import open_pglite

pytestmark = [pytest.mark.anyio, needs_node]

# `./dev crashes` takes more.
ROUNDS = int(os.environ.get("TIMESTEP_ROUNDS", "5"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "database"


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Backend]:
    backend = await open_pglite(folder)
    try:
        yield backend
    finally:
        await backend.aclose()


def reach(folder: Path) -> socket.socket:
    """A connection to the owner, which ends when the owner does."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(f"{pglite.socket_host(folder)}/.s.PGSQL.5432")
    return connection


def owner(folder: Path) -> int:
    """The process that listens on the socket of a folder."""
    with closing(reach(folder)) as connection:
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", told)
    return int(pid)


def kill_owner(folder: Path) -> None:
    os.kill(owner(folder), signal.SIGKILL)


def start(location: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", location], stdout=subprocess.PIPE, text=True
    )


def acknowledged(process: subprocess.Popen[str], count: int) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


async def revisions(backend: Backend) -> list[int]:
    return [each.revision for each in await backend.history(RUN)]


async def test_no_acknowledged_revision_is_lost_when_the_owner_is_killed(folder: Path) -> None:
    async with opened(folder) as backend:
        writer = Writer(backend, f"pglite:{folder}")
        killed = 0
        saved = 0
        while killed < ROUNDS:
            await writer.save()
            saved += 1
            for _ in range(random.randrange(10)):
                await writer.save()
                saved += 1
            task = asyncio.ensure_future(writer.save())
            for _ in range(random.randrange(4)):  # before it is sent, or later
                await asyncio.sleep(0)
            kill_owner(folder)
            killed += 1
            assert await task == saved + 1
            saved += 1
        assert await revisions(backend) == list(range(1, saved + 1))
        await writer.load()
        assert writer.known is not None
        assert writer.known.document["turn"] == saved
    async with opened(folder) as backend:
        assert await revisions(backend) == list(range(1, saved + 1))


async def test_the_owner_goes_with_the_process_that_started_it(folder: Path) -> None:
    process = start(f"pglite:{folder}")
    said = acknowledged(process, 5)
    with closing(reach(folder)) as connection:
        process.kill()
        rest, _ = process.communicate()
        assert connection.recv(1) in (b"", b"E")  # its last words, or nothing
        while connection.recv(100):
            pass
    said += [int(line) for line in rest.splitlines()]
    async with opened(folder) as backend:
        assert await revisions(backend) in (said, [*said, len(said) + 1])


async def test_others_are_clients_and_one_of_them_starts_the_next_owner(folder: Path) -> None:
    first = start(f"pglite:{folder}")
    acknowledged(first, 3)
    second = start(f"pglite:{folder}")
    acknowledged(second, 3)
    acknowledged(first, 1)
    before = owner(folder)
    first.kill()
    first.communicate()
    said = acknowledged(second, 20)
    assert owner(folder) != before
    second.kill()
    second.communicate()
    async with opened(folder) as backend:
        stored = await revisions(backend)
        assert stored == list(range(1, len(stored) + 1))
        assert said[-1] <= len(stored)


async def test_an_owner_that_ends_hands_on_without_an_error(folder: Path) -> None:
    server = Server(folder)
    async with opened(folder) as backend:
        for number in range(30):
            if number == 10:
                os.kill(server.process.pid, signal.SIGTERM)
            await backend.add_items("chat", [f'"{number}"'])
        assert await backend.read_items("chat") == [f'"{number}"' for number in range(30)]
    assert server.stop() == 0


async def test_stores_of_one_process_share_an_owner_which_ends_with_the_last(folder: Path) -> None:
    async with opened(folder) as one:
        async with opened(folder) as other:
            await one.add_items("chat", ['"hello"'])
            assert await other.read_items("chat") == ['"hello"']
            shared = owner(folder)
        assert owner(folder) == shared
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert not Path(f"/proc/{shared}").exists()


async def test_event_loops_of_one_process_share_an_owner(folder: Path) -> None:
    async with opened(folder) as backend:
        await backend.add_items("chat", ['"hello"'])

        async def elsewhere() -> list[str | bytes]:
            async with opened(folder) as other:
                return await other.read_items("chat")

        assert await asyncio.to_thread(asyncio.run, elsewhere()) == ['"hello"']
        assert await backend.read_items("chat") == ['"hello"']


async def test_an_owner_that_does_not_answer_has_the_database_in_use(folder: Path) -> None:
    server = Server(folder)
    backend = await open_pglite(folder, patience=2)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match="does not answer") as silent:
            await open_pglite(folder, patience=2)
        assert silent.value.code == "database-in-use"
        with pytest.raises(StoreError, match="does not answer") as silent:
            await backend.runs()
        assert silent.value.code == "database-in-use"
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert await backend.runs() == []
    await backend.aclose()
    server.stop()


async def test_without_node_the_error_names_other_places(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(StoreError, match=r"Node\.js was not found") as missing:
        await open_backend(f"pglite:{folder}")
    assert missing.value.code == "database-unavailable"
    assert "folder" in missing.value.hint
    assert "postgresql://" in missing.value.hint


async def test_without_the_package_the_error_says_how_to_get_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("timestep.__file__", str(tmp_path / "timestep" / "__init__.py"))
    with pytest.raises(StoreError, match="timestep-pglite was not found") as missing:
        await open_pglite(folder)
    assert missing.value.code == "database-unavailable"
    assert "npm install" in missing.value.hint


@pytest.mark.parametrize("given", ["false", "/bin/false", "node --no-such-option"])
async def test_a_command_that_does_not_serve_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(pglite.COMMAND, given)
    with pytest.raises(StoreError, match=given.split()[0]) as wrong:
        await open_pglite(folder)
    assert wrong.value.code == "database-unavailable"


async def test_a_package_above_the_working_folder_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "node_modules" / "@timestep-ai"
    package.mkdir(parents=True)
    (package / "timestep").symlink_to(Path(pglite.__file__).parents[2] / "typescript")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.setattr("timestep.__file__", str(tmp_path / "timestep" / "__init__.py"))
    async with opened(folder) as backend:
        assert await backend.runs() == []


async def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"thesis\.txt") as refused:
        await open_pglite(tmp_path)
    assert refused.value.code == "database-unavailable"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


async def test_a_folder_with_a_long_name_is_one_place_for_both_ports(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 100)
    server = Server(deep)
    assert server.said["host"] == pglite.socket_host(deep)
    async with opened(deep) as backend:
        await backend.add_items("chat", ['"hello"'])
        assert owner(deep) == server.process.pid
    server.stop()
    async with opened(deep) as backend:
        assert await backend.read_items("chat") == ['"hello"']
