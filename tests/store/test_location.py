"""What a location says, and what is shared by those who open it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.model import weather_agent
from timestep import RunStateStore, StoreError
from timestep.store.location import Location, default_location, open_backend, parse


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.folder.json").mkdir()
    (tmp_path / "a_file").write_text("{}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("location", "kind", "name"),
    [
        ("one.json", "file", "one.json"),
        ("deep/er/one.json", "file", "deep/er/one.json"),
        ("a_file", "file", "a_file"),
        (Path("one.json"), "file", "one.json"),
        ("runs", "folder", "runs"),
        ("runs/", "folder", "runs"),
        ("a.folder.json", "folder", "a.folder.json"),
        (".", "folder", ""),
        ("c:", "folder", "c:"),
        ("pglite:data", "pglite", "data"),
        ("pglite:./data/", "pglite", "data"),
    ],
)
def test_a_path_says_what_is_there_or_will_be(
    tmp_path: Path, location: Any, kind: Any, name: str
) -> None:
    assert parse(location) == Location(kind, str(tmp_path / name))


@pytest.mark.parametrize("location", ["postgresql://ada@host:1/runs?a=b", "postgres://host/runs"])
def test_a_url_says_the_server(location: str) -> None:
    assert parse(location) == Location("postgresql", location)


@pytest.mark.parametrize(
    "location",
    ["", "mysql://host/runs", "sqlite:", "pglite:", "pglite://runs", "a\0b", "/dev/null", 17, b"a"],
)
def test_anything_else_is_told_the_forms_there_are(location: Any) -> None:
    with pytest.raises(StoreError) as caught:
        RunStateStore(location, weather_agent([]))
    assert caught.value.code == "unknown-location"
    for form in (".json", "folder", "postgresql://", "pglite:"):
        assert form in caught.value.hint


def test_the_default_is_a_folder_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TIMESTEP_LOCATION", raising=False)
    assert default_location() == ".timestep"
    monkeypatch.setenv("TIMESTEP_LOCATION", "elsewhere")
    assert default_location() == "elsewhere"


class Kept:
    """A backend that counts."""

    opened = 0
    closed = 0

    def __init__(self, path: Path) -> None:
        Kept.opened += 1

    async def aclose(self) -> None:
        Kept.closed += 1


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Kept]:
    monkeypatch.setattr("timestep.store.folder.FolderBackend", Kept)
    monkeypatch.setattr(Kept, "opened", 0)
    monkeypatch.setattr(Kept, "closed", 0)
    return Kept


@pytest.mark.anyio
async def test_those_who_open_one_location_share_it(counted: type[Kept]) -> None:
    first, second = await asyncio.gather(open_backend("runs"), open_backend(Path("./runs")))
    assert counted.opened == 1
    await first.aclose()
    await first.aclose()
    assert counted.closed == 0
    await second.aclose()
    assert counted.closed == 1
    await (await open_backend("runs")).aclose()
    assert (counted.opened, counted.closed) == (2, 2)


def test_an_event_loop_has_its_own(counted: type[Kept]) -> None:
    async def leave_open() -> None:
        await open_backend("runs")

    asyncio.run(leave_open())
    asyncio.run(leave_open())
    assert counted.opened == 2


@pytest.mark.anyio
async def test_what_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise StoreError("no", code="database-unavailable")

    with monkeypatch.context() as patched:
        patched.setattr("timestep.store.folder.FolderBackend", fail)
        for _ in range(2):
            with pytest.raises(StoreError):
                await open_backend("runs")
    await (await open_backend("runs")).aclose()


@pytest.mark.anyio
async def test_what_nobody_waits_for_any_more_is_closed(
    counted: type[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = asyncio.Event(), asyncio.Event()

    async def slow(folder: Any) -> Any:
        opening.set()
        await go_on.wait()
        return Kept(folder)

    monkeypatch.setattr("timestep.store.pglite.open_pglite", slow)
    task = asyncio.create_task(open_backend("pglite:data"))
    await opening.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (counted.opened, counted.closed) == (1, 1)
