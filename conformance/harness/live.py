"""What a person sees while the suite runs: a live matrix on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .matrix import Matrix
from .report import Result, summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live as RichLive


class Live:
    """Shows results as they come. `due` is how many each case has to deliver.

    Plain lines: one for each case when its last result is in, and one at once for each run that
    is not well.
    """

    def __init__(self, due: Mapping[str, int], *, quiet: bool = False) -> None:
        self._due = Counter(due)
        self._total = self._due.total()
        self._results: list[Result] = []
        self._open: dict[str, list[Result]] = {}
        self._began = time.monotonic()
        self._rich: RichLive | None = None
        self._quiet = quiet
        if sys.stderr.isatty() and not quiet:
            from rich.console import Console
            from rich.live import Live as RichLive

            self._rich = RichLive(
                console=Console(stderr=True), get_renderable=self._render, transient=True
            )
            self._rich.start()

    def add(self, result: Result) -> None:
        """A result has come."""
        self._results.append(result)
        if self._rich is not None or self._quiet:
            return
        if not result.green:
            first = result.message.partition("\n")[0][:160]
            check = f" ({result.check})" if result.check else ""
            self._print(f"{result.case} {result.pairing} {result.status}{check}: {first}")
        group = self._open.setdefault(result.case, [])
        group.append(result)
        if len(group) == self._due[result.case]:
            self._print(_line(self._open.pop(result.case)))

    def close(self) -> None:
        """Nothing more comes."""
        if self._rich is not None:
            self._rich.stop()
        for group in self._open.values():
            self._print(_line(group))

    def _print(self, line: str) -> None:
        print(f"[{len(self._results)}/{self._total}] {line}", file=sys.stderr, flush=True)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        matrix = Matrix.of(self._results)
        table = Table(box=None, pad_edge=False)
        for heading in matrix.table()[0]:
            table.add_column(heading)
        for name in matrix.rows:
            cells = (matrix.cell(name, column) for column in matrix.columns)
            styled = (Text(each.text, style="red" if each.bad else "green") for each in cells)
            table.add_row(name, *styled)
        done, elapsed = len(self._results), time.monotonic() - self._began
        left = elapsed / done * (self._total - done) if done else 0.0
        eta = f", about {left:.0f} s left" if done else ""
        now = self._results[-1].case if self._results else ""
        return Group(table, Text(f"{done} of {self._total} runs, {elapsed:.0f} s{eta}  {now}"))


def _line(group: Sequence[Result]) -> str:
    seconds = sum(each.seconds for each in group)
    return f"{group[0].case} {summary(group)}, {seconds:.1f} s: {group[0].title}"
