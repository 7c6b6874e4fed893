"""`fault.arm`: the process ends, or a call fails, at a boundary of the file system."""

from __future__ import annotations

import errno
import itertools
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from .protocol import Failure, required

_CALLS = {
    "write": ("write",),
    "sync": ("fsync", "fdatasync"),
    "rename": ("rename", "replace"),
    "link": ("link",),
    "remove": ("unlink", "remove"),
}


_REAL = {
    name: getattr(os, name) for names in _CALLS.values() for name in names if hasattr(os, name)
}

_OF_PATHS = (*_CALLS["rename"], *_CALLS["link"], *_CALLS["remove"])


async def arm(args: Mapping[str, Any]) -> dict[str, Any]:
    """`fault.arm`: once, at the `nth` call of a kind from now on, or until the case is closed."""
    at, how = required(args, "at", str), required(args, "how", str)
    nth = required(args, "nth", int)
    if at not in _CALLS:
        raise Failure("protocol", "bad-request", f"no fault can be armed at {at}")
    passing = itertools.count(1)
    for name in _CALLS[at]:
        if name in _REAL:
            setattr(os, name, _armed(name, lambda: next(passing) == nth, how))
    return {}


def disarm() -> None:
    """No fault is armed from now on."""
    for name, real in _REAL.items():
        setattr(os, name, real)


def _armed(name: str, due: Callable[[], bool], how: str) -> Callable[..., Any]:
    real = _REAL[name]

    def call(*args: Any, **options: Any) -> Any:
        if (name in _OF_PATHS and not os.path.lexists(args[0])) or not due():
            return real(*args, **options)
        if name == "write":
            real(args[0], bytes(args[1])[: len(args[1]) // 2])
        if how == "exit":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return call
