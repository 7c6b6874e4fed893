"""Text for a terminal, equal in both ports: the same bytes for the same text."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

# What moves the cursor, changes the direction of writing or cannot be seen, and lone surrogates,
# which UTF-8 cannot carry. Joiners are not in it: scripts and emoji are written with them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_DEEPEST = 100
"""Levels of JSON that are indented; what is deeper is shown as it is."""


def visible(text: str) -> str:
    """The text with what a terminal would obey or hide as `\\uXXXX`, line ends included."""
    return _HIDDEN.sub(_escape, text)


def shorten(text: str, width: int) -> str:
    """The text on one line of `width` characters."""
    line = visible(re.sub("[ \t\r\n]+", " ", text).strip(" "))
    return line if len(line) <= width else f"{line[: width - 3]}..."


def indented(text: str) -> list[str]:
    """The lines of a text, indented where it is JSON; numbers stay as they are written."""
    try:
        json.loads(text, parse_constant=_no_constant, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return _split(text)
    lines, depth, before = [""], 0, ""
    for token in _TOKENS.findall(text):
        if token in "]}":
            depth -= 1
            if before not in "[{":
                lines.append("  " * depth)
        elif before and before in "[{,":
            lines.append("  " * depth)
        if token in "[{":
            depth += 1
            if depth > _DEEPEST:
                return _split(text)
        elif token[0] == '"':
            token = visible(json.dumps(json.loads(token), ensure_ascii=False))
        lines[-1] += f"{token} " if token == ":" else token
        before = token
    return lines


def table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Rows below each other, the last column cut where a line would be longer than `width`."""
    shown = [[visible(cell) for cell in row[:-1]] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    left = max(_NARROWEST, width - sum(each + 2 for each in widths))
    return [
        "".join(cell.ljust(each) + "  " for cell, each in zip(cells, widths, strict=True))
        + shorten(row[-1], left)
        for cells, row in zip(shown, rows, strict=True)
    ]


_NARROWEST = 24
"""The least characters of the last column of a table."""


def as_json(value: Any) -> Iterator[str]:
    """The lines of a value as JSON."""
    for line in json.dumps(value, indent=2, ensure_ascii=False).split("\n"):
        yield visible(line)


def say(lines: Iterable[str]) -> None:
    """Prints lines in UTF-8, whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())


def _split(text: str) -> list[str]:
    return [visible(line) for line in text.replace("\r\n", "\n").split("\n")]


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
