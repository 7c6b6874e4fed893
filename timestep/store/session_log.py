"""Sessions in a folder: a log of items for each."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from timestep.store import generations, log
from timestep.store.log import Line, RunLog
from timestep.store.log_file import LogFile
from timestep.store.text import dumps

# JSON has no newline inside, so only a line of its own looks like this.
_CLEARED: Final = re.compile(rb'^\{"id":"[^"\n]*","at":"[^"\n]*","cleared":true\}\n', re.MULTILINE)


class SessionLogs:
    """The sessions in a folder. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, session_id: str, items: Sequence[str | bytes]) -> None:
        """Appends to a session, all or nothing."""
        if not items:
            return
        line = {**_mark(), "items": [_to_line(item) for item in items]}
        while True:
            opened = self._open(session_id)
            if opened is None:
                if generations.create(self._path(session_id), log.encode(line)):
                    return
                continue
            with opened:
                if _append(opened, line):
                    return

    def read(self, session_id: str, limit: int | None) -> list[str | bytes]:
        """The newest `limit` items, or all, oldest first."""
        opened = self._open(session_id)
        if opened is None:
            return []
        with opened:
            items, _ = _fold(opened.everything())
        newest = items if limit is None else items[max(0, len(items) - limit) :]
        return [_from_line(item) for item in newest]

    def pop(self, session_id: str) -> str | bytes | None:
        """Takes the newest item out. No two callers get the same one."""
        while (opened := self._open(session_id)) is not None:
            with opened:
                if not _fold(opened.everything())[0]:
                    return None
                line = {**_mark(), "pop": True}
                if _append(opened, line):
                    item = _fold(opened.everything())[1].get(line["id"])
                    return None if item is None else _from_line(item)
        return None

    def clear(self, session_id: str) -> None:
        """Removes a session. None there is no error."""
        opened = self._open(session_id)
        if opened is not None:
            with opened:
                _append(opened, {**_mark(), "cleared": True})
                generations.remove(opened.path)

    def _path(self, session_id: str) -> Path:
        return self._folder / generations.folder_name(session_id)

    def _open(self, session_id: str) -> LogFile | None:
        """The log of a session; removes one that is over."""
        folder = self._path(session_id)
        while (path := generations.newest(folder)) is not None:
            try:
                opened = LogFile.open(path, state=False)
            except FileNotFoundError:
                continue  # cleared since
            if _CLEARED.search(opened.everything()) is None:
                return opened
            opened.close()
            generations.remove(path)
        return None


def _append(opened: LogFile, line: Line) -> bool:
    """Whether the line is in the session, and not behind the end of its log."""
    opened.append_always(line)
    data = opened.everything()
    cleared = _CLEARED.search(data)
    if cleared is None:
        return opened.is_current()
    # What a session held when it was cleared was in it.
    return data.find(dumps(line) + b"\n") <= cleared.start()


def _fold(data: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The items there are, and those that were taken out, by the id of the line that did it."""
    items: list[Any] = []
    popped: dict[str, Any] = {}
    for entry in log.entries(data):
        line = entry.line
        if line.get("cleared") is True:
            break
        if "items" in line:
            items.extend(line["items"])
        elif line.get("pop") is True and items:
            popped[line["id"]] = items.pop()
    return items, popped


def _mark() -> Line:
    return log.mark(RunLog(), log.now())


def _to_line(item: str | bytes) -> Any:
    return item if isinstance(item, str) else {"sealed": b64encode(item).decode()}


def _from_line(item: Any) -> str | bytes:
    return item if isinstance(item, str) else b64decode(item["sealed"])
