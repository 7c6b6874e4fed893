"""What the inbox costs: the same for runs of any size, and little to start as a command."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import runs
from bench.measure import command
from conformance.harness import services
from timestep import Approvals
from timestep.state import dump_run_state
from timestep.store.facts import facts
from timestep.store.location import open_backend
from timestep.store.pieces import encode

TYPESCRIPT = Path(__file__).parent.parent / "typescript"

SIZES = (2, 2000)
"""Items of the runs."""
WAITING = 1000
"""Runs in each place, with a call each that waits."""
_ROUNDS = 61


async def measured() -> dict[tuple[str, str], float]:
    """Listing all and approving one over large runs, as ratios to small ones, by place and work."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {("folder", size): str(folder / str(size)) for size in SIZES} | {
            ("postgresql", size): stack.enter_context(services.postgres()) for size in SIZES
        }
        for (_, size), location in places.items():
            await _fill(location, size)
        times = await _times(places)
    small, large = SIZES
    return {
        (kind, work): times[kind, large, work] / times[kind, small, work]
        for kind, size, work in times
        if size == small
    }


def processes() -> dict[tuple[str, str], float]:
    """`timestep approvals list` by port and place, as a ratio to importing the language's SDK.

    CPU time of whole processes, without that of the bare interpreter.
    """
    starts = {
        "python": ([sys.executable, "-c"], "pass", "import agents"),
        "typescript": (
            ["node", "--input-type=module", "-e"],
            "0",
            "await import('@openai/agents')",
        ),
    }
    tools = {
        "python": [sys.executable, "-m", "timestep.cli"],
        "typescript": ["node", "dist/cli/main.js"],
    }
    with tempfile.TemporaryDirectory() as folder, services.postgres() as url:
        places = {"folder": folder, "postgresql": url}
        commands = {}
        for port, (start, nothing, sdk) in starts.items():
            commands[port, "nothing"] = [*start, nothing]
            commands[port, "sdk"] = [*start, sdk]
            for kind, location in places.items():
                listing = ["approvals", "list", "--location", location]
                commands[port, kind] = [*tools[port], *listing]
        times: dict[tuple[str, str], list[float]] = {key: [] for key in commands}
        for _ in range(7):
            for key, arguments in commands.items():
                times[key].append(command(arguments, TYPESCRIPT))
    took = {key: statistics.median(each) for key, each in times.items()}
    return {
        (port, kind): max(0.0, took[port, kind] - took[port, "nothing"])
        / (took[port, "sdk"] - took[port, "nothing"])
        for port in starts
        for kind in places
    }


async def _fill(location: str, size: int) -> None:
    """Saves runs of `size` items that wait, all with the same document."""
    document = dump_run_state(await runs.paused(size)).document
    said = facts(document, None, {})
    piece, _ = await encode("run", document, None, None)
    backend = await open_backend(location)
    for number in range(WAITING):
        await backend.save(f"run-{number}", piece, said)
    await backend.aclose()


async def _times(places: Mapping[tuple[str, int], str]) -> dict[tuple[str, int, str], float]:
    """Median real time in seconds, by kind, size and work; a round takes every place in turn."""
    inboxes = {key: Approvals(location) for key, location in places.items()}
    times: dict[tuple[str, int, str], list[float]] = {}
    for number in range(_ROUNDS):
        for (kind, size), inbox in inboxes.items():
            began = time.perf_counter()
            assert len(await inbox.list()) == WAITING
            listed = time.perf_counter()
            await inbox.approve(f"run-{number}", by="bench")
            ended = time.perf_counter()
            times.setdefault((kind, size, "list"), []).append(listed - began)
            times.setdefault((kind, size, "approve"), []).append(ended - listed)
    for inbox in inboxes.values():
        await inbox.aclose()
    return {key: statistics.median(each) for key, each in times.items()}
