"""Every byte between the harness and the drivers, kept as NDJSON that can be replayed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_WIDTH = 400


@dataclass(frozen=True)
class Entry:
    """One line. `way` is `in` (to the driver), `out`, `err` (its stderr) or `note`."""

    at: float
    port: str
    way: str
    text: str

    def line(self) -> str:
        """The entry as a line of the transcript file."""
        value = {"at": round(self.at, 4), "port": self.port, "way": self.way, "text": self.text}
        return json.dumps(value, ensure_ascii=True) + "\n"


@dataclass
class Transcript:
    """Appends to `path`, and keeps what belongs to the running case."""

    path: Path | None = None
    entries: list[Entry] = field(default_factory=list)
    _file: IO[str] | None = None
    _begin: float = field(default_factory=time.monotonic)

    def add(self, port: str, way: str, text: str) -> None:
        """Keep one line; bytes that are no UTF-8 arrive here backslash-escaped."""
        entry = Entry(time.monotonic() - self._begin, port, way, text)
        self.entries.append(entry)
        if self.path is not None:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("w")
            self._file.write(entry.line())

    def take(self) -> list[Entry]:
        """What was added since the last call."""
        taken, self.entries = self.entries, []
        return taken

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read(path: Path) -> list[Entry]:
    """The entries of a transcript file."""
    values: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    return [Entry(each["at"], each["port"], each["way"], each["text"]) for each in values]


def show(entries: Iterable[Entry], *, width: int | None = _WIDTH) -> str:
    """Entries for a person, long lines cut in the middle; `width` None cuts nothing."""
    arrows = {"in": ">", "out": "<", "err": "!", "note": "#"}
    lines = []
    for each in entries:
        text = each.text
        if width is not None and len(text) > width:
            half = width // 2
            text = f"{text[:half]} ... {len(text) - 2 * half} characters ... {text[-half:]}"
        lines.append(f"{each.at:8.3f} {each.port:<10} {arrows[each.way]} {text}")
    return "\n".join(lines)
