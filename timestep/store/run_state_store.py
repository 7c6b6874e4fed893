"""The store of one run's state."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from timestep.errors import CrossingError, StoreError
from timestep.state import dump_run_state, load_run_state
from timestep.store import file
from timestep.store.text import decode, encode, refuse_raw_snapshot

if TYPE_CHECKING:
    from agents import Agent, RunState

TContext = TypeVar("TContext")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(//|$)")


class RunStateStore(Generic[TContext]):
    """Keeps the state of one run at `location` as a portable document both ports read.

    `location` is the path of a file; `agent` is the agent the run started with. Any other form
    raises `StoreError` (`unknown-location`).
    """

    def __init__(self, location: str | os.PathLike[str], agent: Agent[TContext]) -> None:
        self._path = _file_path(location)
        self._agent = agent

    async def save(self, state: RunState[TContext]) -> None:
        """Replaces what is stored by `state`: atomic, flushed to the disk, file mode 0600.

        Parent folders are created. Of concurrent saves one is left, whole. Raises the errors of
        `timestep.state.dump_run_state`, and `OSError`.
        """
        data = encode(dump_run_state(state).document)
        await self._in_thread(file.replace, self._path, data)

    async def load(self, *, context: Any = None) -> RunState[TContext]:
        """The official SDK's own `RunState`, ready to approve, reject and resume.

        `context` is the run's context where the document does not hold its data. Raises
        `StoreError` (`state-not-found`), `DocumentError` (`malformed` with line and column,
        `not-a-run-state`), `CrossingError` (`run-completed`), and the errors of
        `timestep.state.load_run_state`.
        """
        try:
            data = await self._in_thread(file.read, self._path)
        except FileNotFoundError:
            raise StoreError(
                f"no run state at {self._path}",
                code="state-not-found",
                hint="save one there first; the file may have been cleared",
            ) from None
        source = str(self._path)
        document = decode(data, source)
        refuse_raw_snapshot(document, source)
        if document.get("status") == "completed":
            raise CrossingError(
                f"{source} holds a run that is over: nothing is left to resume",
                code="run-completed",
                hint="continue the conversation in a new run, with its input and items as input",
            )
        return await load_run_state(document, self._agent, context=context)

    async def clear(self) -> None:
        """Removes what is stored. Nothing stored is no error. Raises `OSError`."""
        await self._in_thread(file.remove, self._path)

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *arguments)
        except IsADirectoryError:
            raise StoreError(
                f"{self._path} is a folder", code="unknown-location", hint="give the path of a file"
            ) from None


def _file_path(location: str | os.PathLike[str]) -> Path:
    name = os.fspath(location)
    if not name or _URL.match(name):
        raise StoreError(
            f"no run state store for the location {name!r}",
            code="unknown-location",
            hint="give the path of a file, for example 'runs/weather.json'",
        )
    return Path(name)
