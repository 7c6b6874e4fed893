"""Runs of catalogue agents through both drivers, with a real client and a scripted model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from conformance.harness.errors import DriverError, DriverTimeout
from tests.drivers.conftest import PORTS, Bench
from tests.model import call, message

pytestmark = pytest.mark.anyio

WEATHER = {"tool": "get_weather", "arguments": {"city": "Oslo"}}
TIME = call("get_time", "call_0", tz="UTC")


async def test_an_approved_call_runs_once(port: str, bench: Bench) -> None:
    async with bench.case(port, "weather", [[call()], [message("Sunny.")]]) as case:
        started = await case("run.start", input="Weather in Oslo?")
        assert started == {
            "status": "interrupted",
            "turn": 1,
            "last_agent": "assistant",
            "interruptions": [
                {
                    "call_id": "call_1",
                    "tool": "get_weather",
                    "agent": "assistant",
                    "kind": "function_call",
                    "arguments": '{"city":"Oslo"}',
                }
            ],
        }
        assert (await case("effects.read"))["effects"] == []
        await case("run.decide", call_id="call_1", decision="approve")
        ended = await case("run.advance")
        assert (ended["status"], ended["output"], ended["turn"]) == ("completed", "Sunny.", 2)
        assert (await case("effects.read"))["effects"] == [WEATHER]
        outputs = [item.get("output") for item in case.requests[1]["input"]]
        assert outputs[-1] == "sunny in Oslo"


async def test_a_rejection_gives_its_reason_to_the_model(port: str, bench: Bench) -> None:
    turns = [[call()], [call(call_id="call_2")], [message("Pity.")]]
    async with bench.case(port, "weather", turns) as case:
        await case("run.start", input="Weather?", stream=True)
        await case("run.decide", call_id="call_1", decision="reject", message="no", always=True)
        assert (await case("run.advance", stream=True))["status"] == "completed"
        assert (await case("effects.read"))["effects"] == []
        outputs = [item["output"] for item in case.requests[2]["input"] if "output" in item]
        assert outputs == ["no", "no"]
        assert [body.get("stream") for body in case.requests] == [True] * 3


async def test_one_turn_at_a_time(port: str, bench: Bench) -> None:
    turns = [[TIME], [call()], [message("Done.")]]
    async with bench.case(port, "weather-time", turns) as case:
        first = await case("run.start", input="?", until="turn", max_turns=7)
        assert (first["status"], first["turn"]) == ("run_again", 1)
        await case("run.input", items=[{"role": "user", "content": "more"}])
        second = await case("run.advance", until="turn")
        assert (second["status"], second["turn"]) == ("interrupted", 2)
        snapshot = (await case("state.save", form="native"))["payload"]
        assert snapshot.get("max_turns", snapshot.get("maxTurns")) == 7
        await case("run.decide", call_id="call_1", decision="approve")
        third = await case("run.advance")
        assert (third["status"], third["turn"]) == ("completed", 3)
        assert {"role": "user", "content": "more"} in case.requests[1]["input"]


async def test_the_turn_that_waited_is_the_one_turn(port: str, bench: Bench) -> None:
    turns = [[call()], [TIME], [message("Done.")]]
    async with bench.case(port, "weather-time", turns) as case:
        assert (await case("run.start", input="?", until="turn"))["status"] == "interrupted"
        await case("run.decide", call_id="call_1", decision="approve")
        first = await case("run.advance", until="turn")
        assert (first["status"], first["turn"]) == ("run_again", 1)
        second = await case("run.advance", until="turn")
        assert (second["status"], second["turn"]) == ("run_again", 2)
        assert (await case("run.advance"))["turn"] == 3


async def test_a_turn_is_taken_with_a_session_too(bench: Bench) -> None:
    """Python only: the other SDK does not load what it wrote after such a turn."""
    session: dict[str, Any] = {"items": []}
    async with bench.case("python", "weather-time", [[TIME]], session=session) as case:
        first = await case("run.start", input="?", until="turn")
        assert (first["status"], first["turn"]) == ("run_again", 1)
        assert len((await case("session.read"))["items"]) == 3


async def test_a_failed_run_is_an_outcome(port: str, bench: Bench) -> None:
    async with bench.case(port, "weather-time", [[TIME]]) as case:
        failed = await case("run.start", input="?", max_turns=1)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "max-turns-exceeded")
    async with bench.case(port, "guardrails") as case:
        failed = await case("run.start", input="forbidden fruit")
        assert failed["error"]["code"] == "input-guardrail-tripwire-triggered"
    gone = {"error": {"status": 400, "message": "gone", "code": "gone"}}
    async with bench.case(port, "plain", [gone]) as case:
        failed = await case("run.start", input="?")
        assert failed["error"]["code"] == "bad-request"


async def test_an_interruption_can_be_raised(port: str, bench: Bench) -> None:
    async with bench.case(port, "weather", [[call()], [message("Done.")]]) as case:
        with pytest.raises(DriverError, match="waits for 1 decision") as raised:
            await case("run.start", input="?", raise_on_interruption=True)
        assert getattr(raised.value, "code", None) == "interrupted"
        await case("run.decide", call_id="call_1", decision="approve")
        assert (await case("run.advance"))["status"] == "completed"


async def test_a_session_holds_wire_items(port: str, bench: Bench) -> None:
    items = [{"role": "user", "content": "Hi"}]
    turns = [[call()], [message("Sunny.")]]
    async with bench.case(port, "weather", turns, session={"items": items}) as case:
        await case("run.start", input="Weather?")
        await case("run.decide", call_id="call_1", decision="approve")
        await case("run.advance")
        held = (await case("session.read"))["items"]
        assert [item.get("type", item.get("role")) for item in held[:4]] == [
            "user",
            "user",
            "function_call",
            "function_call_output",
        ]
        assert held[2]["call_id"] == held[3]["call_id"] == "call_1"
        assert held[4]["content"][0]["text"] == "Sunny."
        assert case.requests[0]["input"][0]["content"] == "Hi"


async def test_tracing_is_off_unless_asked_for(port: str, bench: Bench) -> None:
    for tracing in (False, True):
        async with bench.case(port, "weather", [[call()]], tracing=tracing) as case:
            await case("run.start", input="?")
            snapshot = (await case("state.save", form="native"))["payload"]
            assert (snapshot["trace"] is not None) is tracing


async def test_cases_do_not_see_each_other(port: str, bench: Bench) -> None:
    async with bench.case(port, "weather", [[call()], [message("Done.")]]) as case:
        await case("run.start", input="?")
        await case("run.decide", call_id="call_1", decision="approve", always=True)
        await case("run.advance")
    async with bench.case(port, "weather", [[call()]]) as case:
        assert (await case("effects.read"))["effects"] == []
        with pytest.raises(DriverError, match="no run"):
            await case("run.advance")
        assert (await case("run.start", input="?"))["status"] == "interrupted"


async def test_a_long_operation_can_be_cancelled(port: str, bench: Bench) -> None:
    slow = {
        "description": "Very slow.",
        "root": "assistant",
        "agents": [
            {
                "name": "assistant",
                "model": "gpt-x",
                "tools": [
                    {
                        "kind": "function",
                        "name": "slow",
                        "description": "Slow",
                        "parameters": [],
                        "delay_ms": 60_000,
                        "returns": "late",
                    }
                ],
            }
        ],
    }
    async with bench.case(port, slow, [[call("slow")]]) as case:
        with pytest.raises(DriverTimeout) as raised:
            await case.driver.call("run.start", {"input": "?"}, deadline=1)
        assert "cancelled" in str(raised.value)
        assert (await case("effects.read"))["effects"] == [
            {"tool": "slow", "arguments": {"city": "Oslo"}}
        ]


async def test_both_ports_send_the_same_requests(bench: Bench) -> None:
    async def requests(port: str) -> list[Any]:
        turns = [[TIME, call()], [message("Done.")]]
        async with bench.case(port, "weather-time", turns) as case:
            await case("run.start", input="Weather?")
            await case("run.decide", call_id="call_1", decision="approve")
            await case("run.advance")
            return [_plain(body) for body in case.requests]

    first, second = await asyncio.gather(*map(requests, PORTS))
    assert first == second


def _plain(body: Any) -> Any:
    """A request without what the SDKs are known to write differently."""
    kept = json.loads(json.dumps(body))
    kept.pop("stream", None)
    for item in kept["input"]:
        if item.get("type") == "function_call_output":
            item.pop("status", None)
    return kept
