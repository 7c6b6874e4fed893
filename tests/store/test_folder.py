"""Runs and sessions in a folder: what is on the disk, and what is left of what was damaged."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.store.runs import RUN, paused, store_at, text_of
from timestep import Approvals, RunStateStore, StoreError
from timestep.store import log
from timestep.store.folder import FolderBackend
from timestep.store.generations import folder_name, identifiers
from timestep.store.location import open_backend
from timestep.store.log_file import LogFile
from timestep.store.text import dumps

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "place"


def log_of(place: Path, run_id: str = RUN) -> Path:
    [path] = (place / "runs" / folder_name(run_id)).iterdir()
    return path


async def saved(place: Path, count: int, text: str = "question") -> RunStateStore[Any]:
    """A store with some revisions, the first a whole document and the others deltas."""
    store = store_at(str(place))
    for number in range(1, count + 1):
        await store.save(await paused(text=f"{text} {number}"))
    return store


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("order-17_B", "order-17_B"),
        ("a.b~c", "a%2Eb%7Ec"),
        ("../x", "%2E%2E%2Fx"),
        ("Ær ø", "%C3%86r%20%C3%B8"),
        ("100%", "100%25"),
        ("🌦", "%F0%9F%8C%A6"),
    ],
)
async def test_an_id_has_a_name_and_comes_back(tmp_path: Path, identifier: str, name: str) -> None:
    assert folder_name(identifier) == name
    (tmp_path / name).mkdir()
    (tmp_path / ".0123").mkdir()
    (tmp_path / "not a name").mkdir()
    assert list(identifiers(tmp_path)) == [identifier]


async def test_an_id_whose_name_is_too_long_is_refused() -> None:
    assert len(folder_name("x" * 200)) == 200
    with pytest.raises(StoreError) as caught:
        folder_name("🌦" * 22)
    assert caught.value.code == "unknown-location"


async def test_a_run_is_one_log_for_its_owner(place: Path) -> None:
    old_mask = os.umask(0)
    try:
        await saved(place, 3)
    finally:
        os.umask(old_mask)
    path = log_of(place)
    assert int(path.stem) > 10**15
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, place):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [each.name for each in (place / "runs").iterdir()] == [RUN]


async def test_reading_creates_nothing(place: Path) -> None:
    store = store_at(str(place))
    assert await store.list() == []
    await store.clear()
    with pytest.raises(StoreError):
        await store.load()
    backend = await open_backend(place)
    assert await backend.read_items("one") == []
    assert await backend.pop_item("one") is None
    await backend.clear_items("one")
    assert await backend.approvals() == []
    assert not place.exists()


async def test_a_folder_with_other_things_in_it_is_used(place: Path) -> None:
    (place / "runs" / "empty").mkdir(parents=True)
    (place / "runs" / "notes.txt").write_text("mine")
    (place / "runs" / "other").mkdir()
    (place / "runs" / "other" / "notes.log").write_text("mine")
    (place / "runs" / RUN).mkdir()
    store = await saved(place, 1)
    assert [run.run_id for run in await store.list()] == [RUN]
    await store.clear()
    assert (place / "runs" / "other" / "notes.log").read_text() == "mine"


async def test_what_a_dead_writer_left_in_the_folder_of_a_run_is_in_nobodys_way(
    place: Path,
) -> None:
    store = await saved(place, 2)
    (log_of(place).parent / ".0123").write_text("half a log")
    (place / "runs" / ".4567").mkdir()
    assert await store.prune(keep=1) == 1
    await store.clear()
    assert not (place / "runs" / RUN).exists()
    (place / "runs" / RUN).mkdir()
    (place / "runs" / RUN / ".89ab").write_text("half a log")
    assert await store.save(await paused()) == 1


def changed(path: Path, revision: int, change: Any) -> None:
    """Damages the data of a revision, or its line."""
    content = path.read_bytes()
    [entry] = [each for each in log.entries(content) if each.line.get("revision") == revision]
    start = entry.start - entry.line["size"]
    data, line = content[start : entry.start], content[entry.start : entry.end]
    path.write_bytes(content[:start] + change(data, line) + content[entry.end :])


def flip(data: bytes, line: bytes) -> bytes:
    stored = bytearray(data)
    stored[len(stored) // 2] ^= 1
    return bytes(stored) + line


def other_checksum(data: bytes, line: bytes) -> bytes:
    said = json.loads(line)
    return data + dumps({**said, "check": "0" * 16}) + b"\n"


def cut_in_two(data: bytes, line: bytes) -> bytes:
    return data[:40] + b"\n" + data[41:] + line


def no_data(data: bytes, line: bytes) -> bytes:
    return b"x" * (len(data) - 1) + b"\n" + line


def no_line(data: bytes, line: bytes) -> bytes:
    return data + b"x" * (len(line) - 1) + b"\n"


@pytest.mark.parametrize("damage", [flip, cut_in_two, other_checksum, no_data, no_line])
async def test_a_damaged_revision_is_named_and_those_before_it_load(
    place: Path, damage: Any
) -> None:
    store = await saved(place, 6)
    changed(log_of(place), 4, damage)
    for revision in (None, 4, 5, 6):
        with pytest.raises(StoreError) as caught:
            await store.load(revision=revision)
        error = caught.value
        assert (error.code, error.revision, error.loadable) == ("damaged-history", 4, 3)
    assert text_of(await store.load(revision=3)) == "question 3"
    [run] = await store.list()
    assert (run.revision, run.pending) == (6, 1)
    async with await store.fork(revision=3) as fork:
        assert text_of(await fork.load()) == "question 3"


async def test_the_newest_whole_revision_before_the_damage_is_loadable(place: Path) -> None:
    store = store_at(str(place))
    await store.save(await paused(text="one"))
    await store.save(await paused(text="two"))
    async with store_at(str(place)) as other:  # what has not read the one before writes a whole
        await other.load()
        other._known = pieces_known(other)
        await other.save(await paused(text="three"))
    assert [each.whole for each in await store.history()] == [True, False, True]
    changed(log_of(place), 3, flip)
    with pytest.raises(StoreError) as caught:
        await store.load()
    assert (caught.value.revision, caught.value.loadable) == (3, 2)
    changed(log_of(place), 1, flip)
    with pytest.raises(StoreError) as caught:
        await store.load()
    assert (caught.value.revision, caught.value.loadable) == (3, None)


def pieces_known(store: RunStateStore[Any]) -> Any:
    from dataclasses import replace

    known = store._known
    assert known is not None
    return replace(known, since=2**40)


async def test_the_log_of_another_writer_goes_on_after_a_move(place: Path) -> None:
    store, other = await saved(place, 4), store_at(str(place))
    await other.load()
    path = log_of(place)
    with LogFile.open(path) as late:  # opened before the move, and written to after it
        state = late.state
        assert await store.prune(keep=2) == 2
        assert not path.exists()
        assert int(log_of(place).stem) == int(path.stem) + 1
        assert not late.append({**log.mark(state, log.now()), "claim": "me", "until": log.now()})
    assert await other.save(await paused(text="question 5")) == 5
    assert [each.revision for each in await store.history()] == [3, 4, 5]


async def test_pruning_at_once_with_saves_loses_none(place: Path) -> None:
    store, other = await saved(place, 3), store_at(str(place))

    async def prune() -> None:
        for _ in range(10):
            await other.prune(keep=2)

    async def save() -> None:
        for number in range(4, 24):
            assert await store.save(await paused(text=f"question {number}")) == number

    await asyncio.gather(prune(), save())
    await other.prune(keep=2)
    assert [each.revision for each in await store.history()] == [22, 23]
    assert text_of(await store.load(revision=22)) == "question 22"


async def test_an_approval_is_remembered_after_the_run_has_gone_on(place: Path) -> None:
    store = await saved(place, 2)
    async with Approvals(place) as inbox:
        await inbox.reject(RUN, "call_1", message="no", by="ada")
        state = await store.load()
        await store.save(state)
        assert await inbox.list(RUN) == []
        [gone] = await inbox.list(RUN, resolved=True)
        assert (gone.resolved, gone.decision, gone.decided_by) == (True, "reject", "ada")
        assert (gone.message, gone.revision, gone.arguments is not None) == ("no", 1, True)
        await store.save(await paused(text="again"))
        [waits] = await inbox.list(RUN, resolved=True)
        assert (waits.resolved, waits.decision, waits.revision) == (False, None, 4)


async def test_a_decision_of_the_run_itself_is_remembered(place: Path) -> None:
    store = await saved(place, 1)
    state = await store.load()
    state.approve(state.get_interruptions()[0])
    await store.save(state)
    async with Approvals(place) as inbox:
        [gone] = await inbox.list(RUN, resolved=True)
        assert (gone.resolved, gone.decision, gone.decided_by) == (True, "approve", None)
        assert gone.decided_at is not None


async def test_items_of_a_session(place: Path) -> None:
    backend = await open_backend(place)
    items: list[str | bytes] = ['{"a":1e2}', '{"b":"ø\\n"}', b"\x01sealed", '{"c":[]}']
    await backend.add_items("one", items[:2])
    await backend.add_items("one", [])
    await backend.add_items("one", items[2:])
    await backend.add_items("two", ['{"other":true}'])
    assert await backend.read_items("one") == items
    assert await backend.read_items("one", 2) == items[2:]
    assert await backend.read_items("one", 0) == []
    assert await backend.read_items("one", 10) == items
    assert await backend.pop_item("one") == items[3]
    assert await backend.pop_item("one") == items[2]
    await backend.add_items("one", items[3:])
    assert await backend.read_items("one") == [*items[:2], items[3]]
    await backend.clear_items("one")
    await backend.clear_items("one")
    assert await backend.read_items("one") == []
    assert await backend.pop_item("one") is None
    await backend.add_items("one", ['{"new":1}'])
    assert await backend.read_items("one") == ['{"new":1}']
    assert await backend.read_items("two") == ['{"other":true}']
    [path] = (place / "sessions" / "one").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await backend.aclose()


async def test_a_session_that_was_being_cleared_is_empty(place: Path) -> None:
    backend = await open_backend(place)
    await backend.add_items("one", ['{"a":1}'])
    [path] = (place / "sessions" / "one").iterdir()
    with path.open("ab") as file:
        file.write(log.encode({"id": "0" * 16, "at": log.now(), "cleared": True}))
        file.write(log.encode({"id": "1" * 16, "at": log.now(), "items": ['{"late":1}']}))
    assert await backend.read_items("one") == []
    assert not path.exists()
    await backend.add_items("one", [json.dumps({"text": '\n{"id":"x","at":"y","cleared":true}\n'})])
    assert len(await backend.read_items("one")) == 1
    await backend.aclose()


async def test_no_two_get_the_same_item(place: Path) -> None:
    backend = await open_backend(place)
    await backend.add_items("one", [str(number) for number in range(20)])
    popped = await asyncio.gather(*(backend.pop_item("one") for _ in range(25)))
    assert sorted(int(item) for item in popped if item is not None) == list(range(20))
    assert popped.count(None) == 5
    await backend.aclose()


ADD = """
import asyncio, sys
from timestep.store.location import open_backend

async def main(place, name):
    backend = await open_backend(place)
    for number in range(50):
        await backend.add_items("one", [f'"{name} {number}"', f'"{name} {number} too"'])

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_add_at_once_and_nothing_is_lost(place: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", ADD, str(place), name)
        for name in "ab"
    ]
    assert [await process.wait() for process in processes] == [0, 0]
    items = await FolderBackend(place).read_items("one")
    assert len(items) == 200
    for name in "ab":
        own = [json.loads(item) for item in items if json.loads(item).startswith(name)]
        assert own == [f"{name} {n}{too}" for n in range(50) for too in ("", " too")]
    for first, second in zip(items[::2], items[1::2], strict=True):
        assert json.loads(second) == f"{json.loads(first)} too"  # what was added together stays so
