"""Where the runs of a case are kept: a fresh file, folder or database for each run of it.

The harness also damages what is kept there, which takes more than the ports can be asked for.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import services
from .driver import Driver
from .errors import CaseError, DriverCrashed, NotHere
from .schemas import ROOT

Json = dict[str, Any]
_PATIENCE = 10.0  # seconds
_SERVER = ("node", str(ROOT / "typescript" / "dist" / "pglite" / "main.js"))


@dataclass(frozen=True)
class Place:
    """A place of `kind` under the name that ports know it by."""

    kind: str
    location: str

    def store(self, keys: Sequence[str]) -> Json:
        """What a driver is told of it. A key is made of its name."""
        made = [
            {"id": name, "key": base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()}
            for name in keys
        ]
        return {"location": self.location} | ({"keys": made} if made else {})

    async def damage(self, what: str, run_id: str, revision: int | None) -> None:
        """Does what a case says: flip, remove, tear, newer, fill, free. Raises CaseError."""
        if what in ("fill", "free"):
            _fill(Path(self.location).parent / "filler", full=what == "fill")
        elif self.kind == "folder":
            _damage_log(Path(self.location), what, run_id, revision)
        elif self.kind in ("postgresql", "pglite"):
            await asyncio.to_thread(self._damage_rows, what, run_id, revision)
        else:
            raise CaseError(f"nothing is damaged in a {self.kind}")

    async def kill_during(self, call: Coroutine[Any, Any, Json], driver: Driver) -> None:
        """Let `driver` make `call`, and kill it while the database works on it."""
        if self.kind != "postgresql":
            raise CaseError(f"no call is held in a {self.kind}")
        holding = await asyncio.to_thread(self._hold)
        task = asyncio.create_task(call)
        try:
            await asyncio.to_thread(_until, holding, "wait_event_type = 'Lock'", 1)
            driver.kill_now()
            with contextlib.suppress(DriverCrashed):
                await task
            # What the server was asked for it does, whoever asked; what comes then comes after it.
            holding.execute("ROLLBACK")
            await asyncio.to_thread(_until, holding, "state <> 'idle'", 0)
        finally:
            holding.close()

    def connect(self) -> Any:
        """A connection to the database, of the harness's own."""
        import psycopg

        at = self.location
        if self.kind == "pglite":
            folder = at.removeprefix("pglite:")
            at = f"host={folder} user=postgres dbname=postgres sslmode=disable"
        return psycopg.connect(at, autocommit=True, prepare_threshold=None)

    def _hold(self) -> Any:
        connection = self.connect()
        connection.execute("BEGIN")
        connection.execute("SELECT run_id FROM timestep.runs FOR UPDATE")
        return connection

    def _damage_rows(self, what: str, run_id: str, revision: int | None) -> None:
        with self.connect() as connection:
            done = connection.execute(_STATEMENTS[what], {"run_id": run_id, "revision": revision})
            if done.rowcount != 1:
                raise CaseError(f"{what}: {done.rowcount} rows are damaged, not one")


_STATEMENTS = {
    "flip": """
        UPDATE timestep.run_revisions
        SET data = set_byte(data, length(data) / 2, get_byte(data, length(data) / 2) # 1),
            document = replace(document, '"version"', '"versiom"')
        WHERE revision = %(revision)s
          AND run = (SELECT id FROM timestep.runs WHERE run_id = %(run_id)s)
    """,
    "remove": """
        DELETE FROM timestep.run_revisions
        WHERE revision = %(revision)s
          AND run = (SELECT id FROM timestep.runs WHERE run_id = %(run_id)s)
    """,
    "newer": """
        INSERT INTO timestep.migrations (version, name, applied_by)
        VALUES (9999, 'of a newer release', 'a newer release')
    """,
}


def _until(connection: Any, condition: str, count: int) -> None:
    """Until so many other connections to the same database are as `condition` says."""
    query = f"""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}
    """
    end = time.monotonic() + _PATIENCE
    while connection.execute(query).fetchone()[0] != count:
        if time.monotonic() > end:
            raise CaseError(f"no {count} connections to the database have {condition}")
        connection.execute("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")


def _damage_log(folder: Path, what: str, run_id: str, revision: int | None) -> None:
    log = max((folder / "runs" / run_id).glob("*.log"), key=lambda path: int(path.stem))
    data = log.read_bytes()
    if what == "tear":
        log.write_bytes(data + b'\n{"revision": 99, "at": "20')
        return
    lines = data.split(b"\n")
    values = [_parsed(line) for line in lines]
    at = next((i for i, each in enumerate(values) if each.get("revision") == revision), None)
    if at is None or not lines[at - 1].startswith(b"#"):
        raise CaseError(f"{what}: there is no revision {revision} in {log}")
    if what == "flip":
        stored = bytearray(lines[at - 1])
        stored[len(stored) // 2] ^= 1
        lines[at - 1] = bytes(stored)
    elif what == "remove":
        del lines[at - 1]
    else:
        raise CaseError(f"a log has no {what}")
    log.write_bytes(b"\n".join(lines))


def _fill(path: Path, *, full: bool) -> None:
    """Takes all room that is left on a disk, or gives it back."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while full:
            file.write(bytes(4096))


def _parsed(line: bytes) -> Json:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    """A small disk at `folder`, of `size` bytes. Raises NotHere where none may be mounted."""
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotHere(f"no disk can be mounted: {error.strerror}") from error
    if done.returncode != 0:
        raise NotHere(f"no disk can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


class Places:
    """Makes places. A PostgreSQL and a PGLite server start with the first that needs them."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._pglite: Place | None = None
        self._hurried = False

    @asynccontextmanager
    async def open(self, kind: str, folder: Path, *, served: bool) -> AsyncIterator[Place]:
        """An empty place of a kind, below `folder` where it is of files."""
        match kind:
            case "file":
                yield Place(kind, str(folder / "run.json"))
            case "folder":
                yield Place(kind, str(folder / "kept"))
            case "postgresql":
                if not self._hurried:
                    self._hurried = True
                    await asyncio.to_thread(_hurry)
                database = services.postgres()
                location = await asyncio.to_thread(database.__enter__)
                try:
                    yield Place(kind, location)
                finally:
                    await asyncio.to_thread(database.__exit__, None, None, None)
            case "pglite" if served:
                if self._pglite is None:
                    self._pglite = await self._stack.enter_async_context(_served())
                await asyncio.to_thread(_empty, self._pglite)
                yield self._pglite
            case _:
                yield Place(kind, f"pglite:{folder / 'kept'}")

    async def close(self) -> None:
        """End the server of PGLite."""
        await self._stack.aclose()


@asynccontextmanager
async def _served() -> AsyncIterator[Place]:
    """A PGLite that a process of the harness owns: ports are its clients."""
    with tempfile.TemporaryDirectory(prefix="pglite-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "kept"
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *_SERVER, str(folder), stdin=pipe, stdout=pipe, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            if not await process.stdout.readline():
                raise CaseError(f"the PGLite of the suite did not start: {await process.wait()}")
            yield Place("pglite", f"pglite:{folder}")
        finally:
            process.stdin.close()
            await process.wait()


def _hurry() -> None:
    """Lets a server that the harness started itself, and throws away, wait for no disk."""
    import psycopg

    if services.GIVEN not in os.environ:
        with psycopg.connect(services.server(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")


def _empty(place: Place) -> None:
    with place.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS timestep CASCADE")
