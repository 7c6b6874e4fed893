"""Runs and sessions in a folder: a log for each (`docs/storage.md`)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from timestep.errors import StoreError
from timestep.store import generations, lines, log
from timestep.store.base import Facts, Piece, StoredRun
from timestep.store.log import Entry, Line, RunLog
from timestep.store.log_backend import LogBackend
from timestep.store.log_file import LogFile
from timestep.store.session_log import SessionLogs


class FolderBackend(LogBackend):
    """A folder that keeps runs and sessions. Nothing is created before something is saved."""

    def __init__(self, path: Path) -> None:
        self._runs = path / "runs"
        self._sessions = SessionLogs(path / "sessions")

    async def save(
        self, run_id: str, piece: Piece, facts: Facts, *, owner: str | None = None
    ) -> None:
        """Adds a revision, if it is one more than the newest and nobody else holds the run."""
        await asyncio.to_thread(self._save, run_id, piece, facts, owner)

    async def read(self, run_id: str, revision: int | None = None) -> StoredRun:
        """The newest revision, or the one asked for (`revision-not-found`)."""
        return await asyncio.to_thread(self._read, run_id, revision)

    async def clear(self, run_id: str) -> None:
        """Removes a run and all its revisions. None there is no error."""
        await asyncio.to_thread(self._clear, run_id)

    async def prune(self, run_id: str, oldest: Piece) -> int:
        """Removes the revisions before that of `oldest`, which is whole and takes its place."""
        return await asyncio.to_thread(self._prune, run_id, oldest)

    async def add_items(self, session_id: str, items: Sequence[str | bytes]) -> None:
        """Appends to a session, all or nothing: JSON text, or sealed bytes."""
        await asyncio.to_thread(self._sessions.add, session_id, items)

    async def read_items(self, session_id: str, limit: int | None = None) -> list[str | bytes]:
        """The newest `limit` items, or all, oldest first."""
        return await asyncio.to_thread(self._sessions.read, session_id, limit)

    async def pop_item(self, session_id: str) -> str | bytes | None:
        """Takes the newest item out. No two callers get the same one."""
        return await asyncio.to_thread(self._sessions.pop, session_id)

    async def clear_items(self, session_id: str) -> None:
        """Removes a session."""
        await asyncio.to_thread(self._sessions.clear, session_id)

    def _save(self, run_id: str, piece: Piece, facts: Facts, owner: str | None) -> None:
        data = log.data_line(_stored(piece))

        def line(state: RunLog) -> Line:
            return lines.revision_line(
                run_id, state, piece, facts, owner=owner, size=len(data), at=log.now()
            )

        while True:
            try:
                self._append(run_id, line, data)
                return
            except StoreError as error:
                if error.code != "state-not-found":
                    raise
            first = line(RunLog())
            if generations.create(self._folder(run_id), log.encode(first, data)):
                return

    def _read(self, run_id: str, revision: int | None) -> StoredRun:
        with self._need(run_id) as opened:
            newest = opened.state.revision
            wanted = newest if revision is None else revision
            found: list[Entry] = []
            if 1 <= wanted <= newest:
                found = list(_back_to_whole(opened.revisions(), wanted))
            if not found:
                raise StoreError(
                    f"the run {run_id} has no revision {wanted}", code="revision-not-found"
                )
            return StoredRun(
                revision=wanted,
                newest=newest,
                pieces=[_piece(opened, entry) for entry in reversed(found)],
                decisions=lines.decisions(run_id, opened.state, log.now()),
            )

    def _clear(self, run_id: str) -> None:
        try:
            self._append(run_id, lambda state: {**log.mark(state, log.now()), "cleared": True})
        except StoreError as error:
            if error.code != "state-not-found":
                raise
        # Whoever looks for the log meets its end, and removes it.
        if (opened := self._open(run_id)) is not None:
            opened.close()

    def _prune(self, run_id: str, oldest: Piece) -> int:
        data = log.data_line(_stored(oldest))
        while True:
            with self._need(run_id) as opened:
                known = [
                    entry.line["revision"]
                    for entry in opened.all().accepted
                    if "revision" in entry.line
                ]
                dropped = sum(1 for number in known if number < oldest.revision)
                if dropped == 0 or oldest.revision not in known:
                    return 0
                generation = generations.generation(opened.path) + 1
                line = lines.moved_line(opened.state, generation, oldest, len(data), log.now())
                if opened.append(line, data):
                    break
        self._need(run_id).close()
        return dropped

    def _folder(self, run_id: str) -> Path:
        return self._runs / generations.folder_name(run_id)

    def _open(self, run_id: str) -> LogFile | None:
        """The log of a run; finishes what somebody has begun to move or to clear."""
        folder = self._folder(run_id)
        while (path := generations.newest(folder)) is not None:
            try:
                opened = LogFile.open(path)
            except FileNotFoundError:
                continue  # moved or cleared since
            if opened.state.ended is None:
                return opened
            with opened:
                _finish(opened)
        return None

    def _need(self, run_id: str) -> LogFile:
        opened = self._open(run_id)
        if opened is not None and opened.state.current is not None:
            return opened
        if opened is not None:
            opened.close()
        raise lines.not_found(run_id)

    def _states(self) -> Iterator[tuple[str, RunLog]]:
        for run_id in generations.identifiers(self._runs):
            if (opened := self._open(run_id)) is not None:
                with opened:
                    if opened.state.current is not None:
                        yield run_id, opened.state


def _stored(piece: Piece) -> bytes:
    return piece.data if piece.text is None else zlib.compress(piece.text.encode())


def _back_to_whole(revisions: Iterator[Entry], wanted: int) -> Iterator[Entry]:
    """The revision that is wanted and those before it, back to a whole document."""
    for entry in revisions:
        if entry.line["revision"] > wanted:
            continue
        yield entry
        if "whole" in entry.line:
            return


def _piece(opened: LogFile, entry: Entry) -> Piece:
    """What a line has stored; nothing where that is damaged, which its checksum tells."""
    line = entry.line
    data = opened.data(entry) or b""
    base = None if "whole" in line else line["revision"] - 1
    return Piece(line["revision"], base, bytes.fromhex(line["check"]), data)


def _finish(opened: LogFile) -> None:
    """Does what the line at the end of a log says."""
    ended = opened.state.ended
    assert ended is not None
    if "moved" not in ended:
        generations.remove(opened.path)
        return
    *accepted, end = opened.all().accepted
    oldest = next(
        index
        for index, entry in enumerate(accepted)
        if entry.line.get("revision") == ended["oldest"]
    )
    content = b""
    last: str | None = None
    for entry in accepted[oldest:]:
        line = {key: value for key, value in entry.line.items() if key != "after"}
        data = _data_line(opened, entry)
        if last is None:
            line.update(whole=True, size=ended["size"], check=ended["check"])
            data = _data_line(opened, end)
        else:
            line["after"] = last
        last = line["id"]
        content += log.encode(line, data)
    generations.succeed(opened.path, content)


def _data_line(opened: LogFile, entry: Entry) -> bytes:
    size = entry.line.get("size", 0)
    return opened.read(entry.start - size, entry.start)
