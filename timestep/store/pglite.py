"""Runs and sessions in a PGLite folder.

The database has one owner, a process of Node, which listens on a socket in the folder. Where
nobody owns the folder, `timestep-pglite` of the TypeScript package is started; it ends with the
last store of this process that uses the folder, and with this process, however that ends. Then
the next one who wants the folder becomes, or starts, the owner.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import timestep
from timestep.errors import StoreError
from timestep.store.base import Backend
from timestep.store.connection import ConnectionLost, DatabaseRefused, Statements
from timestep.store.postgres import PostgresConnection
from timestep.store.sql import open_sql

COMMAND: Final = "TIMESTEP_PGLITE"
"""The environment variable with the command, or the path, of `timestep-pglite`."""

_T = TypeVar("_T")
_SOCKET: Final = ".s.PGSQL.5432"
_LONGEST_PATH: Final = 100
_SECONDS: Final = 30.0
# An owner that ends says so to every client it has not begun to do anything for.
_NOT_DONE: Final = "57P01"


async def open_pglite(folder: str | os.PathLike[str], *, patience: float = _SECONDS) -> Backend:
    """The database of a folder; both are made where there are none.

    An owner that does not answer for `patience` seconds is `database-in-use`. Raises `StoreError`
    (`missing-dependency`, `database-unavailable`, `database-in-use`, `newer-database`).
    """
    return await open_sql(PgliteConnection(Path(folder), patience))


class PgliteConnection:
    """One connection to whoever owns the folder, at any time."""

    def __init__(self, folder: Path, patience: float = _SECONDS) -> None:
        self._folder = folder
        self._patience = patience
        self._client: _Client | None = None
        self._served: str | None = None

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._use(lambda client: client.fetch(sql, parameters))

    async def script(self, sql: str) -> None:
        await self._use(lambda client: client.script(sql))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        await self.fetch("SELECT 1")  # there is an owner, and it answers
        assert self._client is not None
        async with self._client.transaction() as inside:
            yield inside

    async def aclose(self) -> None:
        """Ends the connection, and the owner if this process started it and needs it no more."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        if self._served is not None:
            served, self._served = self._served, None
            await asyncio.to_thread(_servers.leave, served)

    async def _use(self, work: Callable[[_Client], Awaitable[_T]]) -> _T:
        """Does `work` with a client that is connected, again where it could not be."""
        end = time.monotonic() + self._patience
        while True:
            client = self._client
            if client is None:
                client = self._client = await self._owned()
            task = asyncio.ensure_future(work(client))
            try:
                done, _ = await asyncio.wait({task}, timeout=self._patience)
            except asyncio.CancelledError:
                task.cancel()
                raise
            if not done:
                client.cut()
            try:
                return await task
            except (ConnectionLost, DatabaseRefused) as lost:
                if not done:
                    raise self._silent() from None
                if lost.sqlstate != _NOT_DONE:
                    raise
            except StoreError as error:
                if error.code != "database-unavailable" or client.connected:
                    raise
                self._client = None
                if time.monotonic() > end:
                    raise self._silent() from error
                await asyncio.sleep(0.02)

    async def _owned(self) -> _Client:
        """A client for the owner of the folder, which is started where there is none."""
        self._served = await asyncio.to_thread(_servers.enter, self._folder, self._served is None)
        return _Client(self._served, self._patience)

    def _silent(self) -> StoreError:
        return StoreError(
            f"The process that has the database in {self._folder} open does not answer.",
            code="database-in-use",
        )


class _Client(PostgresConnection):
    """A connection to the socket of an owner."""

    def __init__(self, host: str, patience: float) -> None:
        timeout = max(2, round(patience))
        super().__init__(
            f"postgresql://postgres@localhost/postgres?host={quote(host, safe='')}"
            f"&sslmode=disable&connect_timeout={timeout}"
        )

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def cut(self) -> None:
        """Ends the connection from this side, whoever waits for an answer."""
        if self._connection is not None and not self._connection.closed:
            with socket.socket(fileno=os.dup(self._connection.fileno())) as its:
                its.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class _Server:
    process: subprocess.Popen[str] | None = None
    users: int = 0


class _Servers:
    """The owners this process has started, one a folder. Its methods block."""

    def __init__(self) -> None:
        self._servers: dict[str, _Server] = {}
        self._lock = threading.Lock()

    def enter(self, folder: Path, fresh: bool) -> str:
        """Sees to it that somebody owns the folder; the host of its socket.

        `fresh` for a user that has not entered before.
        """
        host = socket_host(folder)
        with self._lock:
            started = None if is_owned(host) else _start(folder)
            server = self._servers.setdefault(host, _Server())
            if started is not None:
                _end(server.process)
                server.process = started
            if fresh:
                server.users += 1
        return host

    def leave(self, host: str) -> None:
        """The last user of a folder ends the owner, if this process started it."""
        with self._lock:
            server = self._servers.get(host)
            if server is None:
                return  # the user is from before a fork
            server.users -= 1
            if server.users == 0:
                del self._servers[host]
                _end(server.process)

    def end(self) -> None:
        """Ends all, as the process does."""
        with self._lock:
            for server in self._servers.values():
                _end(server.process)
            self._servers.clear()

    def forget(self) -> None:
        """After a fork: the owners are the parent's, and must end with it."""
        for server in self._servers.values():
            if server.process is not None:
                server.process.returncode = 0  # not ours to wait for
                _close(server.process)
        self.__init__()  # type: ignore[misc]


def is_owned(host: str) -> bool:
    """Whether somebody listens on the socket of a folder. Raises `StoreError`."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(f"{host}/{_SOCKET}")
        except BlockingIOError:
            return True  # so many wait already that the system lets no more queue
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            raise _unusable(host, error) from error
    return True


def socket_host(folder: Path) -> str:
    """What a client gives as host to reach the owner of a folder, which is made.

    The folder, or a link to it with a short name where the path of the socket would be too long.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise StoreError(
            "A pglite: location needs Unix sockets, which Python does not have on this system.",
            code="database-unavailable",
            hint="Use a folder, or postgresql://...",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = folder.resolve(strict=True)
        if len(os.fsencode(real / _SOCKET)) <= _LONGEST_PATH:
            return str(real)
        return _short(real)
    except OSError as error:
        raise _unusable(folder, error) from error


def _short(folder: Path) -> str:
    links = Path(f"/tmp/timestep-{os.getuid()}")
    links.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = links.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{links} is not a folder of this user alone")
    link = links / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    if not link.is_symlink() or link.readlink() != folder:
        fresh = links / f"{link.name}.{os.getpid()}.{threading.get_ident()}"
        fresh.symlink_to(folder)
        fresh.replace(link)
    return str(link)


def _unusable(folder: object, error: OSError) -> StoreError:
    return StoreError(
        f"{folder} cannot hold a database: {error.strerror or error}.",
        code="database-unavailable",
        hint="Give a folder this user can write to.",
    )


def _start(folder: Path) -> subprocess.Popen[str] | None:
    """Starts an owner; None where another one was faster. Returns when there is one."""
    try:
        process = subprocess.Popen(
            [*_command(), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # an interrupt from the keyboard is for this process
        )
    except OSError as error:
        raise _no_server(f"{_command()[0]} cannot be started: {error.strerror}") from error
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        said = json.loads(line)
    except ValueError:
        _end(process)
        raise _no_server(f"{_command()[0]} does not serve, it says {line.strip()!r}") from None
    if said.get("owner"):
        return process
    _end(process)
    if refused := said.get("error"):
        raise StoreError(refused["message"], code=refused["code"], hint=refused["hint"])
    return None


def _end(process: subprocess.Popen[str] | None) -> None:
    if process is None:
        return
    _close(process)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _command() -> list[str]:
    """How `timestep-pglite` is started here. Raises `StoreError` (`database-unavailable`)."""
    if given := os.environ.get(COMMAND):
        return _of_path(Path(given)) if Path(given).exists() else shlex.split(given)
    if found := shutil.which("timestep-pglite"):
        return [found]
    here = Path.cwd()
    places = [
        folder / "node_modules" / "@timestep-ai" / "timestep" for folder in (here, *here.parents)
    ]
    places.append(Path(timestep.__file__).parents[1] / "typescript")
    for place in places:
        script = place / "dist" / "pglite" / "main.js"
        if script.is_file():
            return _of_path(script)
    raise _no_server("timestep-pglite was not found")


def _of_path(path: Path) -> list[str]:
    if path.suffix not in (".js", ".mjs"):
        return [str(path)]
    node = shutil.which("node")
    if node is None:
        raise _no_server("Node.js was not found")
    return [node, str(path)]


def _no_server(reason: str) -> StoreError:
    return StoreError(
        f"A pglite: location needs Node.js and the npm package @timestep-ai/timestep: {reason}.",
        code="database-unavailable",
        hint=(
            "Install them (npm install @timestep-ai/timestep @electric-sql/pglite), or name the "
            f"command in {COMMAND}. Without Node.js use a folder, or postgresql://..."
        ),
    )


_servers: Final = _Servers()
atexit.register(_servers.end)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_servers.forget)
