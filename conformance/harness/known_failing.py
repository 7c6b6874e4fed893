"""Failures that are known, and have to go on failing in exactly the listed way.

conformance/known-failing/<port>.yaml is a list of entries. A listed run that passes, fails
otherwise, has expired or does not exist fails the suite: the list never outlives its reasons.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import CaseError
from .report import Result

_KEYS = ("case", "pairing", "check", "message", "reason", "issue", "owner", "expires")


@dataclass(frozen=True)
class Entry:
    """A listed failure. `message` is the beginning of the failure's message; `expires` a day."""

    case: str
    pairing: str
    check: str
    message: str
    reason: str
    issue: str
    owner: str
    expires: datetime.date
    source: str

    @property
    def key(self) -> tuple[str, str]:
        return (self.case, self.pairing)

    def fits(self, result: Result) -> bool:
        """Whether `result` fails in the listed way."""
        return (
            result.status not in ("pass", "n/a")
            and result.check == self.check
            and result.message.startswith(self.message)
        )


def parse(data: Any, source: str) -> list[Entry]:
    """The entries of a parsed list. Raises CaseError."""
    entries = []
    for number, each in enumerate(data or (), 1):
        where = f"{source}: entry {number}"
        if not isinstance(each, Mapping) or set(each) != set(_KEYS):
            raise CaseError(f"{where}: an entry holds {', '.join(_KEYS)}")
        if empty := [key for key in _KEYS if not each[key]]:
            raise CaseError(f"{where}: {', '.join(empty)} is empty")
        if not re.match(r"https?://", str(each["issue"])):
            raise CaseError(f"{where}: issue is no link")
        if not isinstance(each["expires"], datetime.date):
            raise CaseError(f"{where}: expires is no day")
        entries.append(Entry(**{key: each[key] for key in _KEYS}, source=where))
    return entries


def mark(result: Result, entries: Iterable[Entry]) -> Result:
    """`result`, marked as known where an entry lists this very failure."""
    if any(entry.key == result.key and entry.fits(result) for entry in entries):
        return dataclasses.replace(result, known=True)
    return result


def stale(
    entries: Sequence[Entry],
    results: Iterable[Result],
    exist: Collection[tuple[str, str]],
    today: datetime.date,
) -> list[str]:
    """What is wrong with the lists, given what ran and which runs `exist` at all."""
    ran = {each.key: each for each in results if each.status != "not-run"}
    seen: set[tuple[str, str]] = set()
    found = []
    for entry in entries:
        name = f"{entry.source}: {entry.case} {entry.pairing}"
        if entry.key in seen:
            found.append(f"{name} is listed twice")
        seen.add(entry.key)
        if entry.key not in exist:
            found.append(f"{name} does not exist")
        if entry.expires < today:
            found.append(f"{name} expired on {entry.expires}")
        result = ran.get(entry.key)
        if result is None or entry.fits(result):
            continue
        if result.status in ("pass", "n/a"):
            found.append(f"{name} is {result.status}; take it off the list")
        else:
            first = result.message.partition("\n")[0]
            found.append(f"{name} fails otherwise: {result.check}: {first}")
    return found


def fixed(text: str, results: Iterable[Result], port: str) -> str:
    """The text of `port`'s list rewritten after a full run; comments and kept entries stay.

    Entries of runs that pass or no longer exist go. Entries that fail otherwise get the new check
    and message. New failures are added with empty reason, issue and owner: the list is refused
    until a person has filled them in.
    """
    by_key = {each.key: each for each in results}
    head, blocks = _blocks(text)
    kept = [head]
    listed: set[tuple[str, str]] = set()
    for block in blocks:
        key = (_value(block, "case"), _value(block, "pairing"))
        listed.add(key)
        result = by_key.get(key)
        if result is None or result.status in ("pass", "n/a"):
            continue
        if not result.known:
            block = _set(_set(block, "check", result.check), "message", _first_line(result))
        kept.append(block)
    for result in by_key.values():
        new = not result.green and result.status != "not-run" and result.key not in listed
        if new and result.ports[-1] == port:
            kept.append(_block(result))
    return "".join(kept)


def _blocks(text: str) -> tuple[str, list[str]]:
    """The comments a list begins with, and its entries, each with the comments above it."""
    head, blocks, comment = "", [], ""
    for line in text.splitlines(keepends=True):
        if line.startswith("- "):
            blocks.append(comment + line)
            comment = ""
        elif not blocks:
            head += line
        elif line.startswith((" ", "\t")):
            blocks[-1] += line
        else:
            comment += line
    return head, blocks


def _block(result: Result) -> str:
    values = {
        "case": result.case,
        "pairing": result.pairing,
        "check": result.check,
        "message": _first_line(result),
        "reason": "",
        "issue": "",
        "owner": "",
        "expires": "",
    }
    lines = [f"{key}: {_quoted(value)}" for key, value in values.items()]
    return "- " + "\n  ".join(lines) + "\n"


def _value(block: str, key: str) -> str:
    found = re.search(rf"(?m)^[- ] {key}: *(.*?) *$", block)
    return found[1].strip("\"'") if found else ""


def _set(block: str, key: str, value: str) -> str:
    return re.sub(
        rf"(?m)^([- ] {key}: ).*$", lambda found: found[1] + _quoted(value), block, count=1
    )


def _first_line(result: Result) -> str:
    return result.message.partition("\n")[0][:120]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
