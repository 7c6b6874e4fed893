"""Call ids that are the same in every run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator


def numbered(given: Iterator[str] | None = None) -> Callable[[], str]:
    """Digits of call ids: those given, then counted up."""
    counted = (f"{number:024x}" for number in itertools.count(1))
    digits = itertools.chain(given or (), counted)
    return lambda: next(digits)
