"""The log of a run: which lines count, by the vectors that both ports share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from timestep.store import lines, log

VECTORS = Path(__file__).parents[1] / "vectors" / "logs"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(VECTORS.glob("*.json"))
    for case in json.loads(path.read_text("utf-8"))
]


def ids(entries: Any) -> list[str]:
    return [entry.line["id"] for entry in entries]


def summary(state: log.RunLog) -> dict[str, Any]:
    current = state.current or {}
    keys = ("call_id", "agent", "kind", "digest", "since", "at")
    ended = (
        None if state.ended is None else next(k for k in ("moved", "cleared") if k in state.ended)
    )
    return {
        "last": state.last,
        "revision": current.get("revision"),
        "pending": [{key: call[key] for key in keys} for call in lines.pending_of(state.current)],
        "decided": {call: line["decide"] for call, line in state.decided.items()},
        "claim": None if state.claim is None else state.claim["claim"],
        "ended": ended,
    }


@pytest.mark.parametrize("case", CASES)
def test_the_lines_say_the_state(case: dict[str, Any]) -> None:
    entries = list(log.entries(case["log"].encode()))
    folded = log.fold(entries)
    accepted = ids(folded.accepted)
    assert {
        "accepted": accepted,
        "void": [each for each in ids(entries) if each not in accepted],
        "revisions": [each.line["revision"] for each in folded.accepted if "revision" in each.line],
        **summary(folded.state),
    } == case["expect"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("block", [16 * 1024, 7])
def test_the_end_of_a_log_says_the_same(
    case: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_BLOCK", block)
    data: bytes = case["log"].encode()

    def read(start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(data)
        return data[start:end]

    folded = log.tail(read, len(data))
    assert folded.state == log.fold(log.entries(data)).state
    revisions = [
        each.line["revision"] for each in log.revisions(read, len(data), folded.state.last)
    ]
    assert revisions == case["expect"]["revisions"][::-1]
    everything = log.tail(read, len(data), since=0)
    assert ids(everything.accepted) == case["expect"]["accepted"]


@pytest.mark.parametrize("case", CASES)
def test_a_log_says_the_same_however_it_grew(case: dict[str, Any]) -> None:
    """A verdict never changes: what is accepted in a part of a log is accepted in all of it."""
    data = case["log"].encode()
    final = case["expect"]["accepted"]
    for end in {*range(0, len(data), 97), *(len(data) - back for back in range(1, 3))}:
        accepted = ids(log.fold(log.entries(data[:end])).accepted)
        assert accepted == final[: len(accepted)]


def test_a_state_is_known_without_reading_the_whole_log() -> None:
    state, data = log.RunLog(), b""
    for number in range(1, 51):
        stored = log.data_line(b"\x78\x9c\xab" * 20_000)
        line = {
            **log.mark(state, log.now()),
            "revision": number,
            "size": len(stored),
            "pending": [],
        }
        data += log.encode(line, stored)
        state = log.apply(state, line)
    was_read = 0

    def read(start: int, end: int) -> bytes:
        nonlocal was_read
        was_read += end - start
        return data[start:end]

    assert log.tail(read, len(data)).state == state
    assert was_read <= 2 * 16 * 1024
    newest = next(log.revisions(read, len(data), state.last))
    assert log.data(read, newest) == b"\x78\x9c\xab" * 20_000


@pytest.mark.parametrize("line", [b'{"id":"a\xe1"}', b'\xef\xbb\xbf{"id":"a"}', b'["id"]', b"{}"])
def test_what_is_no_line_is_none(line: bytes) -> None:
    assert log.parse(line) is None
    assert log.parse(b'{"id":"a\xc3\xa1"}') == {"id": "a\u00e1"}


@pytest.mark.parametrize(
    "stored", [b"", bytes(range(256)), b"\n\x10\x10\n\x10J\x10P\x10\x10J\x10PJ\n\n", b"#{}\n#\n"]
)
def test_data_is_one_line_whatever_it_is(stored: bytes) -> None:
    line = log.data_line(stored)
    assert line.index(b"\n") == len(line) - 1
    assert list(log.entries(line)) == []
    entry = log.Entry({"size": len(line)}, len(line), len(line) + 1)
    assert log.data(lambda start, end: line[start:end], entry) == stored


@pytest.mark.parametrize(
    "stored",
    [b"#eJyr", b"#eJ\nyr\n", b"#\n\n", b"eJyr\n", b"\n", b"{}\n"],
)
def test_damaged_data_is_none(stored: bytes) -> None:
    entry = log.Entry({"size": len(stored)}, len(stored), len(stored) + 1)
    assert log.data(lambda start, end: stored[start:end], entry) is None
