"""Files and folders that are whole and durable, readable by their owner alone."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def read(path: Path) -> bytes:
    """The file's content. Raises `OSError`."""
    return path.read_bytes()


def replace(path: Path, data: bytes) -> None:
    """Makes `data` the content of `path`, durably, readable by its owner alone (mode 0600).

    Parent folders are created. Concurrent writers leave the content of one of them. Raises
    `OSError`; nothing is left behind then.
    """
    target = real_path(path)
    folders = create_folders(target.parent)
    temporary = target.with_name(temporary_name(target))
    write(temporary, data)
    try:
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for folder in folders:
        sync_folder(folder)


def temporary_name(path: Path) -> str:
    """A name nobody uses, for a file beside this one."""
    return f".{path.name}.{uuid4().hex}.tmp"


def write(path: Path, data: bytes) -> None:
    """Writes a new file and syncs it. Nothing is left behind where that fails (`OSError`)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Removes the file, durably. One that is not there is no error."""
    target = real_path(path)
    if target.exists():
        target.unlink(missing_ok=True)
        sync_folder(target.parent)


def real_path(path: Path) -> Path:
    """The file a symbolic link leads to, so that the link itself stays."""
    return Path(os.path.realpath(path))


def create_folders(folder: Path, mode: int = 0o777) -> list[Path]:
    """Creates `folder` with its parents; returns the folders that have a new entry afterwards.

    With `folder` itself first: something new is about to be in it.
    """
    missing = []
    parent = folder
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    for each in reversed(missing):
        each.mkdir(mode, exist_ok=True)
    return [*missing, parent] if missing else [folder]


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or removed in a folder durable."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, and a rename is durable as it is
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
