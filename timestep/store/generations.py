"""A log's place in a folder: its name, its generations, and how it appears and goes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import randbelow, token_hex
from typing import Final
from urllib.parse import quote, unquote

from timestep.errors import StoreError
from timestep.store.disk import create_folders, sync_folder, write

_LOG: Final = re.compile(r"([1-9]\d{0,15})\.log")
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+")
_LONGEST: Final = 200
_LONGEST_NAME: Final = 255


def check_id(identifier: str) -> str:
    """A run id or session id. Raises `StoreError` (`unknown-location`) for what cannot be one."""
    if isinstance(identifier, str) and 0 < len(identifier) <= _LONGEST and "\0" not in identifier:
        try:
            identifier.encode()
        except UnicodeEncodeError:
            pass
        else:
            return identifier
    raise StoreError(
        f"{identifier!r} is no id: an id is text of 1 to {_LONGEST} characters",
        code="unknown-location",
        hint="Give text of 1 to 200 characters.",
    )


def folder_name(identifier: str) -> str:
    """The name of the folder of a run or session."""
    name = quote(check_id(identifier), safe="").replace(".", "%2E").replace("~", "%7E")
    if len(name) > _LONGEST_NAME:
        raise StoreError(
            f"{identifier!r} is too long for the name of a folder",
            code="unknown-location",
            hint="Give a shorter id, or use a database.",
        )
    return name


def identifiers(folder: Path) -> Iterator[str]:
    """The ids of the runs or sessions in a folder."""
    for name in _list(folder):
        if _NAME.fullmatch(name):
            yield unquote(name)


def newest(folder: Path) -> Path | None:
    """The newest log in the folder of a run; None if there is none.

    Older ones are removed: whoever made the newest of them did not come to that.
    """
    found = (_LOG.fullmatch(name) for name in _list(folder))
    numbers = sorted(int(name[1]) for name in found if name)
    for number in numbers[:-1]:
        (folder / f"{number}.log").unlink(missing_ok=True)
    return folder / f"{numbers[-1]}.log" if numbers else None


def generation(path: Path) -> int:
    """The generation of a log."""
    return int(path.stem)


def create(folder: Path, content: bytes) -> bool:
    """Creates the folder of a run with a log, as a whole; whether there was none."""
    changed = create_folders(folder.parent, 0o700)
    temporary = folder.parent / f".{token_hex(8)}"
    temporary.mkdir(0o700)
    try:
        write(temporary / f"{time.time_ns() // 1_000_000 * 1000 + randbelow(1000)}.log", content)
        sync_folder(temporary)
        while True:
            try:
                temporary.rename(folder)
                break
            except OSError as error:
                if not _is_taken(error):
                    raise
                if newest(folder) is not None:
                    return False
                _remove_leftovers(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for each in changed:
        sync_folder(each)
    return True


def succeed(path: Path, content: bytes) -> None:
    """Puts the next generation in place, unless somebody has, and removes the one before."""
    folder = path.parent
    temporary = folder / f".{token_hex(8)}"
    try:
        write(temporary, content)
        if path.exists():
            os.link(temporary, folder / f"{generation(path) + 1}.log")
    except (FileExistsError, FileNotFoundError):
        pass  # somebody else has moved the log, or removed it since
    finally:
        temporary.unlink(missing_ok=True)
    if folder.exists():
        sync_folder(folder)
    newest(folder)


def remove(path: Path) -> None:
    """Removes a log that is over, and its folder if nothing newer is there."""
    folder = path.parent
    path.unlink(missing_ok=True)
    if newest(folder) is None:
        _remove_leftovers(folder)
    if folder.parent.exists():
        sync_folder(folder.parent)


def _remove_leftovers(folder: Path) -> None:
    """Removes the folder of a run that has no log, with what writers that died left in it."""
    for name in _list(folder):
        if name.startswith("."):
            (folder / name).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        if not _is_taken(error) and error.errno != errno.ENOENT:
            raise


def _list(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _is_taken(error: OSError) -> bool:
    return error.errno in (errno.EEXIST, errno.ENOTEMPTY)
