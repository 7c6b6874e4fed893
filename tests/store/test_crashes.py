"""What is left in a file and in a folder when writers die, when the disk is full, at once."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.writer import RUN, Writer
from timestep.store import log
from timestep.store.location import open_backend

pytestmark = pytest.mark.anyio

ROUNDS = 20


@pytest.fixture(params=["file", "folder"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / ("run.json" if request.param == "file" else "runs"))


def start(location: str, *fault: str, limit: Callable[[], None] | None = None) -> Started:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", location, *fault],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


Started = subprocess.Popen[str]


def acknowledged(process: Started, count: int) -> list[int]:
    """The next revisions the writer says it has saved."""
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def kill(process: Started) -> list[int]:
    """Kills the writer; what else it had said by then."""
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return [int(line) for line in rest.splitlines() if line.isdigit()]


async def newest(location: str) -> int:
    """The revision that is stored, read back to the last byte; 0 for none."""
    backend = await open_backend(location)
    writer = Writer(backend, location)
    await writer.load()
    await backend.aclose()
    return 0 if writer.known is None else writer.known.revision


def log_of(location: str) -> Path:
    """The only log there is."""
    path = Path(location)
    if path.suffix == ".json":
        return path.with_name("run.json.log")
    [found] = (path / "runs" / RUN).glob("*.log")
    return found


async def test_no_acknowledged_revision_is_lost_to_a_kill(location: str) -> None:
    last = 0
    for _ in range(ROUNDS):
        process = start(location)
        said = acknowledged(process, random.randrange(1, 30))
        said += kill(process)
        assert said == list(range(said[0], said[0] + len(said)))
        assert said[0] in (last + 1, last + 2)  # the one before may have been stored, and not told
        last = said[-1]
        assert await newest(location) in (last, last + 1)
    backend = await open_backend(location)
    history = await backend.history(RUN)
    assert history[-1].revision >= last
    if not location.endswith(".json"):
        assert [each.revision for each in history] == list(range(1, history[-1].revision + 1))


async def test_a_file_whose_writer_died_before_the_rename_is_whole(tmp_path: Path) -> None:
    location = str(tmp_path / "run.json")
    for expected in range(1, 6):
        process = start(location, "saved")
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        assert len([path for path in tmp_path.iterdir() if path.suffix == ".tmp"]) == 1
        assert await newest(location) == expected
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "run.json.log"]


@pytest.mark.parametrize("fault", ["moving", "moved"])
async def test_a_move_is_finished_by_whoever_comes_next(tmp_path: Path, fault: str) -> None:
    location = str(tmp_path / "runs")
    process = start(location)
    acknowledged(process, 20)
    kill(process)
    last = await newest(location)
    before = log_of(location)
    process = start(location, fault)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert len(list(before.parent.glob("[0-9]*.log"))) == (1 if fault == "moving" else 2)
    assert await newest(location) == last
    assert log_of(location) != before
    assert [path.name for path in before.parent.iterdir()] == [log_of(location).name]
    backend = await open_backend(location)
    assert [each.revision for each in await backend.history(RUN)] == [last]
    writer = Writer(backend, location)
    await writer.load()
    assert await writer.save() == last + 1
    await backend.clear(RUN)
    assert await newest(location) == 0
    await backend.aclose()


async def test_a_cleared_run_stays_away_whatever_a_dead_writer_left(tmp_path: Path) -> None:
    location = str(tmp_path / "runs")
    process = start(location)
    acknowledged(process, 20)
    kill(process)
    process = start(location, "moved")
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    backend = await open_backend(location)
    await backend.clear(RUN)
    assert await newest(location) == 0
    assert await backend.runs() == []
    await backend.aclose()


async def test_clearing_is_finished_by_whoever_comes_next(location: str) -> None:
    process = start(location)
    acknowledged(process, 3)
    kill(process)
    process = start(location, "clearing")
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert log_of(location).exists()
    assert await newest(location) == 0
    assert not log_of_or_none(location)
    process = start(location)
    assert acknowledged(process, 1) == [1]
    kill(process)


def log_of_or_none(location: str) -> Path | None:
    path = Path(location)
    return next((each for each in path.parent.rglob("*.log")), None)


async def test_two_processes_save_at_once(location: str) -> None:
    processes = [start(location), start(location)]
    said = [acknowledged(process, 25) for process in processes]
    for each, process in zip(said, processes, strict=True):
        each += kill(process)
    everything = sorted([*said[0], *said[1]])
    assert len(set(everything)) == len(everything)
    last = await newest(location)
    # What nobody was told may be stored too: the save each was at when it was killed.
    assert set(range(1, last + 1)) >= set(everything)
    assert last - len(everything) <= 2
    folded = log.fold(log.entries(log_of(location).read_bytes()))
    saved = [entry.line["revision"] for entry in folded.accepted if "revision" in entry.line]
    assert saved == list(range(1, last + 1))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None] | None, Callable[[], None]]]:
    """A place that is soon full: a small disk, or files that may not grow where none is allowed.

    With what limits a process that is started, and what makes room.
    """
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        try:
            yield place, None, lambda: _remount(place)
        finally:
            subprocess.run(["umount", place], check=True)
        return

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    yield place, limit, lambda: None


def _remount(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", place], check=True)


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_a_full_disk_loses_nothing_that_was_acknowledged(
    kind: str, small: tuple[Path, Callable[[], None] | None, Callable[[], None]]
) -> None:
    place, limit, make_room = small
    location = str(place / ("run.json" if kind == "file" else "runs"))
    process = start(location, limit=limit)
    output, _ = process.communicate()
    *saved, full = output.splitlines()
    assert full.startswith("full: ")
    last = int(saved[-1])
    assert await newest(location) == last
    for _ in range(3):  # and goes on being full
        again = start(location, limit=limit).communicate()[0]
        assert again.splitlines()[-1].startswith("full: ")
        last += len(again.splitlines()) - 1
        assert await newest(location) == last
    if kind == "file":
        leftovers = [path.name for path in place.iterdir() if path.suffix == ".tmp"]
        assert leftovers == []
    make_room()
    process = start(location)
    assert acknowledged(process, 3) == [last + 1, last + 2, last + 3]
    kill(process)


async def test_a_torn_line_is_gone_and_the_log_goes_on(location: str) -> None:
    process = start(location)
    acknowledged(process, 5)
    kill(process)
    path = log_of(location)
    whole = path.read_bytes()
    lines = list(log.entries(whole))
    last = lines[-1].line["revision"]
    start_of_write = lines[-1].start - lines[-1].line["size"] - 1
    for cut in (lines[-1].end - 1, lines[-1].start + 5, lines[-1].start, start_of_write + 1):
        if location.endswith(".json"):
            # In a file the document is the one its line was torn from: a revision all the same.
            os.truncate(path, cut)
            assert await newest(location) == last
        else:
            os.truncate(path, cut)
            assert await newest(location) == last - 1
    process = start(location)
    expected = last + 1 if location.endswith(".json") else last
    assert acknowledged(process, 2) == [expected, expected + 1]
    kill(process)


async def test_a_write_that_is_cut_short_is_an_error(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(location)
    writer = Writer(backend, location)
    await writer.save()
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:50]))
        with pytest.raises(OSError, match="only 50 of"):
            await writer.save()
    assert await newest(location) == 1
    assert await writer.save() == 2
    await backend.aclose()


async def test_nothing_is_acknowledged_before_it_is_synced(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(location)
    writer = Writer(backend, location)
    await writer.save()

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            await writer.save()
    await backend.aclose()


async def test_threads_of_one_process_append_at_once(location: str) -> None:
    backend = await open_backend(location)
    await Writer(backend, location).save()
    claims = await asyncio.gather(
        *(backend.claim(RUN, f"owner {number}", 60) for number in range(16)),
        return_exceptions=True,
    )
    assert sum(not isinstance(claim, BaseException) for claim in claims) == 1
    await backend.aclose()
