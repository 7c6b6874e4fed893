"""One run in one file, with a log beside it (`docs/storage.md`)."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from timestep.errors import DocumentError, StoreError
from timestep.state import validate
from timestep.store import disk, lines, log
from timestep.store.base import Facts, Piece, Revision, StoredRun
from timestep.store.content import FORMAT as SEALED
from timestep.store.facts import facts as facts_of
from timestep.store.log import Line, RunLog
from timestep.store.log_backend import Addition, LogBackend
from timestep.store.log_file import LogFile
from timestep.store.pieces import checksum
from timestep.store.text import decode, refuse_raw_snapshot

SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is there: the document, the log if there is one, and what they say together."""

    content: bytes | None
    log: LogFile | None
    state: RunLog
    adoption: Line | None
    """The line for a document the log does not know; `state` has it already."""


class FileBackend(LogBackend):
    """A file that keeps one run, in its newest revision only.

    The data of its pieces is the content of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.run_id = path.name.removesuffix(SUFFIX)
        """The id of the run: the name of the file without `.json`."""

    async def save(
        self, run_id: str, piece: Piece, facts: Facts, *, owner: str | None = None
    ) -> None:
        """Replaces the document, if it is the revision before and nobody else holds the run."""
        self._check(run_id)
        await asyncio.to_thread(self._save, piece, facts, owner)

    async def read(self, run_id: str, revision: int | None = None) -> StoredRun:
        """The document; another revision than the newest is `revision-not-found`."""
        self._check(run_id)
        return await asyncio.to_thread(self._read, revision)

    async def clear(self, run_id: str) -> None:
        """Removes the document and its log. None there is no error."""
        self._check(run_id)
        await asyncio.to_thread(self._clear)

    async def history(self, run_id: str) -> list[Revision]:
        """The newest revision, which is all there is."""
        stored = await self.read(run_id)
        state = await asyncio.to_thread(self._state, run_id)
        assert state.current is not None
        size = len(stored.pieces[0].data)
        return [lines.revision({**state.current, "size": size})]

    async def prune(self, run_id: str, oldest: Piece) -> int:
        """Removes nothing: only the newest revision is kept anyway."""
        self._check(run_id)
        return 0

    async def add_items(self, session_id: str, items: Sequence[str | bytes]) -> None:
        """Raises `StoreError` (`unknown-location`): a file keeps no sessions."""
        self._refuse_sessions()

    async def read_items(self, session_id: str, limit: int | None = None) -> list[str | bytes]:
        """Raises `StoreError` (`unknown-location`): a file keeps no sessions."""
        self._refuse_sessions()

    async def pop_item(self, session_id: str) -> str | bytes | None:
        """Raises `StoreError` (`unknown-location`): a file keeps no sessions."""
        self._refuse_sessions()

    async def clear_items(self, session_id: str) -> None:
        """Raises `StoreError` (`unknown-location`): a file keeps no sessions."""
        self._refuse_sessions()

    def _save(self, piece: Piece, facts: Facts, owner: str | None) -> None:
        target = disk.real_path(self._path)
        temporary = target.with_name(disk.temporary_name(target))

        def line(state: RunLog) -> Line:
            return lines.revision_line(
                self.run_id,
                state,
                piece,
                facts,
                owner=owner,
                size=0,
                at=log.now(),
                file=temporary.name,
            )

        with self._look() as (_, state):
            line(state)  # raises what is due before anything is written
        folders = disk.create_folders(target.parent)
        try:
            while True:
                with self._writing() as opened:
                    disk.write(temporary, piece.data)
                    if opened.append(added := line(opened.state)):
                        break
                    temporary.unlink(missing_ok=True)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if not _put_in_place(temporary, target):
            self._expect(added)
        for folder in folders:
            disk.sync_folder(folder)

    def _read(self, revision: int | None) -> StoredRun:
        with self._look() as (content, state):
            if content is None or state.current is None:
                raise self._not_found()
            if revision not in (None, state.revision):
                raise StoreError(
                    f"{self._path} has no revision {revision}, only {state.revision}",
                    code="revision-not-found",
                )
            check = bytes.fromhex(state.current["check"])
            return StoredRun(
                revision=state.revision,
                newest=state.revision,
                pieces=[Piece(state.revision, None, check, content)],
                decisions=lines.decisions(self.run_id, state, log.now()),
            )

    def _clear(self) -> None:
        while True:
            with self._look() as _, self._open() as opened:
                if opened is None:
                    disk.remove(self._path)
                    return
                if opened.append({**log.mark(opened.state, log.now()), "cleared": True}):
                    if opened.is_current():
                        disk.remove(self._path)
                        self._remove_leftovers()
                    self._finish(opened)
                    return

    def _append(self, run_id: str, addition: Addition, data: bytes = b"") -> Line:
        self._check(run_id)
        if addition(self._state(run_id)) is None:  # or raises, before anything is written
            return {}
        while True:
            with self._writing() as opened:
                if opened.state.current is None:
                    raise self._not_found()
                line = addition(opened.state)
                if line is None or opened.append(line, data):
                    return line or {}

    def _state(self, run_id: str) -> RunLog:
        self._check(run_id)
        with self._look() as (_, state):
            if state.current is None:
                raise self._not_found()
            return state

    def _states(self) -> Iterator[tuple[str, RunLog]]:
        with self._look() as (content, state):
            if state.current is not None:
                if content is not None and not state.current["agent"]:
                    _refuse_damaged(content, str(self._path))
                yield self.run_id, state

    def _lines(self, run_id: str) -> list[Line]:
        state = self._state(run_id)
        with self._open() as opened:
            accepted = [] if opened is None else [each.line for each in opened.all().accepted]
        known = any(line["id"] == state.last for line in accepted)
        return accepted if known or state.current is None else [*accepted, state.current]

    @contextmanager
    def _look(self) -> Iterator[tuple[bytes | None, RunLog]]:
        """The document and what is known of it, without writing anything new."""
        with self._see() as seen:
            yield seen.content, seen.state

    @contextmanager
    def _writing(self) -> Iterator[LogFile]:
        """The log, with a line for the document that is there."""
        while True:
            with self._see() as seen:
                if seen.log is None:
                    target = self._log_path()
                    folders = disk.create_folders(target.parent)
                    LogFile.open(target, create=True).close()
                    for folder in folders:
                        disk.sync_folder(folder)
                elif seen.content is None and seen.log.state.current is not None:
                    # Somebody has removed the document, and with it the run.
                    seen.log.append({**log.mark(seen.log.state, log.now()), "cleared": True})
                elif seen.adoption is None or seen.log.append(seen.adoption):
                    yield seen.log
                    return

    @contextmanager
    def _see(self) -> Iterator[_Seen]:
        while True:
            with self._open() as opened:
                if opened is not None:
                    _finish_save(opened.state, disk.real_path(self._path))
                try:
                    content = disk.read(self._path)
                except FileNotFoundError:
                    content = None
                if not self._is_unchanged(opened):
                    continue  # somebody saves right now
                yield self._seen(content, opened)
                return

    def _seen(self, content: bytes | None, opened: LogFile | None) -> _Seen:
        if content is None:
            return _Seen(None, opened, RunLog(), None)
        state = RunLog() if opened is None else opened.state
        if state.current is not None and state.current["check"] == _check_of(state, content):
            return _Seen(content, opened, state, None)
        changed = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        line = _adoption(self.run_id, state, content, log.stamp(changed))
        return _Seen(content, opened, log.apply(state, line), line)

    @contextmanager
    def _open(self) -> Iterator[LogFile | None]:
        """The log; finishes what somebody has begun to clear."""
        while True:
            try:
                opened = LogFile.open(self._log_path())
            except FileNotFoundError:
                yield None
                return
            with opened:
                if opened.state.ended is None:
                    yield opened
                    return
                self._finish(opened)

    def _finish(self, opened: LogFile) -> None:
        """Removes the document of a log that is over, unless it is another one, and the log."""
        target = disk.real_path(self._path)
        if not opened.is_current():
            return
        try:
            content = disk.read(target)
        except FileNotFoundError:
            content = None
        state = opened.state
        own = None if state.current is None else state.current["check"]
        if content is not None and own == _check_of(state, content):
            disk.remove(target)
        if opened.is_current():
            disk.remove(opened.path)

    def _remove_leftovers(self) -> None:
        """Removes what writers that died before they wrote their line have left behind."""
        target = disk.real_path(self._path)
        for path in target.parent.iterdir():
            if path.name.startswith(f".{target.name}.") and path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)

    def _expect(self, line: Line) -> None:
        """Checks that a save whose temporary file has gone was finished by somebody else."""
        with self._see() as seen:
            state = RunLog() if seen.log is None else seen.log.state
            is_newest = state.current is not None and state.current["id"] == line["id"]
            if is_newest and (seen.content is None or seen.adoption is not None):
                raise FileNotFoundError(
                    errno.ENOENT, "the temporary file was removed", line["file"]
                )

    def _is_unchanged(self, opened: LogFile | None) -> bool:
        return not self._log_path().exists() if opened is None else opened.is_unchanged()

    def _log_path(self) -> Path:
        target = disk.real_path(self._path)
        return target.with_name(f"{target.name}.log")

    def _check(self, run_id: str) -> None:
        if run_id != self.run_id:
            raise StoreError(
                f"{self._path} keeps the run {self.run_id}, not {run_id}",
                code="unknown-location",
                hint="Give a folder or a database for many runs.",
            )

    def _not_found(self) -> StoreError:
        return StoreError(f"no run state at {self._path}", code="state-not-found")

    def _refuse_sessions(self) -> NoReturn:
        raise StoreError(
            f"{self._path} is a file, which keeps no sessions",
            code="unknown-location",
            hint="Give a folder or a database.",
        )


def _check_of(state: RunLog, content: bytes) -> str:
    return checksum(state.revision, None, content).hex()


def _adoption(run_id: str, state: RunLog, content: bytes, at: str) -> Line:
    """The line of a document that somebody else has put there."""
    revision = state.revision + 1
    piece = Piece(revision, None, checksum(revision, None, content), content)
    owner = None if state.claim is None else state.claim["claim"]
    line = lines.revision_line(run_id, state, piece, _facts_of(content), owner=owner, size=0, at=at)
    line.pop("owner", None)
    return line


def _facts_of(content: bytes) -> Facts:
    """The facts of a document; next to nothing where it is sealed or damaged."""
    try:
        document = decode(content, "the file")
        validate(document)
    except DocumentError:
        return Facts("", "not_started", 0, "python", None, (), {}, (), ())
    return facts_of(document, None, {})


def _refuse_damaged(content: bytes, source: str) -> None:
    """Raises `DocumentError` for what is no document, sealed or in clear."""
    document = decode(content, source)
    if document.get("format") != SEALED:
        refuse_raw_snapshot(document, source)
        validate(document)


def _finish_save(state: RunLog, target: Path) -> None:
    """Puts the document of the newest revision in place, if its writer did not come to that."""
    name = None if state.current is None else state.current.get("file")
    if name is not None and name == Path(name).name:
        _put_in_place(target.with_name(name), target)


def _put_in_place(temporary: Path, target: Path) -> bool:
    """Renames the file; False where it is not there, because somebody else was quicker."""
    try:
        temporary.replace(target)
    except FileNotFoundError:
        return False
    disk.sync_folder(target.parent)
    return True
