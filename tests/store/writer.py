"""A process that saves a run again and again, and says each revision once it is acknowledged.

`python -m tests.store.writer LOCATION [FAULT]`. It knows no SDK, so it starts quickly. With a
fault it kills itself at a place that a signal from outside would seldom meet.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from typing import Any

from timestep.errors import StoreError
from timestep.store import disk, generations, pieces
from timestep.store.base import Backend, Facts, Piece
from timestep.store.content import from_content, to_content
from timestep.store.location import open_backend, parse
from timestep.store.log_file import LogFile
from timestep.store.pieces import Known

RUN = "run"


def facts(document: dict[str, Any]) -> Facts:
    """The least a save says."""
    return Facts("Agent", "run_again", document["turn"], "python", None, [], {}, [], [])


class Writer:
    """A run, saved without the SDK."""

    def __init__(self, backend: Backend, location: str) -> None:
        self._backend = backend
        self._is_file = parse(location).kind == "file"
        self.known: Known | None = None

    async def load(self) -> None:
        """Reads the newest revision, if there is one."""
        try:
            stored = await self._backend.read(RUN)
        except StoreError as error:
            if error.code != "state-not-found":
                raise
            self.known = None
            return
        if self._is_file:
            [piece] = stored.pieces
            document = await from_content(piece.data, "the file", None)
            self.known = Known(piece.revision, document, 0, 0)
        else:
            self.known = await pieces.decode(RUN, stored, None)

    async def save(self) -> int:
        """Saves a document with more in it."""
        document: dict[str, Any] = {"turn": 0, "items": []}
        if self.known is not None:
            document = self.known.document
        text = random.randbytes(random.randrange(2_000)).hex()
        turn = document["turn"] + 1
        document = {"turn": turn, "items": [*document["items"][-50:], {"turn": turn, "text": text}]}
        piece, known = await self._encode(document)
        await self._backend.save(RUN, piece, facts(document))
        self.known = known
        return known.revision

    async def whole(self) -> Piece:
        """The newest revision as a whole piece."""
        assert self.known is not None
        before = Known(self.known.revision - 1, {}, 0, pieces.MOST)
        piece, _ = await pieces.encode(RUN, self.known.document, before, None)
        return piece

    async def _encode(self, document: dict[str, Any]) -> tuple[Piece, Known]:
        if not self._is_file:
            return await pieces.encode(RUN, document, self.known, None)
        revision = 1 if self.known is None else self.known.revision + 1
        content = await to_content(document, None)
        piece = Piece(revision, None, pieces.checksum(revision, None, content), content)
        return piece, Known(revision, document, 0, 0)


def die(*_: Any) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


FAULTS: dict[str, list[tuple[Any, str]]] = {
    "saved": [],  # the line of the save is there, and nothing after it
    "moving": [(generations, "succeed")],  # the old log is over, and there is no new one
    "moved": [(generations, "sync_folder")],  # both logs are there
    "clearing": [(generations, "remove"), (disk, "remove")],  # over, and everything still there
}


async def fail(fault: str, backend: Backend, writer: Writer) -> None:
    """Does the work in whose middle the process dies."""
    append = LogFile.append
    for place, name in FAULTS[fault]:
        setattr(place, name, die)
    if fault == "saved":
        LogFile.append = lambda *args: append(*args) and die()  # type: ignore[method-assign]
        await writer.save()
    elif fault == "clearing":
        await backend.clear(RUN)
    else:
        await backend.prune(RUN, await writer.whole())


async def main(location: str, fault: str = "") -> None:
    backend = await open_backend(location)
    writer = Writer(backend, location)
    await writer.load()
    if fault:
        await fail(fault, backend, writer)
    while True:
        try:
            print(await writer.save(), flush=True)
        except StoreError as error:
            if error.code != "stale-state":
                raise
            await writer.load()
        except OSError as error:
            print(f"full: {error}", flush=True)
            return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
