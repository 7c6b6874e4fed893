"""Paired snapshots of both SDKs, resumed through the drivers after every crossing.

Each scenario has the snapshot of both SDKs at an approval and the requests each SDK sent when it
resumed its own. A snapshot that was converted has to make the reader send those same requests.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conformance.harness import cassette, match, script
from conformance.harness.driver import Driver
from conformance.harness.errors import DriverError, PortError
from conformance.harness.ports import Port
from conformance.harness.schemas import ROOT
from conformance.harness.server import CassetteServer
from conformance.harness.transcript import Transcript

Json = dict[str, Any]

_WEATHER = (
    *("always", "alwaysrej", "compaction", "conv", "ctx", "hosted", "maxnull", "pendinput", "prev"),
    *("reasoning", "refusal", "reject", "simple", "stream"),
)
_AGENTS = {
    **dict.fromkeys(_WEATHER, "weather"),
    **dict.fromkeys(("computer", "computer2"), "computer"),
    **dict.fromkeys(("handpend", "multihand"), "handoff-pending"),
    **dict.fromkeys(("parallel", "twoturn"), "weather-time"),
    **dict.fromkeys(("agenttool", "nest2"), "nested"),
    "custom": "custom",
    "deferred": "deferred",
    "dup": "duplicate-names",
    "guard": "guardrails",
    "handoff": "handoff",
    "lmcp": "local-mcp-approval",
    "localshell": "local-shell",
    "mcp": "hosted-mcp",
    "mix": "custom-weather",
    "namespaced": "namespaced",
    "patch": "apply-patch",
    "rich": "rich",
    "shell": "shell",
    "structured": "structured",
}
_REFUSED = {
    ("dup", "python", "typescript"): "duplicate-agent",
    ("dup", "typescript", "python"): "duplicate-agent",
    ("custom", "python", "typescript"): "unsupported-approval",
    ("computer", "typescript", "python"): "unsupported-approval",
    ("mix", "typescript", "python"): "unknown-call",
}
"""Crossings that the refuse table of docs/run-state.md forbids, with the code of the refusal."""

_AS_WRITER = frozenset({"computer", "mix"})
"""Scenarios that stop elsewhere in the two SDKs: at the computer call, which only TypeScript asks
about, and after a custom tool call, which TypeScript does not know. The reader of a snapshot of
the other language sends what the writer would have sent."""

_SUFFIX = {"python": "py", "typescript": "ts"}


@dataclass(frozen=True)
class Scenario:
    """One snapshot, and the requests the reader's own SDK sent when it resumed its own."""

    name: str
    writer: str
    reader: str
    snapshot: Json
    requests: tuple[Json, ...]

    @property
    def title(self) -> str:
        return f"{self.name}: {self.writer} -> {self.reader}"

    @property
    def refusal(self) -> str | None:
        """The code the crossing has to be refused with, if any."""
        return _REFUSED.get((self.name, self.writer, self.reader))


def scenarios(folder: Path) -> Iterator[Scenario]:
    """Every snapshot that has requests to compare with, for both readers."""
    snapshots = folder / "scenarios" / "snapshots"
    for name in sorted(_AGENTS):
        for writer, suffix in _SUFFIX.items():
            decided = snapshots / f"{name}.dec.{suffix}.json"
            path = decided if decided.exists() else snapshots / f"{name}.{suffix}.json"
            if not path.exists():
                continue
            for reader in _SUFFIX:
                like = writer if name in _AS_WRITER else reader
                sent = folder / "scenarios" / "requests" / f"{name}.{like}.jsonl"
                if not sent.exists() and (name, writer, reader) not in _REFUSED:
                    continue
                # One recording holds the same resume twice.
                lines = dict.fromkeys(sent.read_text().splitlines() if sent.exists() else ())
                yield Scenario(
                    name,
                    writer,
                    reader,
                    json.loads(path.read_text()),
                    tuple(json.loads(line) for line in lines),
                )


async def run(folder: Path, ports: Mapping[str, Port]) -> list[tuple[Scenario, str | None]]:
    """Each scenario with what went wrong, or None."""
    transcript = Transcript()
    drivers = {name: Driver(port, transcript) for name, port in ports.items()}
    results = []
    async with CassetteServer() as server:
        try:
            for number, scenario in enumerate(scenarios(folder)):
                with tempfile.TemporaryDirectory() as workdir:
                    problem = await _judge(scenario, drivers, server, f"s{number}", Path(workdir))
                results.append((scenario, problem))
                transcript.take()
        finally:
            for driver in drivers.values():
                await driver.close()
    return results


async def _judge(
    scenario: Scenario,
    drivers: Mapping[str, Driver],
    server: CassetteServer,
    session: str,
    workdir: Path,
) -> str | None:
    reader = drivers[scenario.reader]
    opened = server.open(session, _answers(scenario))
    try:
        await reader.call(
            "case.open",
            {
                "case": scenario.name,
                "agents": _agents(scenario.name),
                "model": {"base_url": opened.base_url, "api_key": "unused"},
                "workdir": str(workdir),
            },
        )
        try:
            outcome = await _resume(scenario, drivers)
        finally:
            await reader.call("case.close", {})
    except PortError as error:
        if error.code == scenario.refusal:
            return None
        return f"{error.code}: {error}"
    except DriverError as error:
        return str(error)
    finally:
        player = server.close(session)
    if scenario.refusal:
        return f"no refusal, expected {scenario.refusal}"
    if outcome["status"] == "failed":
        return f"the run failed: {outcome['error']['message']}"
    return _compare(scenario, [each.body for each in player.requests])


async def _resume(scenario: Scenario, drivers: Mapping[str, Driver]) -> Json:
    converted = await drivers[scenario.writer].call(
        "state.convert", {"payload": scenario.snapshot, "from": "native", "to": "portable"}
    )
    reader = drivers[scenario.reader]
    document = converted["payload"]
    loaded = await reader.call("state.load", {"form": "portable", "payload": document})
    decided = {each.get("call_id") for each in document["decisions"]}
    if not document["decisions"]:
        for each in loaded["interruptions"]:
            if each["call_id"] not in decided:
                args = {"call_id": each["call_id"], "decision": "approve"}
                await reader.call("run.decide", args)
    streamed = any(each.get("stream") for each in scenario.requests)
    return await reader.call("run.advance", {"stream": True} if streamed else {})


def _compare(scenario: Scenario, sent: list[Any]) -> str | None:
    expected = [match.normalise(each, ports_differ=True) for each in scenario.requests]
    actual = [match.normalise(each, ports_differ=True) for each in sent]
    if scenario.name in _AS_WRITER:
        # The tools on offer are the reader's own.
        for body in [*expected, *actual]:
            body.pop("tools", None)
    return next(match.differences(expected, actual), None)


def _answers(scenario: Scenario) -> cassette.Cassette | None:
    """What the model has to say so that the recorded requests follow from each other."""
    if not scenario.requests:
        return None
    inputs = [each["input"] for each in scenario.requests]
    turns: list[Any] = []
    for now, later in itertools.pairwise(inputs):
        if later[: len(now)] == now:
            new = later[len(now) :]
            turns.append([each for each in new if not str(each.get("type")).endswith("_output")])
        else:
            outputs = [each["output"] for each in later if "output" in each]
            turns.append([{"type": "message", "text": outputs[-1]}])
    last = '{"answer":"done"}' if "text" in scenario.requests[-1] else "done"
    turns.append([{"type": "message", "text": last}])
    data = script.expand(scenario.name, {"at": "2026-11-25", "turns": turns})
    return cassette.parse(scenario.name, data)


def _agents(name: str) -> Any:
    path = ROOT / "conformance" / "agents" / f"{_AGENTS[name]}.yaml"
    return yaml.safe_load(path.read_text())
