"""The agents catalogue: every file is sound, opens in both drivers, and asks the model alike."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from conformance.harness.errors import DriverError
from conformance.harness.schemas import problem
from tests.drivers.conftest import CATALOGUE, Bench, catalogue
from tests.model import Turn, call, message

pytestmark = pytest.mark.anyio

NAMES = sorted(path.stem for path in CATALOGUE.glob("*.yaml"))
_PYTHON_ONLY = ("custom", "local_shell")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_sound(name: str) -> None:
    graph = catalogue(name)
    assert problem("agents", graph) is None
    ids = [agent.get("id", agent["name"]) for agent in graph["agents"]]
    assert len(set(ids)) == len(ids)
    assert graph["root"] in ids
    for agent in graph["agents"]:
        handoffs = agent.get("handoffs", [])
        targets = [each if isinstance(each, str) else each["agent"] for each in handoffs]
        targets += [tool["agent"] for tool in agent.get("tools", []) if "agent" in tool]
        assert set(targets) <= set(ids)


@pytest.mark.parametrize(
    "change",
    [
        {"root": 1},
        {"agents": []},
        {"agents": [{"name": "a"}]},
        {"agents": [{"name": "a", "model": "m", "tools": [{"kind": "function", "name": "f"}]}]},
        {"agents": [{"name": "a", "model": "m", "tools": [{"kind": "telepathy"}]}]},
        {"surprise": True},
    ],
)
def test_a_damaged_file_is_not(change: dict[str, Any]) -> None:
    assert problem("agents", {**catalogue("weather"), **change}) is not None


async def test_agents_that_cannot_be_made_are_refused(port: str, bench: Bench) -> None:
    graph = copy.deepcopy(catalogue("handoff"))
    graph["agents"][0]["handoffs"] = ["nobody"]
    with pytest.raises(DriverError, match="no agents can be made"):
        async with bench.case(port, graph):
            pass


@pytest.mark.parametrize("name", NAMES)
async def test_both_ports_show_the_model_the_same_tools(name: str, bench: Bench) -> None:
    shown = {}
    for port in bench.drivers:
        async with bench.case(port, name, [_answer(name)]) as case:
            assert (await case("run.start", input="Hi"))["status"] == "completed"
            (body,) = case.requests
            shown[port] = {
                "tools": [_tool(tool) for tool in body.get("tools", []) if _shared(tool)],
                "rest": {key: body.get(key) for key in ("model", "instructions", "tool_choice")},
                "format": {**body.get("text", {}).get("format", {}), "name": "output"},
            }
    assert shown["python"] == shown["typescript"]


def _answer(name: str) -> Turn:
    """An object, in the words of the root agent's model; it fits the schema of those that check."""
    graph = catalogue(name)
    (root,) = (one for one in graph["agents"] if one.get("id", one["name"]) == graph["root"])
    if root["model"].startswith("ollama/"):
        return {"api": "ollama", "output": ['{"city": "Oslo"}']}
    return [message("{}")]


def _shared(tool: dict[str, Any]) -> bool:
    return tool["type"] not in _PYTHON_ONLY


def _tool(tool: dict[str, Any]) -> Any:
    """A tool without the differences of the SDKs that docs and reference name."""
    kept = {key: value for key, value in tool.items() if value is not None}
    if "tools" in kept:
        kept["tools"] = [_tool(each) for each in kept["tools"]]
    if kept.get("name", "").startswith("transfer_to_"):
        kept["name"] = kept["name"].lower()
    if "parameters" in kept:
        kept["parameters"] = _schema(kept["parameters"])
    return kept


def _schema(schema: Any) -> Any:
    """A schema without annotations, and without the `additionalProperties` an SDK adds."""
    if not isinstance(schema, dict):
        return schema
    dropped = {"$schema", "title", "description"}
    kept = {key: _schema(value) for key, value in schema.items() if key not in dropped}
    if kept.get("additionalProperties") is True:
        del kept["additionalProperties"]
    return kept


async def test_what_tools_return_is_the_same(bench: Bench) -> None:
    calls = [
        call("get_image", "call_i", text="x"),
        call("echo", "call_e", text="søren \U0001f600 {city}"),
        call("add", "call_a", numbers=[1, 2.5, True, None], note="n"),
        call("broken", "call_b", text="x"),
    ]
    graph = {"description": "All.", "root": "a", "agents": [{"name": "a", "model": "gpt-x"}]}
    tools = [
        {**tool, "needs_approval": False}
        for name in ("rich", "echo", "failing")
        for tool in catalogue(name)["agents"][0]["tools"]
        if tool["name"] in ("get_image", "echo", "add", "broken")
    ]
    outputs = {}
    for port in bench.drivers:
        full = {**graph, "agents": [{**graph["agents"][0], "tools": tools}]}  # type: ignore[dict-item]
        async with bench.case(port, full, [calls, [message("Done.")]]) as case:
            await case("run.start", input="Go")
            found = {
                item["call_id"]: item["output"]
                for item in case.requests[1]["input"]
                if item.get("type") == "function_call_output"
            }
            effects = (await case("effects.read"))["effects"]
            outputs[port] = (found, sorted(effects, key=lambda each: str(each["tool"])))
    assert outputs["python"] == outputs["typescript"]
    found, _ = outputs["python"]
    assert found["call_e"] == "søren \U0001f600 {city}"
    assert found["call_a"] == "added [1,2.5,true,null] (n)"
    assert found["call_b"] == "broken failed: out of order"
    assert [part["type"] for part in found["call_i"]] == [
        "input_text",
        "input_image",
        "input_file",
    ]


async def test_local_tools_do_the_same(bench: Bench) -> None:
    shell = {
        "type": "shell_call",
        "call_id": "call_s",
        "action": {"commands": ["ls"], "timeout_ms": 1000, "max_output_length": 100},
        "environment": None,
    }
    patch = {
        "type": "apply_patch_call",
        "call_id": "call_p",
        "operation": {"type": "update_file", "path": "a.txt", "diff": "@@\n-a\n+b\n"},
    }
    click = {
        "type": "computer_call",
        "call_id": "call_c",
        "action": {"type": "click", "x": 1, "y": 2, "button": "left"},
        "pending_safety_checks": [],
    }
    for name, item, result in (
        ("shell-weather", shell, "shell_call_output"),
        ("apply-patch", patch, "apply_patch_call_output"),
        ("computer", click, "computer_call_output"),
        ("local-mcp", call("lookup", "call_m", q="x"), "function_call_output"),
    ):
        effects = {}
        for port in bench.drivers:
            async with bench.case(port, name, [[item], [message("Done.")]]) as case:
                outcome = await case("run.start", input="Go")
                if outcome["status"] == "interrupted":
                    await case("run.decide", call_id=item["call_id"], decision="approve")
                    outcome = await case("run.advance")
                assert outcome["status"] == "completed"
                assert any(each.get("type") == result for each in case.requests[1]["input"])
                effects[port] = (await case("effects.read"))["effects"]
        assert effects["python"] == effects["typescript"]
        assert len(effects["python"]) == 1
