"""A small suite in a temporary folder, run against the fake drivers."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from conformance.harness import script
from conformance.harness.driver import Limits
from conformance.harness.library import Library
from conformance.harness.ports import Port
from conformance.harness.suite import Suite

FAKE = ("{python}", "-m", "tests.harness.fakes.honest")
QUICK = Limits(deadline=1.0, grace=0.3, patience=0.5)

SCRIPT: dict[str, Any] = {
    "at": "2026-11-25",
    "turns": [
        [{"type": "function_call", "call_id": "call_1", "name": "pay", "arguments": {"n": 1}}],
        [{"type": "message", "text": "Paid."}],
    ],
}
CASE: dict[str, Any] = {
    "id": "ts-0001",
    "title": "an approved call runs once in the other language",
    "level": "must",
    "spec": ["run-state#decisions"],
    "requires": ["approvals"],
    "agents": "tiny",
    "cassette": "pay",
    "legs": [
        {"port": "A", "do": "run.start", "input": "Pay.", "expect": {"status": "interrupted"}},
        {"port": "A", "do": "run.decide", "call_id": "call_1", "decision": "approve"},
        {"do": "cross", "from": "A", "to": "B"},
        {"port": "B", "do": "run.advance"},
    ],
    "expect": {
        "outcome": {"status": "completed", "output": "Paid."},
        "effects": [{"tool": "pay", "arguments": {"n": 1}}],
    },
}
AGENTS = {
    "description": "Pays.",
    "root": "assistant",
    "agents": [{"name": "assistant", "model": "gpt-x"}],
}


def case(**changes: Any) -> dict[str, Any]:
    """The usual case with top-level keys replaced; a key given as None is left out."""
    changed = {**copy.deepcopy(CASE), **changes}
    return {key: value for key, value in changed.items() if value is not None}


def command(*, language: str = "python", lie: str = "") -> list[str]:
    """What starts the fake driver."""
    return [*FAKE, "--language", language, "--lie", lie]


def build(root: Path, *cases: Mapping[str, Any], lies: Mapping[str, str] | None = None) -> Path:
    """Write a suite of `cases` over two fake ports; `lies` by port name."""
    folder = root / "conformance"
    for name in ("cases", "agents", "known-failing", "requirements", "fixtures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (root / "cassettes").mkdir(exist_ok=True)
    lies = lies or {}
    ports = {
        name: {"language": name, "command": command(language=name, lie=lies.get(name, ""))}
        for name in ("python", "typescript")
    }
    (folder / "ports.yaml").write_text(yaml.safe_dump({"ports": ports}))
    for one in cases or (CASE,):
        (folder / "cases" / f"{one['id']}.yaml").write_text(yaml.safe_dump(dict(one)))
    (folder / "agents" / "tiny.yaml").write_text(yaml.safe_dump(AGENTS))
    call = {**SCRIPT["turns"][0][0], "call_id": "call_2"}
    twice = {**SCRIPT, "turns": [SCRIPT["turns"][0], [call], SCRIPT["turns"][1]]}
    for name, each in (("pay", SCRIPT), ("pay-twice", twice)):
        text = script.dump(script.expand(name, each))
        (root / "cassettes" / f"{name}.yaml").write_text(text)
    return root


@contextlib.contextmanager
def suite(root: Path) -> Iterator[Suite]:
    """The suite under `root`, ended at the end."""
    import sys

    data = yaml.safe_load((root / "conformance" / "ports.yaml").read_text())["ports"]
    ports = [
        Port(
            name,
            each["language"],
            tuple(p.replace("{python}", sys.executable) for p in each["command"]),
        )
        for name, each in data.items()
    ]
    made = Suite(Library(root), ports, transcript=root / "transcript.ndjson", limits=QUICK)
    try:
        yield made
    finally:
        made.close()
