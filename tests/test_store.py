"""RunStateStore: what is in the file, what survives, and what each failure is called."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from agents import RunState

from tests.model import call, message, scripted, weather_agent
from timestep import CrossingError, DocumentError, RunStateStore, StoreError, run_agent
from timestep.state import validate
from timestep.store import file
from timestep.store.text import decode, encode

pytestmark = pytest.mark.anyio


async def paused(calls: list[str] | None = None, text: str = "Oslo?") -> RunState[Any]:
    """The state of a run that waits for get_weather."""
    async with scripted([[call()]]) as model:
        result = await run_agent(
            weather_agent([] if calls is None else calls), text, model_provider=model.provider
        )
    return result.to_state()


async def test_a_saved_run_is_approved_and_finished(tmp_path: Path) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    store = RunStateStore(tmp_path / "runs" / "today" / "one.json", agent)
    await store.save(await paused(calls))
    state = await store.load()
    assert isinstance(state, RunState)
    [interruption] = state.get_interruptions()
    assert (interruption.name, interruption.call_id) == ("get_weather", "call_1")
    state.approve(interruption)
    async with scripted([[message("Sunny")]]) as model:
        result = await run_agent(agent, state, model_provider=model.provider)
    assert result.final_output == "Sunny"
    assert calls == ["Oslo"]
    assert model.requests[0]["input"][-1]["output"] == "Oslo is sunny"


async def test_a_rejection_is_kept_by_a_second_save(tmp_path: Path) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    store = RunStateStore(str(tmp_path / "one.json"), agent)
    await store.save(await paused(calls))
    state = await store.load()
    state.reject(state.get_interruptions()[0], rejection_message="not today")
    await store.save(state)
    async with scripted([[message("Fine")]]) as model:
        await run_agent(agent, await store.load(), model_provider=model.provider)
    assert calls == []
    assert model.requests[0]["input"][-1]["output"] == "not today"


async def test_the_file_is_one_portable_document_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    old_mask = os.umask(0)
    try:
        await RunStateStore(path, weather_agent([])).save(await paused(text="Grüße 🌦"))
    finally:
        os.umask(old_mask)
    data = path.read_bytes()
    document = json.loads(data)
    validate(document)
    assert document["input"] == "Grüße 🌦"
    assert "Grüße 🌦".encode() in data
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_clear_removes_the_run_and_may_be_called_twice(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    store = RunStateStore(path, weather_agent([]))
    await store.save(await paused())
    await store.clear()
    await store.clear()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError) as caught:
        await store.load()
    assert caught.value.code == "state-not-found"
    assert str(path) in caught.value.message


@pytest.mark.parametrize("location", ["postgresql://host/runs", "pglite://runs", "pglite:", ""])
async def test_another_kind_of_location_is_named(location: str) -> None:
    with pytest.raises(StoreError) as caught:
        RunStateStore(location, weather_agent([]))
    assert caught.value.code == "unknown-location"
    assert "path of a file" in caught.value.hint


async def test_a_folder_is_no_location(tmp_path: Path) -> None:
    store = RunStateStore(tmp_path, weather_agent([]))
    for work in (store.save(await paused()), store.load(), store.clear()):
        with pytest.raises(StoreError) as caught:
            await work
        assert caught.value.code == "unknown-location"
    assert list(tmp_path.iterdir()) == []
    assert [path.name for path in tmp_path.parent.iterdir() if "tmp" in path.suffix] == []


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
    tmp_path: Path, data: bytes, line: int, column: int
) -> None:
    path = tmp_path / "one.json"
    path.write_bytes(data)
    with pytest.raises(DocumentError) as caught:
        await RunStateStore(path, weather_agent([])).load()
    assert caught.value.code == "malformed"
    assert f"line {line} column {column}" in caught.value.message


@pytest.mark.parametrize(
    "data", [b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
async def test_what_is_no_json_value_is_malformed(data: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        decode(data, "x")
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("snapshot", "sdk", "port"),
    [
        ({"$schemaVersion": "1.21", "current_turn": 1}, "openai-agents", "timestep"),
        ({"$schemaVersion": "1.22", "currentTurn": 1}, "@openai/agents", "@timestep-ai/timestep"),
    ],
)
async def test_a_raw_snapshot_is_named_for_what_it_is(
    tmp_path: Path, snapshot: dict[str, Any], sdk: str, port: str
) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(snapshot))
    with pytest.raises(DocumentError) as caught:
        await RunStateStore(path, weather_agent([])).load()
    assert caught.value.code == "not-a-run-state"
    assert f"a raw {sdk} snapshot (schema {snapshot['$schemaVersion']})" in caught.value.message
    assert caught.value.hint == f"save it with {port} or convert it with `timestep convert`"


async def test_a_completed_run_is_kept_but_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    store = RunStateStore(path, weather_agent([]))
    async with scripted([[message("Done")]]) as model:
        result = await run_agent(weather_agent([]), "Hi", model_provider=model.provider)
    await store.save(result.to_state())
    document = json.loads(path.read_bytes())
    assert (document["status"], document["final_output"]) == ("completed", "Done")
    with pytest.raises(CrossingError) as caught:
        await store.load()
    assert caught.value.code == "run-completed"
    assert "as input" in caught.value.hint


async def test_concurrent_saves_leave_one_whole_document(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    store = RunStateStore(path, weather_agent([]))
    states = [await paused(text=f"{number} " * 10_000) for number in range(4)]
    await asyncio.gather(*(store.save(state) for state in states * 3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.json"]
    validate(json.loads(path.read_bytes()))


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    contents = [bytes([65 + number]) * 300_000 for number in range(4)]
    file.replace(path, contents[0])

    def write(data: bytes) -> None:
        for _ in range(10):
            file.replace(path, data)

    writers = [threading.Thread(target=write, args=(data,)) for data in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert file.read(path) in contents
    for writer in writers:
        writer.join()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.json"
    file.replace(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.json"]


def test_file_and_folders_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    file.replace(tmp_path / "a" / "b" / "one.json", b"new")
    assert flushed[0].startswith(".one.json.")
    assert flushed[1:] == ["b", "a", tmp_path.name]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "data" / "one.json"
    link = tmp_path / "link.json"
    link.symlink_to(target)
    file.replace(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    file.remove(link)
    assert not target.exists()


def test_a_lone_surrogate_survives() -> None:
    document = {"a": "\ud83d", "b": "🌦"}
    assert decode(encode(document), "x") == document
