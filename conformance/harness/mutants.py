"""Does the suite notice? Breaks one rule of a codec at a time and lets the cases run.

`python -m conformance.harness.mutants [NAME ...]` works in a temporary copy of the tree, on the
mutants of conformance/mutants.yaml or those named. A mutant is killed when a case turns red. One
that survives is a missing case, and fails the session; so does one whose text is gone. `--check`
only looks for the texts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import CaseError
from .schemas import ROOT

MUTANTS = ROOT / "conformance" / "mutants.yaml"
_KEYS = frozenset({"name", "file", "old", "new", "breaks", "areas", "cases"})
_NEEDED = frozenset({"name", "file", "old", "new", "breaks"})
_COPIED = ("timestep", "conformance", "cassettes", "schemas", "typescript", "pyproject.toml")
_LEFT_OUT = ("node_modules", "dist", "__pycache__", "reports", "test")
_GREEN = frozenset({"pass", "n/a"})


@dataclass(frozen=True)
class Mutant:
    """One breakage: `old` becomes `new` in `file`. `areas` and `cases` say what has to notice."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    areas: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()

    @property
    def typescript(self) -> bool:
        """Whether the TypeScript port has to be built again."""
        return self.file.startswith("typescript/")

    def stale(self, root: Path) -> str | None:
        """Why the mutant cannot be made from the files under `root`."""
        path = root / self.file
        found = path.read_text().count(self.old) if path.exists() else 0
        if found == 1:
            return None
        return f"{self.name}: {self.file} holds its text {found} times, not once"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant. `red` holds the cases that noticed; `problem` why it did not run."""

    mutant: Mutant
    red: Mapping[str, Sequence[str]]
    seconds: float
    problem: str | None = None

    @property
    def killed(self) -> bool:
        return bool(self.red) and self.problem is None

    def line(self) -> str:
        """The verdict in one line."""
        name = f"{self.mutant.name:<34}"
        if self.problem is not None:
            return f"BROKEN    {name} {self.problem}"
        if not self.red:
            return f"SURVIVED  {name} {self.mutant.breaks}"
        return f"killed    {name} {self.seconds:5.1f} s  {', '.join(self.red)}"


def parse(data: Any) -> tuple[Mutant, ...]:
    """The mutants of a parsed file. Raises CaseError."""
    mutants: dict[str, Mutant] = {}
    for number, each in enumerate(data or (), 1):
        where = f"mutants.yaml: entry {number}"
        if not isinstance(each, Mapping) or not _NEEDED <= set(each) <= _KEYS:
            raise CaseError(f"{where}: a mutant holds {', '.join(sorted(_KEYS))}")
        mutant = Mutant(
            **{key: each[key] for key in _NEEDED},
            areas=tuple(each.get("areas", ())),
            cases=tuple(each.get("cases", ())),
        )
        if mutant.name in mutants:
            raise CaseError(f"{where}: {mutant.name} is listed twice")
        if not mutant.areas and not mutant.cases:
            raise CaseError(f"{where}: {mutant.name} names no areas and no cases")
        mutants[mutant.name] = mutant
    return tuple(mutants.values())


class Workbench:
    """A copy of the tree to break things in."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self._built = folder / "built"
        self._reports = folder / "reports"
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns(*_LEFT_OUT)
                shutil.copytree(source, self.root / name, ignore=ignore)
            else:
                shutil.copy(source, self.root / name)
        modules = Path("typescript") / "node_modules"
        shutil.copytree(ROOT / modules, self.root / modules, symlinks=True, copy_function=_link)
        self._build()
        shutil.copytree(self._dist, self._built)

    @property
    def _dist(self) -> Path:
        return self.root / "typescript" / "dist"

    def judge(self, mutant: Mutant, before: Collection[str] = ()) -> Verdict:
        """Break the tree, run the cases that have to notice, and mend it.

        Cases that were red `before` do not count.
        """
        began = time.monotonic()
        path = self.root / mutant.file
        whole = path.read_text()
        try:
            path.write_text(whole.replace(mutant.old, mutant.new))
            if mutant.typescript:
                self._build()
            found = self.red(mutant.areas, mutant.cases)
            red = {name: pairings for name, pairings in found.items() if name not in before}
            return Verdict(mutant, red, time.monotonic() - began)
        except subprocess.CalledProcessError as error:
            first = (error.stdout or error.stderr or "").strip().partition("\n")[0]
            return Verdict(mutant, {}, time.monotonic() - began, f"does not build: {first}")
        finally:
            path.write_text(whole)
            if mutant.typescript:
                shutil.rmtree(self._dist)
                shutil.copytree(self._built, self._dist)

    def red(self, areas: Sequence[str], cases: Sequence[str]) -> dict[str, list[str]]:
        """The cases that fail, each with the pairings it fails in."""
        shutil.rmtree(self._reports, ignore_errors=True)
        folder = self.root / "conformance" / "cases"
        paths = [str(folder / area) for area in areas] or [str(folder)]
        choice = ("-k", " or ".join(cases)) if cases else ()
        # The copy has no .venv, and a file broken twice in a second would be taken from the cache.
        own = {"TIMESTEP_PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"}
        environment = {**os.environ, **own}
        quiet = ("-q", "-q", "--no-header", "--reports", str(self._reports))
        subprocess.run(
            (sys.executable, "-m", "conformance", *paths, *choice, *quiet),
            cwd=self.root,
            env=environment,
            capture_output=True,
            check=False,
        )
        failed: dict[str, list[str]] = {}
        ran = 0
        for result in self._results():
            if result["status"] == "not-run":
                continue
            ran += 1
            if result["status"] not in _GREEN and not result.get("known"):
                failed.setdefault(result["case"], []).append(result["pairing"])
        if not ran:
            raise CaseError(f"no case ran in {', '.join(paths)}")
        return dict(sorted(failed.items()))

    def _results(self) -> Iterator[Mapping[str, Any]]:
        report = self._reports / "report.ndjson"
        if not report.exists():
            return
        for line in report.read_text().splitlines():
            entry = json.loads(line)
            if entry["kind"] == "result":
                yield entry

    def _build(self) -> None:
        subprocess.run(
            ("npm", "run", "--silent", "build"),
            cwd=self.root / "typescript",
            check=True,
            capture_output=True,
            text=True,
        )


def _link(source: str, target: str) -> None:
    """A second name for a file, so that nothing that happens to the first one is noticed."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _baseline(bench: Workbench, mutants: Sequence[Mutant]) -> frozenset[str]:
    """The cases that are red in the unbroken tree, which say nothing about mutants."""
    areas = sorted({area for each in mutants for area in each.areas})
    cases = sorted({case for each in mutants for case in each.cases})
    found = bench.red(areas, ()) if areas else {}
    found |= bench.red((), cases) if cases else {}
    return frozenset(found)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="conformance.harness.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="only look for the texts")
    options = parser.parse_args(arguments)
    try:
        every = parse(yaml.safe_load(MUTANTS.read_text()))
        mutants = [each for each in every if not options.names or each.name in options.names]
        problems = [problem for each in mutants if (problem := each.stale(ROOT))]
        print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
        if options.check or not mutants:
            return 1 if problems or not mutants else 0
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            return _run(Workbench(Path(folder)), mutants, broken=bool(problems))
    except CaseError as error:
        print(error, file=sys.stderr)
        return 2


def _run(bench: Workbench, mutants: Sequence[Mutant], *, broken: bool) -> int:
    before = _baseline(bench, mutants)
    if before:
        print(f"red without a mutant: {', '.join(sorted(before))}", file=sys.stderr, flush=True)
    killed = 0
    for number, mutant in enumerate(mutants, 1):
        if mutant.stale(bench.root):
            continue
        verdict = bench.judge(mutant, before)
        killed += verdict.killed
        print(f"[{number}/{len(mutants)}] {verdict.line()}", flush=True)
    print(f"{killed} of {len(mutants)} mutants killed")
    return 0 if killed == len(mutants) and not broken and not before else 1


if __name__ == "__main__":
    sys.exit(main())
