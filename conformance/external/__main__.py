"""Outside material through both drivers, counted by outcome."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from conformance.harness import ports

from . import corpus, material, recordings, scenarios
from .exchanges import NOT_A_MODEL, Unreadable
from .outcome import Outcome, table

_ALLOWED = 0.02
_PARTS = ("corpus", "scenarios", "recordings", "all")


def main() -> int:
    """Run the parts asked for; 1 where something is unexplained."""
    parser = argparse.ArgumentParser(prog="python -m conformance.external", description=__doc__)
    parser.add_argument("part", nargs="?", choices=_PARTS, default="all")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="each N-th row or answer only"
    )
    parser.add_argument("--corpus", action="append", choices=material.CORPORA)
    parser.add_argument("--lanes", type=int, default=2, help="rows at a time")
    parser.add_argument("--report", type=Path, help="write one JSON line a row")
    options = parser.parse_args()
    folder = material.root()
    if folder is None:
        print("not run: no external corpus")
        return 0
    by_language = {port.language: port for port in ports.load()}
    failed = False
    if options.part in ("scenarios", "all"):
        failed |= _scenarios(asyncio.run(scenarios.run(folder, by_language)))
    if options.part in ("recordings", "all") and (folder / "recordings").is_dir():
        played = recordings.run(folder / "recordings", by_language, every=options.every)
        failed |= _recordings(*asyncio.run(played))
    if options.part in ("corpus", "all"):
        names = tuple(options.corpus or material.CORPORA)
        outcomes = asyncio.run(
            corpus.run(
                folder,
                names,
                by_language,
                lanes=options.lanes,
                every=options.every,
                progress=_progress,
            )
        )
        if options.report:
            _write(options.report, outcomes)
        failed |= _corpus(outcomes, names, partial=options.every > 1)
    return 1 if failed else 0


def _scenarios(results: list[tuple[scenarios.Scenario, str | None]]) -> bool:
    """Print what became of the scenarios; whether one failed."""
    bad = [(scenario, problem) for scenario, problem in results if problem]
    refused = [scenario for scenario, problem in results if scenario.refusal and not problem]
    print(
        f"scenarios: {len(results) - len(bad) - len(refused)} resumed with equal requests, "
        f"{len(refused)} refused as they have to be, {len(bad)} failed"
    )
    for scenario, problem in bad:
        print(f"    {scenario.title}: {problem}")
    return bool(bad) or not results


def _recordings(results: list[recordings.Result], unreadable: list[Unreadable]) -> bool:
    """Print what became of the recorded answers; whether one is not what was recorded."""
    bad = [each for each in results if each.problem]
    print(f"\nrecordings: {len(results)} answers, {len(bad)} not as recorded")
    print("\n".join(recordings.table(results)))
    for each in bad:
        print(f"    {each.exchange.id}: {str(each.problem)[:300]}")
    unread = [each for each in unreadable if not each.why.startswith(NOT_A_MODEL)]
    others = len(unreadable) - len(unread)
    print(f"  other requests in the files: {others}; not read: {len(unread)}")
    for row in unread:
        print(f"    {row.id}: {row.why}")
    return bool(bad) or not results


def _progress(row: str, done: int, seconds: float) -> None:
    print(f"{done} rows in {seconds:.0f} s, at {row}", flush=True)


def _corpus(outcomes: list[Outcome], names: Iterable[str], *, partial: bool) -> bool:
    """Print what became of the snapshots; whether too many are unexplained."""
    failed = False
    for name in names:
        part = [each for each in outcomes if each.row.id.startswith(f"{name}/")]
        print(f"\n{name}: {len(part)} snapshots{' (a part only)' if partial else ''}")
        print("\n".join(table(part)))
        bad = [each for each in part if each.unexplained]
        for each in itertools.islice(bad, 60):
            print(f"    {each.row.id}: {each.unexplained}: {each.detail[:160]}")
        failed |= not part or len(bad) > _ALLOWED * len(part)
    bad_total = sum(1 for each in outcomes if each.unexplained)
    print(f"\n{len(outcomes) - bad_total} passed, {bad_total} failed")
    return failed


def _write(path: Path, outcomes: Iterable[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for each in sorted(outcomes, key=lambda outcome: outcome.row.id):
            file.write(
                json.dumps(
                    {
                        "id": each.row.id,
                        "expect": each.row.expect,
                        "loads": each.row.loads,
                        "schema": each.row.schema,
                        "same": each.same,
                        "cross": each.cross,
                        "unexplained": each.unexplained,
                        "detail": each.detail,
                    }
                )
                + "\n"
            )


if __name__ == "__main__":
    sys.exit(main())
