"""Where runs and sessions are kept: the forms a location has, and what is open there."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast
from weakref import WeakKeyDictionary

from timestep.errors import StoreError
from timestep.store.base import Backend

ENVIRONMENT: Final = "TIMESTEP_LOCATION"

_FORMS: Final = (
    "Give a .json file (one run), a folder (many runs and sessions), "
    "postgresql://user@host/database, or pglite:<folder>."
)
_DATABASE: Final = re.compile(r"postgres(ql)?://")
_PGLITE: Final = "pglite:"
# A name like "c:" has one letter before its colon; a scheme has more.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(//|$)")


@dataclass(frozen=True, slots=True)
class Location:
    """A location, understood: `target` is an absolute path, or the URL of a server."""

    kind: Literal["file", "folder", "postgresql", "pglite"]
    target: str

    @property
    def path(self) -> Path:
        """The file or folder; a server has none."""
        return Path(self.target)


def default_location() -> str:
    """The location of whoever names none: `TIMESTEP_LOCATION`, or the folder `.timestep`."""
    return os.environ.get(ENVIRONMENT) or ".timestep"


def parse(location: str | os.PathLike[str] | Location) -> Location:
    """What a location says. Raises `StoreError` (`unknown-location`)."""
    if isinstance(location, Location):
        return location
    name = os.fspath(location) if isinstance(location, str | os.PathLike) else ""
    if not isinstance(name, str) or not name or "\0" in name:
        raise _unknown(location)
    if _DATABASE.match(name):
        return Location("postgresql", name)
    if name.startswith(_PGLITE):
        folder = name.removeprefix(_PGLITE)
        if not folder or folder.startswith("//"):
            raise _unknown(location)
        return Location("pglite", str(Path(folder).absolute()))
    if _SCHEME.match(name):
        raise _unknown(location)
    path = Path(name).absolute()
    if path.is_dir():
        return Location("folder", str(path))
    if path.is_file():
        return Location("file", str(path))
    if path.exists():
        raise _unknown(location)
    return Location("file" if name.endswith(".json") else "folder", str(path))


async def open_backend(location: str | os.PathLike[str] | Location) -> Backend:
    """The backend of a location, shared by all who open it on this event loop.

    The last one to close it closes it for good. Raises `StoreError` (`unknown-location`), and
    what opening a database may.
    """
    parsed = parse(location)
    opened = _opened.setdefault(asyncio.get_running_loop(), {})
    shared = opened.get(parsed)
    if shared is None:
        shared = opened[parsed] = _Shared(asyncio.ensure_future(_open(parsed)))
    shared.users += 1

    def leave() -> bool:
        shared.users -= 1
        if shared.users == 0 and opened.get(parsed) is shared:
            del opened[parsed]
        return shared.users == 0

    try:
        backend = await asyncio.shield(shared.backend)
    except BaseException:
        if leave():
            _abandon(shared.backend)
        raise
    return cast(Backend, _User(backend, leave))


async def _open(location: Location) -> Backend:
    if location.kind == "postgresql":
        from timestep.store.postgres import open_postgres

        return await open_postgres(location.target)
    if location.kind == "pglite":
        from timestep.store.pglite import open_pglite

        return await open_pglite(location.path)
    if location.kind == "file":
        from timestep.store.file import FileBackend

        return FileBackend(location.path)
    from timestep.store.folder import FolderBackend

    return FolderBackend(location.path)


@dataclass(slots=True)
class _Shared:
    backend: asyncio.Future[Backend]
    users: int = 0


class _User:
    """One user's view of a backend, with an `aclose` of its own."""

    def __init__(self, backend: Backend, leave: Callable[[], bool]) -> None:
        self._backend = backend
        self._leave = leave
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            if self._leave():
                await self._backend.aclose()


def _abandon(opening: asyncio.Future[Backend]) -> None:
    """Closes what nobody waits for any more once it is open."""

    def close(opened: asyncio.Future[Backend]) -> None:
        if not opened.cancelled() and opened.exception() is None:
            _closing.add(task := asyncio.ensure_future(opened.result().aclose()))
            task.add_done_callback(_closing.discard)

    opening.add_done_callback(close)


def _unknown(location: object) -> StoreError:
    return StoreError(f"{location!r} is no location", code="unknown-location", hint=_FORMS)


_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Location, _Shared]] = WeakKeyDictionary()
_closing: set[asyncio.Future[None]] = set()
