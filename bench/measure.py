"""Timing that holds on a busy machine: medians, and the compared works taken in turns."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Work = Callable[[], object]


def medians(works: Mapping[str, Work], *, seconds: float = 1.0) -> dict[str, float]:
    """The median time of each work in seconds.

    One round runs every work once, so that a slow moment of the machine meets all of them. There
    are at least three rounds, and as many more as fit into `seconds`.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 3:
        for name, work in works.items():
            gc.collect()
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in times.items()}


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope between the last two (size, time) points, both as logarithms: 1 is linear."""
    (size, took), (larger, longer) = points[-2:]
    return math.log(longer / took) / math.log(larger / size)
