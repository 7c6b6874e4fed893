"""What a person sees while the suite runs: a live matrix on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from .matrix import Matrix
from .report import Result

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live as RichLive


class Live:
    """Shows results as they come. `total` is how many are due."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self._total = total
        self._results: list[Result] = []
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
        if self._rich is None and not self._quiet:
            print(self._line(result), file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._rich is not None:
            self._rich.stop()

    def _line(self, result: Result) -> str:
        status = f"known {result.status}" if result.known else result.status
        check = f" ({result.check})" if result.check else ""
        first = result.message.partition("\n")[0][:160]
        tail = f": {first}" if result.status != "pass" else ""
        return (
            f"[{len(self._results)}/{self._total}] {result.case} {result.pairing} "
            f"{status}{check} {result.seconds:.2f} s{tail}"
        )

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
