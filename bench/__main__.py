"""`python -m bench`: the table of ratios, every one of them measured in this run."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import approvals, models, pieces, runs
from bench.measure import command, exponent, medians
from timestep.state import dump_run_state, to_native, to_portable
from timestep.store.text import encode

TYPESCRIPT = Path(__file__).parent.parent / "typescript"

# RunState.toJSON of @openai/agents 0.20 grows faster than the square: minutes for 2,000 items.
# Beyond this many the snapshot is made from Python's document, and no save is measured.
_MOST_FOR_THE_TYPESCRIPT_SDK = 200


@dataclass(frozen=True)
class Row:
    """One line of the table. `aim` is the highest ratio aimed at; None for times."""

    what: str
    port: str
    items: str
    value: float
    aim: float | None
    unit: str = "x"


def main() -> None:
    """Measures and prints."""
    os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
    rows = [
        *_import_times(),
        *asyncio.run(_approvals()),
        *asyncio.run(_models()),
        *asyncio.run(_pieces()),
        *asyncio.run(_states()),
    ]
    print(f"{'what':<60}{'port':<12}{'items':>6}{'measured':>12}{'aim':>10}")
    for row in sorted(rows, key=lambda row: (row.what, row.port)):
        aim = "" if row.aim is None else f"<= {row.aim:g}"
        mark = "" if row.aim is None or row.value <= row.aim else "  above"
        print(
            f"{row.what:<60}{row.port:<12}{row.items:>6}{row.value:>10.3g} {row.unit}{aim:>9}{mark}"
        )


async def _models() -> list[Row]:
    """The rows of an answer of Ollama, for both ports."""
    _say("models")
    return [
        Row(what, port, "", took[work] / took[base], None)
        for port, took in (await models.measured()).items()
        for work, (what, base) in models.WHAT.items()
    ]


async def _approvals() -> list[Row]:
    """The rows of the inbox: the work over runs of any size, and starting the command."""
    _say("the approvals inbox")
    small, large = approvals.SIZES
    works = {
        "list": f"list {approvals.WAITING:,} approvals",
        "approve": f"approve one of {approvals.WAITING:,}",
    }
    rows = [
        Row(f"{works[work]}, {kind} / runs of {small} items", "python", str(large), ratio, 1.2)
        for (kind, work), ratio in (await approvals.measured()).items()
    ]
    for (port, kind), ratio in approvals.processes().items():
        what = f"timestep approvals list, {kind} / import of the SDK"
        rows.append(Row(what, port, "", ratio, 0.15))
    return rows


async def _pieces() -> list[Row]:
    """The rows of what a store writes, reads and adds."""
    _say(f"a run of {pieces.TURNS} approvals")
    sizes = await pieces.written()
    turns = str(pieces.TURNS)
    rows = []
    for place, floor in (("pieces", "items"), ("folder", "items"), ("postgresql", "row")):
        what = f"bytes of approvals, {place}"
        each = statistics.median(sizes[place]) / statistics.median(sizes[floor])
        total = sum(sizes[place]) / sum(sizes[floor])
        rows += [
            Row(
                f"{what}: late turns / early", "python", turns, pieces.flatness(sizes[place]), 1.05
            ),
            Row(f"{what}: a turn / its items alone", "python", turns, each, None),
            Row(f"{what}: all / the items alone", "python", turns, total, 1.5),
        ]
    _say(f"reading a run of {pieces.DEPTH:,} revisions, and saving in PostgreSQL")
    took = await pieces.read_back()
    depth = str(pieces.DEPTH)
    rows += [
        Row(_READ, "python", depth, took["read"] / took["from_json"], 1.2),
        Row(_ENCODE, "python", depth, took["encode"] / took["to_json"], 0.1),
    ]
    for items, ratio in (await pieces.commits()).items():
        rows.append(Row("save in PostgreSQL / commit of one row", "python", str(items), ratio, 1.3))
    _say("pieces in TypeScript")
    measured = pieces.typescript()
    turns = str(measured["turns"])
    what = "bytes of approvals, pieces"
    return [
        *rows,
        Row(f"{what}: late turns / early", "typescript", turns, measured["flatness"], 1.05),
        Row(f"{what}: a turn / its items alone", "typescript", turns, measured["each"], None),
        Row(f"{what}: all / the items alone", "typescript", turns, measured["total"], 1.5),
        Row(_READ, "typescript", turns, measured["read"] / measured["fromString"], 1.2),
        Row(_ENCODE, "typescript", turns, measured["encode"] / measured["toString"], 0.1),
    ]


_READ = "read a run from its pieces / the SDK's own reading"
_ENCODE = "a save's piece / the SDK's serialisation"


async def _states() -> list[Row]:
    """The rows of converting and saving, for both ports and all sizes."""
    rows: list[Row] = []
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for items in runs.SIZES:
            _say(f"a run of {items} items in both ports")
            state = await runs.paused(items)
            document = Path(folder) / "python.json"
            document.write_bytes(encode(dump_run_state(state).document))
            other = Path(folder) / "typescript.json"
            if items > _MOST_FOR_THE_TYPESCRIPT_SDK:
                typescript = await _typescript("-", document, other)
            else:
                async with runs.model(items) as base_url:
                    typescript = await _typescript(base_url, document, other)
            measured = {"python": _python(state, json.loads(other.read_bytes()))}
            measured["typescript"] = typescript
            for port, (sizes, took) in measured.items():
                rows += _ratios(port, items, took)
                for work, size in sizes.items():
                    for each in (work, *_CONVERSIONS.get(work, ())[1:]):
                        times.setdefault((port, each), []).append((size, took[each]))
    for (port, work), points in times.items():
        if work in _CONVERSIONS:
            what, parse = _CONVERSIONS[work]
            rows.append(Row(f"{what}, growth exponent", port, "", exponent(points), 1.05, " "))
            alone = exponent(times[port, parse])
            rows.append(Row(f"{what}, growth of the parse", port, "", alone, None, " "))
    return rows


_CONVERSIONS = {
    "to_portable": ("to portable / parse", "parse_native"),
    "to_native": ("to native / parse", "parse_portable"),
    "cross": ("the other port's to native / parse", "parse_other"),
}


def _ratios(port: str, items: int, took: Mapping[str, float]) -> Iterator[Row]:
    for work, (what, parse) in _CONVERSIONS.items():
        yield Row(what, port, str(items), took[work] / took[parse], 5)
    if "save" in took:
        added = took["save"] / took["serialise"] - 1
        yield Row("a save adds to the SDK's serialisation", port, str(items), added, 0.25)


def _python(state: Any, other: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Sizes in bytes and median CPU times in seconds of the works of the Python port."""
    native = state.to_json()
    document = to_portable(native).document
    texts = {
        "native": state.to_string(),
        "portable": encode(document).decode(),
        "other": encode(other).decode(),
    }
    conversions = medians(
        {
            "parse_native": lambda: json.loads(texts["native"]),
            "parse_portable": lambda: json.loads(texts["portable"]),
            "parse_other": lambda: json.loads(texts["other"]),
            "to_portable": lambda: to_portable(native),
            "to_native": lambda: to_native(document),
            "cross": lambda: to_native(other),
        }
    )
    saves = medians(
        {
            "serialise": lambda: state.to_string().encode(),
            "save": lambda: encode(dump_run_state(state).document),
        }
    )
    sizes = {
        "to_portable": len(texts["native"]),
        "to_native": len(texts["portable"]),
        "cross": len(texts["other"]),
    }
    return {key: float(size) for key, size in sizes.items()}, {**conversions, **saves}


async def _typescript(
    base_url: str, other: Path, output: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """The same of the TypeScript port, which also writes its document to `output`."""
    process = await asyncio.create_subprocess_exec(
        *("node", "--expose-gc", "bench/state.mjs", base_url, str(other), str(output)),
        cwd=TYPESCRIPT,
        stdout=subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    if process.returncode:
        sys.exit("the TypeScript port could not be measured")
    measured = json.loads(stdout)
    return measured["sizes"], measured["times"]


def _import_times() -> Iterator[Row]:
    """Importing each package against importing its SDK, both without the bare interpreter."""
    python = [sys.executable, "-c"]
    node = ["node", "--input-type=module", "-e"]
    commands = {
        ("python", "nothing"): [*python, "pass"],
        ("python", "port"): [*python, "import timestep"],
        ("python", "sdk"): [*python, "import agents"],
        ("typescript", "nothing"): [*node, "0"],
        ("typescript", "port"): [*node, "await import('@timestep-ai/timestep')"],
        ("typescript", "sdk"): [*node, "await import('@openai/agents')"],
    }
    _say("imports")
    times: dict[tuple[str, str], list[float]] = {key: [] for key in commands}
    for _ in range(7):
        for key, arguments in commands.items():
            times[key].append(command(arguments, TYPESCRIPT))
    took = {key: statistics.median(each) for key, each in times.items()}
    for port in ("python", "typescript"):
        nothing = took[port, "nothing"]
        ratio = max(0.0, took[port, "port"] - nothing) / (took[port, "sdk"] - nothing)
        yield Row("import / import of the SDK", port, "", ratio, 0.05)


def _say(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
