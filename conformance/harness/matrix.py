"""The matrix: who wrote the run, who took it over, and how many cases went well.

`python -m conformance.harness.matrix [--markdown] reports/report.ndjson` prints that of a report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import report
from .case import LOCATIONS
from .report import Result

ALONE = "alone"
_NAMES = {"file": "a file", "folder": "a folder", "postgresql": "PostgreSQL", "pglite": "PGLite"}


@dataclass(frozen=True)
class Cell:
    """Counts of one writer and reader. `total` leaves out runs that do not apply."""

    passed: int = 0
    known: int = 0
    bad: int = 0
    not_applicable: int = 0
    waiting: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.known + self.bad + self.waiting

    @property
    def text(self) -> str:
        """Such as `41/42, 1 known failing`."""
        if not self.total and not self.not_applicable:
            return "-"
        parts = [f"{self.passed}/{self.total}"]
        parts += [f"{self.bad} failing"] if self.bad else []
        parts += [f"{self.known} known failing"] if self.known else []
        parts += [f"{self.not_applicable} n/a"] if self.not_applicable else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Matrix:
    """Cells by writer (row) and reader (column); the column `alone` has the cases of one port.

    Runs and sessions that are kept have rows of their own for each kind of place.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]

    @classmethod
    def of(cls, results: Iterable[Result]) -> Matrix:
        """The matrix of results; a run over more than two ports counts for its first and last."""
        groups: dict[tuple[str, str], list[Result]] = {}
        names: dict[str, None] = {}
        kept: dict[tuple[int, str, str], str] = {}
        for each in results:
            if not each.pairing:
                continue
            parts = each.ports
            names |= dict.fromkeys(parts)
            row = parts[0]
            if each.location:
                kind = "session" if "/sessions/" in each.source else "run"
                row = f"{row}, {kind} in {_NAMES.get(each.location, each.location)}"
                kept[LOCATIONS.index(each.location), kind, row] = row
            place = (row, parts[-1] if len(parts) > 1 else ALONE)
            groups.setdefault(place, []).append(each)
        ports = tuple(sorted(names))
        rows = ports + tuple(kept[key] for key in sorted(kept))
        columns = ports + ((ALONE,) if any(column == ALONE for _, column in groups) else ())
        cells = {place: _cell(group) for place, group in groups.items()}
        return cls(rows, columns, cells)

    def cell(self, row: str, column: str) -> Cell:
        return self.cells.get((row, column), Cell())

    def table(self) -> list[list[str]]:
        """Heading and rows, as text."""
        heading = ["written by", *(_heading(column) for column in self.columns)]
        body = [
            [row, *(self.cell(row, column).text for column in self.columns)] for row in self.rows
        ]
        return [heading, *body]


def plain(matrix: Matrix) -> str:
    """The matrix as lines of text."""
    table = matrix.table()
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def markdown(matrix: Matrix) -> str:
    """The matrix as a Markdown table."""
    heading, *body = matrix.table()
    rows = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(group: Sequence[Result]) -> Cell:
    return Cell(
        passed=sum(each.status == "pass" for each in group),
        known=sum(each.known for each in group),
        bad=sum(not each.green and each.status != "not-run" for each in group),
        not_applicable=sum(each.status == "n/a" for each in group),
        waiting=sum(each.status == "not-run" and not each.known for each in group),
    )


def _heading(column: str) -> str:
    return column if column == ALONE else f"finished by {column}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="conformance.harness.matrix", description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    header, results, footer = report.read(options.report.read_text().splitlines())
    ran = [each for each in results if not (header["filtered"] and each.status == "not-run")]
    matrix = Matrix.of(ran)
    print(markdown(matrix) if options.markdown else plain(matrix))
    if not options.markdown:
        print(footer["verdict"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
