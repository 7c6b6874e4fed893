"""Files that are whole and durable."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from timestep.store import disk


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    contents = [bytes([65 + number]) * 300_000 for number in range(4)]
    disk.replace(path, contents[0])

    def write(data: bytes) -> None:
        for _ in range(10):
            disk.replace(path, data)

    writers = [threading.Thread(target=write, args=(data,)) for data in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert disk.read(path) in contents
    for writer in writers:
        writer.join()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.json"
    disk.replace(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        disk.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.json"]


def test_file_and_folders_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    disk.replace(tmp_path / "a" / "b" / "one.json", b"new")
    assert flushed[0].startswith(".one.json.")
    assert flushed[1:] == ["b", "a", tmp_path.name]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "data" / "one.json"
    link = tmp_path / "link.json"
    link.symlink_to(target)
    disk.replace(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    disk.remove(link)
    assert not target.exists()
