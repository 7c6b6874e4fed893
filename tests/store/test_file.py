"""One run in one file: what is in the file, and what becomes of it when others touch it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.model import weather_agent
from tests.store.runs import RUN, paused, store_at, text_of
from timestep import Approvals, DocumentError, RunStateStore, Session, StoreError
from timestep.state import dump_run_state, validate
from timestep.store import disk, log
from timestep.store.log_file import LogFile
from timestep.store.text import encode

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


async def document(text: str = "Oslo?") -> dict[str, Any]:
    return dump_run_state(await paused(text=text)).document


async def test_the_file_is_one_portable_document_for_its_owner(path: Path) -> None:
    old_mask = os.umask(0)
    try:
        await store_at(str(path)).save(await paused(text="Grüße 🌦"))
    finally:
        os.umask(old_mask)
    data = path.read_bytes()
    content = json.loads(data)
    validate(content)
    assert content["input"] == "Grüße 🌦"
    assert "Grüße 🌦".encode() in data
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    for each in (path, path.with_name("run.json.log")):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


async def test_nothing_but_the_file_and_its_log_is_left(path: Path) -> None:
    store: RunStateStore[Any] = RunStateStore(path, weather_agent([]))
    for _ in range(3):
        await store.save(await paused())
    assert store.run_id == "run"
    assert sorted(each.name for each in path.parent.iterdir()) == ["run.json", "run.json.log"]
    await store.clear()
    assert list(path.parent.iterdir()) == []


async def test_parent_folders_are_created(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "run.json"
    await store_at(str(path)).save(await paused())
    assert path.exists()


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"", 1, 1),
        (b'{"a": 1,\n "b": }', 2, 7),
        (b'{"a": 1}\n{}', 2, 1),
        (b'{"a": [1,\n\n  "x\n', 3, 5),
        (b'{"a":\n  "\xff"}', 2, 4),
        (b"[]", 1, 1),
    ],
)
async def test_damage_is_named_with_line_and_column(
    path: Path, data: bytes, line: int, column: int
) -> None:
    path.write_bytes(data)
    with pytest.raises(DocumentError) as caught:
        await store_at(str(path)).load()
    assert caught.value.code == "malformed"
    assert f"line {line} column {column}" in caught.value.message
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("snapshot", "sdk", "port"),
    [
        ({"$schemaVersion": "1.21", "current_turn": 1}, "openai-agents", "timestep"),
        ({"$schemaVersion": "1.22", "currentTurn": 1}, "@openai/agents", "@timestep-ai/timestep"),
    ],
)
async def test_a_raw_snapshot_is_named_for_what_it_is(
    path: Path, snapshot: dict[str, Any], sdk: str, port: str
) -> None:
    path.write_text(json.dumps(snapshot))
    with pytest.raises(DocumentError) as caught:
        await store_at(str(path)).load()
    assert caught.value.code == "not-a-run-state"
    assert f"a raw {sdk} snapshot (schema {snapshot['$schemaVersion']})" in caught.value.message
    assert caught.value.hint == f"save it with {port} or convert it with `timestep convert`"


async def test_a_file_without_a_log_is_revision_1(path: Path) -> None:
    path.write_bytes(encode(await document("from elsewhere")))
    async with store_at(str(path)) as store:
        with pytest.raises(StoreError) as caught:
            await store.save(await paused())
        assert caught.value.code == "stale-state"
        assert [(each.revision, each.pending) for each in await store.list()] == [(1, 1)]
        assert text_of(await store.load()) == "from elsewhere"
        assert store.revision == 1
        assert list(path.parent.iterdir()) == [path]  # reading writes nothing
        assert await store.save(await paused(text="two")) == 2
        assert text_of(await store.load()) == "two"


async def test_a_call_in_a_file_without_a_log_can_be_decided(path: Path) -> None:
    path.write_bytes(encode(await document()))
    async with Approvals(path) as inbox, store_at(str(path)) as store:
        await inbox.approve(RUN, "call_1", by="ada")
        [waits] = await inbox.list()
        assert waits.decided_by == "ada"
        assert len(dump_run_state(await store.load()).document["decisions"]) == 1


async def test_a_file_that_was_replaced_is_one_revision_more(path: Path) -> None:
    async with store_at(str(path)) as store, store_at(str(path)) as other:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="two"))
        disk.replace(path, encode(await document("from elsewhere")))
        with pytest.raises(StoreError) as caught:
            await store.save(await paused(text="three"))
        assert (caught.value.code, caught.value.revision) == ("stale-state", 3)
        assert text_of(await other.load()) == "from elsewhere"
        assert other.revision == 3
        assert await other.save(await paused(text="four")) == 4
        assert text_of(await store.load()) == "four"
        log_lines = list(log.entries(path.with_name("run.json.log").read_bytes()))
        assert [entry.line["revision"] for entry in log_lines] == [1, 2, 3, 4]


async def test_a_file_that_was_removed_is_no_run(path: Path) -> None:
    async with store_at(str(path)) as store, store_at(str(path)) as other:
        await store.save(await paused(text="one"))
        path.unlink()
        with pytest.raises(StoreError) as caught:
            await store.load()
        assert caught.value.code == "state-not-found"
        assert str(path) in caught.value.message
        assert await store.list() == []
        with pytest.raises(StoreError) as caught:
            await store.save(await paused(text="two"))
        assert caught.value.code == "stale-state"
        assert await other.save(await paused(text="again")) == 1
        assert text_of(await store.load()) == "again"


async def test_a_writer_that_died_before_it_renamed_has_saved(path: Path) -> None:
    async with store_at(str(path)) as store:
        await store.save(await paused(text="one"))
        one = path.read_bytes()
        await store.save(await paused(text="two"))
        two = path.read_bytes()
        [*_, last] = log.entries(path.with_name("run.json.log").read_bytes())
        temporary = path.with_name(last.line["file"])
        path.write_bytes(one)
        temporary.write_bytes(two)
        assert text_of(await store.load()) == "two"
        assert path.read_bytes() == two
        assert not temporary.exists()
        assert await store.save(await paused(text="three")) == 3


async def test_a_writer_that_died_before_it_wrote_its_line_has_not_saved(path: Path) -> None:
    async with store_at(str(path)) as store:
        await store.save(await paused(text="one"))
        path.with_name(".run.json.0123.tmp").write_bytes(encode(await document("two")))
        assert text_of(await store.load()) == "one"
        assert await store.save(await paused(text="two")) == 2
        await store.clear()
        assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("removed", [True, False])
async def test_a_writer_that_died_while_it_cleared_has_cleared(path: Path, removed: bool) -> None:
    async with store_at(str(path)) as store:
        await store.save(await paused(text="one"))
        log_path = path.with_name("run.json.log")
        [last] = log.entries(log_path.read_bytes())
        line = {"id": "0" * 16, "at": log.now(), "after": last.line["id"], "cleared": True}
        with log_path.open("ab") as file:
            file.write(log.encode(line))
        if removed:
            path.unlink()
        with pytest.raises(StoreError) as caught:
            await store.load()
        assert caught.value.code == "state-not-found"
        assert list(path.parent.iterdir()) == []


async def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "data" / "one.json", tmp_path / "run.json"
    link.symlink_to(target)
    async with store_at(str(link)) as store:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="two"))
        assert link.is_symlink()
        assert json.loads(target.read_bytes())["input"] == "two"
        await store.clear()
        assert list(target.parent.iterdir()) == []


async def test_a_file_keeps_one_run_and_no_sessions(path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        RunStateStore(path, weather_agent([]), "another")
    assert caught.value.code == "unknown-location"
    path.write_text("{}")
    with pytest.raises(StoreError) as caught:
        await Session("one", location=path).get_items()
    assert caught.value.code == "unknown-location"
    async with store_at(str(path)) as store:
        with pytest.raises(StoreError) as caught:
            await store.fork(run_id="../elsewhere")
        assert caught.value.code == "unknown-location"


async def test_a_sealed_file_without_a_log_is_read(path: Path) -> None:
    keys = {"one": b"1" * 32}
    async with store_at(str(path), keys=keys) as store:
        await store.save(await paused(text="a secret"))
        content = json.loads(path.read_bytes())
        assert content.keys() == {"format", "version", "data"}
        path.with_name("run.json.log").unlink()
        assert text_of(await store.load()) == "a secret"
        assert await store.save(await paused(text="another")) == 2
        path.write_text(json.dumps({**content, "data": "?"}))
        with pytest.raises(DocumentError) as caught:
            await store.load()
        assert caught.value.code == "malformed"
        path.write_text(json.dumps({**content, "version": "2"}))
        with pytest.raises(DocumentError) as caught:
            await store.load()
        assert caught.value.code == "newer-version"


async def test_a_save_whose_temporary_file_was_taken_away_has_failed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_at(str(path)) as store:
        await store.save(await paused(text="one"))
        append = LogFile.append

        def steal(opened: LogFile, line: log.Line, data: bytes = b"") -> bool:
            accepted = append(opened, line, data)
            path.with_name(line["file"]).unlink()
            return accepted

        monkeypatch.setattr(LogFile, "append", steal)
        with pytest.raises(FileNotFoundError):
            await store.save(await paused(text="two"))
        monkeypatch.undo()
        assert text_of(await store.load()) == "one"


async def test_a_reader_sees_a_whole_revision(path: Path) -> None:
    async with store_at(str(path)) as store, store_at(str(path)) as other:
        await store.save(await paused(text="0"))
        states = [await paused(text=str(number)) for number in range(1, 21)]
        done = False

        async def read() -> int:
            reads = 0
            while not done:
                state = await other.load()
                assert other.revision == int(text_of(state)) + 1
                reads += 1
            return reads

        reading = asyncio.create_task(read())
        for state in states:
            await store.save(state)
            await asyncio.sleep(0)
        done = True
        assert await reading > 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"not JSON", "malformed"),
        (b'{"some": "object"}', "not-a-run-state"),
        (b'{"$schemaVersion": "1.21", "current_turn": 1}', "not-a-run-state"),
    ],
)
async def test_a_file_that_keeps_no_run_is_no_empty_inbox(
    path: Path, data: bytes, code: str
) -> None:
    path.write_bytes(data)
    async with Approvals(str(path)) as inbox:
        with pytest.raises(DocumentError) as caught:
            await inbox.list()
    assert caught.value.code == code
    assert path.read_bytes() == data
