"""Run states saved, loaded and converted through both drivers, and across them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.errors import DriverError
from conformance.harness.schemas import ROOT
from tests.drivers.conftest import PORTS, Bench
from tests.model import call, message

pytestmark = pytest.mark.anyio

EXTERNAL = Path(os.environ.get("TIMESTEP_EXTERNAL", ROOT.parent / "shared"))
FORMS = ("portable", "file", "native")
HANDOFF = {"python": "transfer_to_weather_agent", "typescript": "transfer_to_Weather_Agent"}


def pairs() -> list[tuple[str, str, str]]:
    """Every writer, reader and form; a native snapshot stays in its language."""
    return [
        (writer, reader, form)
        for writer in sorted(PORTS)
        for reader in sorted(PORTS)
        for form in FORMS
        if form != "native" or writer == reader
    ]


@pytest.mark.parametrize(("writer", "reader", "form"), pairs())
async def test_a_paused_run_goes_on_elsewhere(
    writer: str, reader: str, form: str, bench: Bench, tmp_path: Path
) -> None:
    path = str(tmp_path / "run.json")
    async with bench.case(writer, "weather", [[call()]]) as case:
        await case("run.start", input="Weather?", context={"user": "ada"})
        args: dict[str, Any] = {"form": form} | ({"path": path} if form == "file" else {})
        saved = await case("state.save", **args)
    if form != "file":
        args["payload"] = saved.pop("payload")
    async with bench.case(reader, "weather", [[message("Sunny.")]]) as case:
        loaded = await case("state.load", **args)
        assert loaded["current_agent"] == "assistant"
        assert [each["call_id"] for each in loaded["interruptions"]] == ["call_1"]
        if form != "native":
            again = await case("state.save", form="portable")
            assert again["digest"] == saved["digest"]
            assert again["payload"]["context"] == {"user": "ada"}
        await case("run.decide", call_id="call_1", decision="approve")
        ended = await case("run.advance")
        assert (ended["status"], ended["output"], ended["turn"]) == ("completed", "Sunny.", 2)
        effects = (await case("effects.read"))["effects"]
        assert effects == [{"tool": "get_weather", "arguments": {"city": "Oslo"}}]


@pytest.mark.parametrize(("writer", "reader", "form"), [p for p in pairs() if p[2] == "portable"])
async def test_a_run_between_two_turns_goes_on_elsewhere(
    writer: str, reader: str, form: str, bench: Bench
) -> None:
    first = [call("get_time", "call_0", tz="UTC")]
    async with bench.case(writer, "weather-time", [first]) as case:
        await case("run.start", input="?", until="turn")
        document = (await case("state.save", form=form))["payload"]
    assert (document["status"], document["current_turn"]) == ("run_again", 1)
    assert document["max_turns"] == 10
    async with bench.case(reader, "weather-time", [[message("Noon.")]]) as case:
        await case("state.load", form=form, payload=document)
        ended = await case("run.advance")
        assert (ended["status"], ended["turn"]) == ("completed", 2)


@pytest.mark.parametrize(("writer", "reader", "form"), [p for p in pairs() if p[2] == "portable"])
async def test_a_pending_handoff_finds_its_agent_under_either_name(
    writer: str, reader: str, form: str, bench: Bench
) -> None:
    turn = [call(), call(HANDOFF[writer], "call_h")]
    async with bench.case(writer, "handoff-names", [turn]) as case:
        await case("run.start", input="?")
        await case("run.decide", call_id="call_1", decision="approve")
        document = (await case("state.save", form=form))["payload"]
    async with bench.case(reader, "handoff-names", [[message("Sunny.")]]) as case:
        await case("state.load", form=form, payload=document)
        ended = await case("run.advance")
        assert (ended["status"], ended["last_agent"]) == ("completed", "Weather Agent")


async def test_a_refusal_has_the_code_of_the_port(port: str, bench: Bench) -> None:
    async with bench.case(port, "weather") as case:
        for payload, code in (
            ({}, "not-a-run-state"),
            ([], "malformed"),
            ({"format": "timestep.run_state", "version": "99"}, "newer-version"),
        ):
            with pytest.raises(DriverError) as raised:
                await case("state.load", form="portable", payload=payload)
            assert getattr(raised.value, "code", None) == code
        with pytest.raises(DriverError) as raised:
            await case("state.load", form="file", path="nothing-here.json")
        assert getattr(raised.value, "code", None) == "state-not-found"


def graph(language: str) -> dict[str, Any]:
    """One graph, described as either language describes it."""
    if language == "python":
        tool = {
            "type": "FunctionTool",
            "name": "get_weather",
            "params_json_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
            "needs_approval": True,
        }
        return {"root": 0, "agents": [{"name": "assistant", "class": "Agent", "tools": [tool]}]}
    tool = {
        "type": "function",
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "needsApproval": True,
    }
    return {"root": 0, "agents": [{"name": "assistant", "class": "Agent", "tools": [tool]}]}


@pytest.mark.parametrize("described", ["python", "typescript"])
@pytest.mark.parametrize(("writer", "reader", "form"), [p for p in pairs() if p[2] == "portable"])
async def test_a_graph_is_read_in_either_case(
    writer: str, reader: str, form: str, described: str, bench: Bench
) -> None:
    async with bench.case(writer, "weather", [[call()]]) as case:
        await case("run.start", input="?")
        document = (await case("state.save", form=form))["payload"]
    asked = {"payload": document, "from": "portable", "to": "native"}
    pure = await bench.drivers[reader].call("state.convert", asked)
    assert pure["checked"] is False
    full = await bench.drivers[reader].call("state.convert", {**asked, "graph": graph(described)})
    assert full["checked"] is True
    back = await bench.drivers[reader].call(
        "state.convert", {"payload": full["payload"], "from": "native", "to": "portable"}
    )
    assert back["payload"]["interruptions"] == document["interruptions"]
    missing = {"agents": [{"name": "assistant", "tools": []}]}
    with pytest.raises(DriverError) as raised:
        await bench.drivers[reader].call("state.convert", {**asked, "graph": missing})
    assert getattr(raised.value, "code", None) in ("tool-missing", "load-failed")


@pytest.mark.skipif(
    not (EXTERNAL / "corpus").exists(), reason="not run: no external corpus beside the repository"
)
async def test_snapshots_of_the_corpus_come_back_as_they_were(port: str, bench: Bench) -> None:
    tried = 0
    with gzip.open(EXTERNAL / "corpus" / f"{port}-states.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            if number % 60 or row["native"]["outcome"] != "loaded":
                continue
            tried += 1
            asked = {"payload": row["state"], "from": "native", "to": "portable"}
            portable = await bench.drivers[port].call("state.convert", asked)
            asked = {"payload": portable["payload"], "from": "portable", "to": "native"}
            native = await bench.drivers[port].call(
                "state.convert", {**asked, "graph": row["graph"]}
            )
            # What is lossy on the way in, such as the configuration of an MCP server, stays out.
            assert portable["lossy"] or native["payload"] == row["state"], row["id"]
            assert native["checked"] is True
    assert tried > 10
