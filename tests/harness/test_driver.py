"""The driver client calls every lying driver what it is, and goes on afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conformance.harness import transcript
from conformance.harness.cassette import parse
from conformance.harness.driver import Driver, Limits
from conformance.harness.errors import (
    AdapterError,
    CapabilityLacking,
    CaseError,
    DriverCrashed,
    DriverTimeout,
    PortError,
    ProtocolError,
    Unsupported,
)
from conformance.harness.ports import Port
from conformance.harness.script import expand
from conformance.harness.server import CassetteServer
from conformance.harness.transcript import Transcript

from .workshop import SCRIPT, command

pytestmark = pytest.mark.anyio
LIMITS = Limits(deadline=1.0, grace=0.4, patience=0.5)


def driver(lie: str, lines: Transcript | None = None) -> Driver:
    parts = tuple(part.replace("{python}", sys.executable) for part in command(lie=lie))
    return Driver(Port("fake", "python", parts), lines or Transcript(), LIMITS)


async def start(made: Driver) -> dict[str, object]:
    """A run against a real cassette, up to the reply that the fake lies about."""
    async with CassetteServer() as server:
        session = server.open("one", parse("pay", expand("pay", SCRIPT)))
        opened = {
            "case": "ts-0001",
            "agents": {},
            "model": {"base_url": session.base_url, "api_key": "unused"},
            "workdir": ".",
        }
        await made.call("case.open", opened)
        return await made.call("run.start", {"input": "Pay."})


async def test_honest_answers() -> None:
    made = driver("")
    outcome = await start(made)
    assert outcome["status"] == "interrupted"
    assert "approvals" in made.capabilities
    await made.close()


async def test_a_line_in_many_writes_is_one_line() -> None:
    made = driver("split-writes")
    assert (await start(made))["status"] == "interrupted"
    await made.close()


async def test_crash_names_the_exit_code_and_keeps_stderr() -> None:
    made = driver("crash")
    with pytest.raises(DriverCrashed, match=r"during run.start \(exit code 3\)") as caught:
        await start(made)
    assert caught.value.stderr == "about to fall over"
    assert await made.call("ping", {}) == {}
    await made.close()


@pytest.mark.parametrize(("lie", "how"), [("hang", "terminated"), ("hang-politely", "cancelled")])
async def test_a_hang_is_a_timeout(lie: str, how: str) -> None:
    made = driver(lie)
    with pytest.raises(DriverTimeout, match=r"no reply to run\.start within 1 s") as caught:
        await start(made)
    assert caught.value.killed == how
    assert await made.call("ping", {}) == {}
    await made.close()


@pytest.mark.parametrize(
    ("lie", "reason", "text"),
    [
        ("wrong-id", "wrong-id", "id 4711"),
        ("noise", "noise", "debugging"),
        ("broken-line", "broken-line", "cut by a line end"),
        ("schema", "schema", '"turn" is a required property'),
        ("both", "schema", "reply to run.start is wrong"),
        ("oversize", "too-large", "longer than"),
    ],
)
async def test_breaches_of_the_protocol(lie: str, reason: str, text: str) -> None:
    made = driver(lie)
    with pytest.raises(ProtocolError, match=text) as caught:
        await start(made)
    assert caught.value.reason == reason
    assert await made.call("ping", {}) == {}
    await made.close()


async def test_kinds_of_err() -> None:
    made = driver("adapter-bug")
    with pytest.raises(AdapterError, match="driver error bug: my own fault"):
        await start(made)
    with pytest.raises(Unsupported, match=r"run\.recover"):
        await made.call("run.recover", {"path": "x"})
    with pytest.raises(PortError, match="call_9") as caught:
        await made.call("run.decide", {"call_id": "call_9", "decision": "approve"})
    assert caught.value.code == "no-such-call"
    await made.close()


async def test_a_declared_capability_that_is_lacking() -> None:
    made = driver("lacks-declared")
    decide = {"call_id": "call_1", "decision": "approve"}
    with pytest.raises(CapabilityLacking, match="declared approvals, yet answered unsupported"):
        await made.call("run.decide", decide, required=frozenset({"approvals"}))
    await made.close()


async def test_a_wrong_request_is_the_harness_s_fault_and_is_not_sent() -> None:
    lines = Transcript()
    made = driver("", lines)
    with pytest.raises(CaseError, match=r"run.decide: /: .*call_id"):
        await made.call("run.decide", {"decision": "approve"})
    assert lines.take() == []


async def test_a_driver_that_never_starts_is_named_broken() -> None:
    made = driver("dead-on-arrival")
    for _ in range(3):
        with pytest.raises(DriverCrashed, match="exit code 7"):
            await made.start()
    with pytest.raises(DriverCrashed, match="looks broken"):
        await made.start()


async def test_a_missing_program() -> None:
    made = Driver(Port("none", "python", ("/no/such/program",)), Transcript(), LIMITS)
    with pytest.raises(DriverCrashed, match="No such file"):
        await made.start()


async def test_every_byte_is_in_the_transcript(tmp_path: Path) -> None:
    lines = Transcript(tmp_path / "transcript.ndjson")
    made = driver("noise", lines)
    with pytest.raises(ProtocolError):
        await start(made)
    lines.close()
    kept = transcript.read(tmp_path / "transcript.ndjson")
    assert [each.text for each in kept if each.way == "out"][-1] == "debugging..."
    assert any('"op":"run.start"' in each.text for each in kept if each.way == "in")
    assert "debugging" in transcript.show(kept)
