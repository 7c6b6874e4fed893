"""A `timestep-pglite` that runs for a test."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

MAIN = Path(__file__).parents[2] / "typescript" / "dist" / "pglite" / "main.js"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not MAIN.exists(), reason="needs Node.js and the built package"
)


class Server:
    """The process, and where its socket is."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            ["node", str(MAIN), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())

    def options(self) -> dict[str, Any]:
        """What psycopg connects with; nothing about prepared statements."""
        return {
            "host": self.said["host"],
            "user": "postgres",
            "dbname": "postgres",
            "sslmode": "disable",
            "connect_timeout": 20,
        }

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return psycopg.connect(**self.options(), autocommit=autocommit)

    def stop(self) -> int:
        """Ends it as the end of its parent would; its exit code."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serves a folder; stops at the end, if it was not killed."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


@cache
def shared() -> Server:
    """A server for all tests of this process: to start one for each takes too long."""
    folder = tempfile.TemporaryDirectory(prefix="timestep-pglite-")
    server = Server(Path(folder.name) / "database")
    atexit.register(folder.cleanup)
    atexit.register(server.stop)
    return server


@contextmanager
def empty_database() -> Iterator[str]:
    """The location of a database nothing is in, served already."""
    server = shared()
    with server.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS timestep CASCADE")
    yield f"pglite:{server.said['host']}"
