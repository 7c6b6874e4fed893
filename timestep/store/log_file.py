"""The log of a run as a file: appended to and read by many processes at once, without locks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from timestep.store import log
from timestep.store.log import Entry, Folded, Line, RunLog


class LogFile:
    """A log that is open for one piece of work."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.state = RunLog()
        """What the log says, as far as it has been read."""
        self._descriptor = descriptor
        self._size = 0

    @classmethod
    def open(cls, path: Path, *, create: bool = False, state: bool = True) -> LogFile:
        """Opens the log and reads its end, for its state. Raises `OSError`."""
        flags = os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0)
        opened = cls(path, os.open(path, flags, 0o600))
        try:
            if state:
                opened.refresh()
        except BaseException:
            opened.close()
            raise
        return opened

    def __enter__(self) -> LogFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def append(self, line: Line, data: bytes = b"") -> bool:
        """Appends and syncs; whether the line was accepted, and the file is still the log.

        Raises `OSError`; nothing may be told as done then.
        """
        start = self._size
        self._write(log.encode(line, data))
        accepted = self.refresh(start).accepted
        if all(entry.line["id"] != line["id"] for entry in accepted):
            return False
        if self.is_current():
            return True
        # It was moved or cleared behind the line, which went on with it; or else the file is lost.
        self.refresh()
        return self.state.ended is not None

    def append_always(self, line: Line) -> None:
        """Appends a line that needs no state to count."""
        self._write(log.encode(line))

    def is_current(self) -> bool:
        """Whether the path still names this file."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def is_unchanged(self) -> bool:
        """Whether the file is as long as when it was read, and still the log."""
        return os.fstat(self._descriptor).st_size == self._size and self.is_current()

    def read(self, start: int, end: int) -> bytes:
        """A part of the file; less where it ends."""
        parts = []
        while start < end and (part := os.pread(self._descriptor, end - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def everything(self) -> bytes:
        """The whole file as it is now."""
        return self.read(0, os.fstat(self._descriptor).st_size)

    def all(self) -> Folded:
        """The accepted lines of the whole log."""
        return log.fold(log.entries(self.read(0, self._size)))

    def revisions(self) -> Iterator[Entry]:
        """The accepted revision lines, newest first, read from the end as they are asked for."""
        return log.revisions(self.read, self._size, self.state.last)

    def data(self, entry: Entry) -> bytes | None:
        """What a revision line stored; None where that is damaged."""
        return log.data(self.read, entry)

    def refresh(self, since: int | None = None) -> Folded:
        """Reads the state again, and the accepted lines from an offset on if there is one."""
        self._size = os.fstat(self._descriptor).st_size
        folded = log.tail(self.read, self._size, since=since)
        self.state = folded.state
        return folded

    def _write(self, data: bytes) -> None:
        written = os.write(self._descriptor, data)
        if written < len(data):
            raise OSError(
                errno.ENOSPC, f"only {written} of {len(data)} bytes were written", str(self.path)
            )
        os.fsync(self._descriptor)
