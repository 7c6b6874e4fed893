"""Timing that holds on a busy machine: CPU time, medians, and the compared works in turns."""

from __future__ import annotations

import gc
import math
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Work = Callable[[], object]

_SHORTEST = 0.01  # seconds; shorter works are repeated, so that one measurement takes this long


def medians(works: Mapping[str, Work], *, seconds: float = 1.0) -> dict[str, float]:
    """The median CPU time of each work in seconds.

    One round runs every work once, so that a slow moment of the machine meets all of them. There
    are at least three rounds, and as many more as fit into `seconds` of CPU time.
    """
    repeats = {
        name: math.ceil(_SHORTEST / max(_once(work, 1), 1e-6)) for name, work in works.items()
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    end = time.process_time() + seconds
    while time.process_time() < end or len(next(iter(times.values()))) < 3:
        for name, work in works.items():
            times[name].append(_once(work, repeats[name]))
    return {name: statistics.median(each) for name, each in times.items()}


def command(arguments: Sequence[str], folder: Path) -> float:
    """The CPU time of a command in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope between the last two (size, time) points, both as logarithms: 1 is linear."""
    (size, took), (larger, longer) = points[-2:]
    return math.log(longer / took) / math.log(larger / size)


def _once(work: Work, repeats: int) -> float:
    gc.collect()
    started = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - started) / repeats
