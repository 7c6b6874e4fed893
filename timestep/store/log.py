"""The log of a run or session: its lines, which of them count, and what they say.

The rules are those of `docs/storage.md`. Nothing here opens a file: a log is read through a
`Reader`, so the end of a long one is all that is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

from timestep.store.text import dumps

Line = dict[str, Any]
"""A line as JSON: `id`, `at`, mostly `after`, and what it says."""
Reader = Callable[[int, int], bytes]
"""Gives the bytes of the log from an offset up to another; fewer where the log ends."""

_DATA: Final = b"#"
_BLOCK: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A line and where it is in its log, in bytes; `end` is after its newline."""

    line: Line
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RunLog:
    """What the lines of a run say."""

    last: str | None = None
    """The id of the last accepted line."""
    current: Line | None = None
    """The line of the current revision."""
    decided: Mapping[str, Line] = field(default_factory=dict)
    """Decisions about calls that wait, by call id, maybe no longer good."""
    claim: Line | None = None
    """The claim that was taken last and not given back, maybe no longer held."""
    ended: Line | None = None
    """The `moved` or `cleared` line the log ends with."""

    @property
    def revision(self) -> int:
        """The number of the current revision, 0 where there is none."""
        return 0 if self.current is None else int(self.current["revision"])


@dataclass(frozen=True, slots=True)
class Folded:
    """The state some lines give, and which of them were accepted, in order."""

    state: RunLog
    accepted: tuple[Entry, ...]


def now() -> str:
    """This moment, as lines have it."""
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A moment as lines have it: UTC, in milliseconds. Such texts sort by time."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The moment a line names."""
    return datetime.fromisoformat(text)


def mark(state: RunLog, at: str) -> Line:
    """What a line that is written upon `state` has beside what it says."""
    own = {"id": token_hex(8), "at": at}
    return own if state.last is None else {**own, "after": state.last}


def encode(line: Mapping[str, Any], data: bytes = b"") -> bytes:
    """One write: the line behind its data line, after what another writer may have left torn."""
    return b"\n" + data + dumps(line) + b"\n"


def data_line(stored: bytes) -> bytes:
    """The line that keeps what a revision has stored, with its newline."""
    escaped = stored.replace(b"\x10", b"\x10P").replace(b"\n", b"\x10J")
    return _DATA + escaped + b"\n"


def parse(data: bytes) -> Line | None:
    """The line in these bytes; None for data, and for what is no line."""
    if len(data) < 2 or data.startswith(_DATA):
        return None
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return None
    return value


def entries(data: bytes, offset: int = 0) -> Iterator[Entry]:
    """The lines in a part of a log that begins at `offset`, without data and damage."""
    start = 0
    while (newline := data.find(b"\n", start)) != -1:
        if (line := parse(data[start:newline])) is not None:
            yield Entry(line, offset + start, offset + newline + 1)
        start = newline + 1


def entries_back(read: Reader, size: int) -> Iterator[Entry]:
    """The lines of a log of `size` bytes, the last one first; the data of revisions is not read."""
    log = _Backwards(read, size)
    end = log.line_start(size)  # what follows the last newline is not written yet
    while end > 0:
        start = log.line_start(end - 1)
        line = parse(log.text(start, end - 1))
        if line is not None:
            yield Entry(line, start, end)
            start -= _data_size(line, start)
        end = start


def apply(state: RunLog, line: Line) -> RunLog:
    """The state after an accepted line."""
    after = replace(state, last=line["id"])
    if "revision" in line:
        decided = {decision["call_id"]: decision for decision in line.get("decided", ())}
        return replace(after, current=line, decided=decided, claim=line.get("claim"))
    if "claim" in line:
        return replace(after, claim=line)
    if "release" in line:
        return replace(after, claim=None)
    if "decide" in line:
        return replace(after, decided={**state.decided, line["call_id"]: line})
    if "moved" in line or line.get("cleared") is True:
        return replace(after, ended=line)
    return after


def fold(lines: Iterable[Entry]) -> Folded:
    """The state of a log by all of its lines."""
    state = RunLog()
    known: set[str] = set()
    accepted = []
    for entry in lines:
        after = entry.line.get("after")
        upon_damage = after is not None and after not in known
        known.add(entry.line["id"])
        if state.ended is None and (after == state.last or upon_damage):
            if after is not None:
                known.add(after)
            state = apply(state, entry.line)
            accepted.append(entry)
    return Folded(state, tuple(accepted))


def tail(read: Reader, size: int, *, since: int | None = None) -> Folded:
    """The state of a log of `size` bytes, read from its end only as far back as is needed.

    With `since`, the accepted lines that begin there or later are all among those returned.
    """
    lines: list[Entry] = []
    wanted: set[str] = set()
    for entry in entries_back(read, size):
        lines.append(entry)
        identifier, after = entry.line["id"], entry.line.get("after")
        named = identifier in wanted
        wanted.discard(identifier)
        # Only an accepted line is written upon, so here begins what everybody agrees about.
        if (
            named
            and not wanted
            and "revision" in entry.line
            and (since is None or entry.start < since)
        ):
            return _fold_on(lines)
        if after is not None:
            wanted.add(after)
    return fold(reversed(lines))


def revisions(read: Reader, size: int, last: str | None) -> Iterator[Entry]:
    """The accepted revision lines of a log, the newest first; `last` is its last accepted line."""
    oldest: int | None = None
    expected = last
    for entry in entries_back(read, size):
        if entry.line["id"] != expected:
            continue
        expected = entry.line.get("after")
        if "revision" in entry.line:
            oldest = entry.start
            yield entry
        if expected is None:
            return
    if expected is None:
        return
    # A line that others were written upon is damaged: only all of the lines tell the rest.
    for entry in reversed(fold(entries(read(0, size))).accepted):
        if "revision" in entry.line and (oldest is None or entry.start < oldest):
            yield entry


def data(read: Reader, entry: Entry) -> bytes | None:
    """What a revision line has stored in the line before it; None where that is damaged."""
    size = entry.line["size"]
    if not size or size > entry.start:
        return None
    line = read(entry.start - size, entry.start)
    if not line.startswith(_DATA) or line.find(b"\n") != size - 1:
        return None
    return line[len(_DATA) : -1].replace(b"\x10J", b"\n").replace(b"\x10P", b"\x10")


class _Backwards:
    """Reads a log towards its beginning, a block at a time."""

    def __init__(self, read: Reader, size: int) -> None:
        self._read = read
        self._low = size
        self._held = b""  # the bytes from `_low` on

    def line_start(self, end: int) -> int:
        """Where the line begins that `end` is in or after: behind a newline, or at the start."""
        if end < self._low:
            self._low, self._held = end, b""
        block = _BLOCK
        while (newline := self._held.rfind(b"\n", 0, end - self._low)) == -1 and self._low > 0:
            low = max(0, self._low - block)
            self._held = self._read(low, self._low) + self._held[: end - self._low]
            self._low = low
            block *= 2
        return self._low + newline + 1

    def text(self, start: int, end: int) -> bytes:
        """Bytes of the line that was found last."""
        return self._held[start - self._low : end - self._low]


def _fold_on(backwards: list[Entry]) -> Folded:
    """The state by lines, last one first, the first of which is known to be accepted."""
    first, *others = reversed(backwards)
    state = apply(RunLog(), first.line)
    accepted = [first]
    for entry in others:
        if state.ended is None and entry.line.get("after") == state.last:
            state = apply(state, entry.line)
            accepted.append(entry)
    return Folded(state, tuple(accepted))


def _data_size(line: Line, start: int) -> int:
    """How many bytes before a line are its data."""
    size = line.get("size") if "revision" in line or "moved" in line else 0
    return size if isinstance(size, int) and 0 < size <= start else 0
