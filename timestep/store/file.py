"""One file that is always whole: the old content or the new one, never a mixture."""

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
    target = Path(os.path.realpath(path))
    folders = _create_folders(target.parent)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for folder in folders:
        _sync_folder(folder)


def remove(path: Path) -> None:
    """Removes the file, durably. One that is not there is no error."""
    target = Path(os.path.realpath(path))
    if target.exists():
        target.unlink(missing_ok=True)
        _sync_folder(target.parent)


def _create_folders(folder: Path) -> list[Path]:
    """Creates `folder` with its parents; returns the folders that have a new entry afterwards."""
    changed = [folder]
    while not folder.exists():
        folder = folder.parent
        changed.append(folder)
    changed[0].mkdir(parents=True, exist_ok=True)
    return changed


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened, and a rename is durable as it is
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
