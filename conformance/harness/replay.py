"""Send what a transcript holds to a driver again, for a debugger or after a fix.

`python -m conformance.harness.replay reports/transcript.ndjson --port typescript [--case ts-0001]`
starts the port's driver, sends it the recorded requests in order and prints each answer that
differs from the recorded one. Addresses of the cassette server are replaced by a new server that
plays the cassettes of the cases again. Exit code 1 where an answer differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import match, ports
from .case import Case
from .driver import Driver, Limits
from .errors import DriverError
from .library import Library
from .server import CassetteServer
from .transcript import Entry, Transcript, read

_SESSION = re.compile(r"http://127\.0\.0\.1:\d+/((ts-\d{4})-\d+)(?![\w-])")
_SKIP = frozenset({"hello", "bye", "cancel"})


def turns(entries: Sequence[Entry], port: str) -> dict[str, set[int]]:
    """By session of the cassette server, the turns that answered requests of `port`."""
    found: dict[str, set[int]] = {}
    asking = ""
    for each in entries:
        if each.way == "in":
            asking = each.port
        elif each.port == "model":
            told = json.loads(each.text)
            mine = found.setdefault(told["session"], set())
            if asking == port and told["turn"] is not None:
                mine.add(told["turn"])
    return found


@dataclass(frozen=True)
class Step:
    """A recorded request and its recorded answer, None where there was none."""

    op: str
    args: dict[str, Any]
    answer: dict[str, Any] | None


def steps(entries: Sequence[Entry], port: str, case: str | None = None) -> Iterator[Step]:
    """The requests to `port`, those of one case only where it is given."""
    current = ""
    mine: list[tuple[Entry, str]] = []
    for each in entries:
        if each.port == "suite":
            current = each.text.partition(" ")[0]
        elif each.port == port:
            mine.append((each, current))
    answers = {}
    for each, _ in mine:
        if each.way == "out":
            try:
                value = json.loads(each.text)
                answers[value["id"]] = value
            except (ValueError, KeyError, TypeError):
                continue
    for each, of_case in mine:
        if each.way == "in" and (case is None or of_case == case):
            value = json.loads(each.text)
            if value["op"] not in _SKIP:
                yield Step(value["op"], value["args"], answers.get(value["id"]))


async def replay(
    driver: Driver, recorded: Sequence[Step], played: Mapping[str, set[int]], library: Library
) -> list[str]:
    """What the driver answers otherwise than it did; `played` is what `turns` found."""
    differing = []
    cases = {case.id: case for case in library.cases}
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        async with CassetteServer() as server:
            workdirs: dict[str, str] = {}

            def address(found: re.Match[str]) -> str:
                return _address(found, cases, library, server, played)

            for number, step in enumerate(recorded, 1):
                text = _moved(json.dumps(step.args), workdirs)
                args = json.loads(_SESSION.sub(address, text))
                if step.op == "case.open":
                    workdirs[step.args["workdir"]] = folder
                    args["workdir"] = folder
                answer: dict[str, Any]
                try:
                    answer = {"ok": await driver.call(step.op, args)}
                except DriverError as error:
                    answer = {"err": f"{type(error).__name__}: {error}"}
                if step.answer is None or "err" in answer or "err" in step.answer:
                    same = "err" in answer and "err" in (step.answer or {"err": None})
                    found = [] if same else [f"{answer}, recorded {step.answer}"]
                else:
                    found = list(match.differences(step.answer["ok"], answer["ok"]))
                differing += [f"{number} {step.op}: {each}" for each in found]
    return differing


def _address(
    found: re.Match[str],
    cases: Mapping[str, Case],
    library: Library,
    server: CassetteServer,
    played: Mapping[str, set[int]],
) -> str:
    """The address, at the new server, of a session of the old one."""
    name, case = found[1], cases.get(found[2])
    if case is None:
        return found[0]
    if name not in server.sessions:
        cassette = library.cassette(case.cassette) if case.cassette else None
        session = server.open(name, cassette, split=case.split)
        if cassette is not None:
            session.player.played = set(cassette.turns) - played.get(name, set())
    return server.sessions[name].base_url.removesuffix("/v1")


def _moved(text: str, workdirs: dict[str, str]) -> str:
    for old, new in workdirs.items():
        text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    return text


async def _run(options: argparse.Namespace, driver: Driver) -> list[str]:
    entries = read(options.transcript)
    recorded = list(steps(entries, options.port, options.case))
    print(f"{len(recorded)} requests to {options.port}", file=sys.stderr)
    try:
        return await replay(driver, recorded, turns(entries, options.port), Library(options.suite))
    finally:
        await driver.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="conformance.harness.replay", description=__doc__)
    parser.add_argument("transcript", type=Path)
    parser.add_argument("--port", required=True)
    parser.add_argument("--case", help="only the requests of this case")
    parser.add_argument(
        "--deadline", type=float, default=3600.0, help="seconds, long for debuggers"
    )
    parser.add_argument("--suite", type=Path, default=Library().root)
    options = parser.parse_args(arguments)
    known = {port.name: port for port in ports.load(options.suite / "conformance" / "ports.yaml")}
    if options.port not in known:
        parser.error(f"no port is named {options.port}")
    driver = Driver(known[options.port], Transcript(), Limits(deadline=options.deadline))
    differing = asyncio.run(_run(options, driver))
    for each in differing:
        print(each)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
