"""Which entries of two lists are versions of the same thing."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any


def alike(old: Any, new: Any) -> bool:
    """Whether two entries that differ are versions of the same thing."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    mark = _mark(old)
    if mark is not None:
        return mark == _mark(new)
    raw = old.get("raw_item")
    return raw is not None and old.get("type") == new.get("type") and raw == new.get("raw_item")


def anchors(
    old: list[Any], new: list[Any], start: int, before: int, after: int
) -> list[tuple[int, int]]:
    """The most entries between ``start`` and ``before`` that have kept their order.

    The nth entry of an identity is the same thing as the nth one in the other list.
    """
    if start in (before, after):
        return []
    places = dict(_numbered(old, start, before))
    found = [
        (places[mark], index) for mark, index in _numbered(new, start, after) if mark in places
    ]
    # The longest increasing sequence: `ends` are the indexes, in `found`, of the entries at which
    # a sequence of each length can end soonest.
    ends: list[int] = []
    lasts: list[int] = []
    previous: list[int] = []
    for index, (place, _) in enumerate(found):
        length = bisect_left(lasts, place)
        previous.append(ends[length - 1] if length else -1)
        ends[length : length + 1] = [index]
        lasts[length : length + 1] = [place]
    sequence: list[tuple[int, int]] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        sequence.append(found[at])
        at = previous[at]
    return sequence[::-1]


def _numbered(entries: list[Any], start: int, end: int) -> Iterator[tuple[tuple[str, int], int]]:
    """Identity and number of occurrence of entries, with their index."""
    seen: Counter[str] = Counter()
    for index in range(start, end):
        entry = entries[index]
        identity = _mark(entry) if isinstance(entry, dict) else None
        if identity is None:
            identity = json.dumps(entry, sort_keys=True)
        yield (identity, seen[identity]), index
        seen[identity] += 1


def _mark(entry: dict[str, Any]) -> str | None:
    """What an entry of a list is known by, whatever else of it changes: an operation of a patch by
    its path, an item by its type and id."""
    path = entry.get("path")
    if isinstance(path, str) and "op" in entry:
        return f"{entry['op']}\n{path}"
    item = entry.get("raw_item", entry.get("item", entry))
    if isinstance(item, dict):
        identifier = item.get("call_id", item.get("id"))
        if isinstance(identifier, str) and not identifier.startswith("__"):
            return f"{entry.get('type')}\n{item.get('type')}\n{identifier}"
    return None


def differs(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two objects are known to be different things."""
    marks = _mark(old), _mark(new)
    return old.get("type") != new.get("type") or (None not in marks and marks[0] != marks[1])
