"""Decisions, against the SDK's own records."""

from typing import Any

import pytest
from agents import RunContextWrapper
from agents.items import ToolApprovalItem
from agents.run_state import RunState

from tests.state.build import AGENT, agent, call, decision, document, function, item, message, run
from timestep.state import decisions, to_native, to_portable
from timestep.state.calls import Calls
from timestep.state.document import sorted_set

SHELL = {"type": "shell_call", "id": "sh", "call_id": "call_s", "action": {"commands": ["ls"]}}
MCP = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "name": "search",
    "server_label": "srv",
    "arguments": "{}",
}
MCP_TOOL = {"kind": "mcp", "server_label": "srv", "name": "search"}
NATIVE = {"kind": "native", "name": "shell"}


def _calls(*wires: dict[str, Any]) -> Calls:
    kinds = {"mcp_approval_request": "mcp_approval_request_item"}
    entries = [item(kinds.get(wire["type"], "tool_call_item"), wire) for wire in wires]
    return Calls.of(run(items=entries, interruptions=[]))


def _recorded(taken: list[dict[str, Any]], calls: Calls) -> dict[str, Any]:
    context: dict[str, Any] = {"approvals": {}}
    decisions.record(context, taken, calls)
    return context


ROUND_TRIPS: list[list[dict[str, Any]]] = [
    [],
    [decision()],
    [decision(verdict="reject")],
    [decision(verdict="reject", message="not now")],
    [decision(None)],
    [decision(None, "reject")],
    [decision(None, "reject", message="never")],
    [decision(None, "reject", message="never"), decision("call_1", "reject", message="not now")],
    [decision(None, "reject"), decision("call_2")],
    [decision(None), decision("call_2", "reject", message="this one not")],
    [decision("call_1"), decision("call_2", "reject")],
    [decision("call_1", tool=function("other", "someone"))],
    [decision("call_s", tool=NATIVE), decision(None, "reject", tool={**NATIVE, "name": "x"})],
    [decision("mcpr_1", tool=MCP_TOOL)],
    [decision(None, tool=MCP_TOOL)],
    [decision("mcpr_1", "reject", tool=MCP_TOOL, message="no")],
    [decision("r", tool={"kind": "mcp_request", "request_id": "r"})],
]


@pytest.mark.parametrize("taken", ROUND_TRIPS, ids=lambda taken: str(len(str(taken))))
def test_what_is_recorded_is_read_back(taken: list[dict[str, Any]]) -> None:
    calls = _calls(call("call_1"), call("call_2"), SHELL, MCP)
    context = _recorded(taken, calls)
    assert sorted_set(decisions.read(context, calls)) == sorted_set(taken)


def _by_the_sdk(wire: dict[str, Any], name: str, **how: Any) -> RunContextWrapper[Any]:
    wrapper: RunContextWrapper[Any] = RunContextWrapper(None)
    approval = ToolApprovalItem(agent=agent(), raw_item=wire, tool_name=name)
    verdict = how.pop("verdict")
    if verdict == "approve":
        wrapper.approve_tool(approval, **how)
    else:
        wrapper.reject_tool(approval, **how)
    return wrapper


@pytest.mark.parametrize(
    ("wire", "name", "tool"),
    [(call(), "get_weather", function("get_weather")), (SHELL, "shell", NATIVE)],
)
@pytest.mark.parametrize(
    ("how", "more"),
    [
        ({"verdict": "approve"}, {}),
        ({"verdict": "approve", "always_approve": True}, {}),
        ({"verdict": "reject"}, {}),
        ({"verdict": "reject", "rejection_message": "no"}, {"message": "no"}),
        ({"verdict": "reject", "always_reject": True}, {}),
    ],
)
def test_a_record_is_the_one_the_sdk_makes(
    wire: dict[str, Any], name: str, tool: Any, how: dict[str, Any], more: dict[str, Any]
) -> None:
    sticky = how.get("always_approve") or how.get("always_reject")
    (expected,) = _by_the_sdk(wire, name, **how)._approvals.values()
    taken = decision(None if sticky else wire["call_id"], how["verdict"], tool=tool, **more)
    context = _recorded([taken], _calls(wire))
    record = (
        context["function_tool_approvals"][0]["decision"]
        if tool["kind"] == "function"
        else context["approvals"]["shell"]
    )
    assert record == RunState._serialize_approval_record(expected)


def test_always_reject_with_a_message_keeps_both_messages() -> None:
    made = _by_the_sdk(
        call(), "get_weather", verdict="reject", always_reject=True, rejection_message="no"
    )
    (expected,) = made._approvals.values()
    taken = [decision(None, "reject", message="no"), decision(verdict="reject", message="no")]
    context = _recorded(taken, _calls(call()))
    record = context["function_tool_approvals"][0]["decision"]
    assert record == RunState._serialize_approval_record(expected)


def test_a_hosted_decision_has_the_sdks_records() -> None:
    made = _by_the_sdk(MCP, "search", verdict="approve")
    context = _recorded([decision("mcpr_1", tool=MCP_TOOL)], _calls(MCP))
    records = {key[0] for key in made._approvals}
    assert records == {"hosted_mcp", "hosted_mcp_query"}
    assert [entry["identity"]["type"] for entry in context["hosted_mcp_approvals"]] == [
        "server_tool",
        "query",
    ]


def test_a_new_decision_replaces_the_opposite_one() -> None:
    calls = _calls(call())
    context = _recorded([decision(verdict="reject", message="no")], calls)
    decisions.record(context, [decision()], calls)
    assert decisions.read(context, calls) == [decision()]


@pytest.mark.parametrize("last", ["approve", "reject"])
def test_a_changed_mind_is_recorded_as_the_sdk_records_it(last: str) -> None:
    wrapper: RunContextWrapper[Any] = RunContextWrapper(None)
    approval = ToolApprovalItem(agent=agent(), raw_item=call(), tool_name="get_weather")
    wrapper.approve_tool(approval)
    wrapper.reject_tool(approval)
    if last == "approve":
        wrapper.approve_tool(approval)
    (expected,) = wrapper._approvals.values()
    calls = _calls(call())
    context = _recorded([decision()], calls)
    decisions.record(context, [decision(verdict="reject")], calls)
    if last == "approve":
        decisions.record(context, [decision()], calls)
    record = context["function_tool_approvals"][0]["decision"]
    assert record == RunState._serialize_approval_record(expected)


def test_an_approval_beats_a_rejection_of_the_same_call() -> None:
    record = {"approved": ["call_1"], "rejected": ["call_1"]}
    entry = {"agent": {"name": AGENT}, "tool_key": "get_weather", "decision": record}
    found = decisions.read({"function_tool_approvals": [entry]}, _calls(call()))
    assert found == [decision()]


def test_records_that_are_shared_stay_as_they_are() -> None:
    calls = _calls(call(), SHELL, MCP)
    before = [decision(), decision("call_s", tool=NATIVE), decision("mcpr_1", tool=MCP_TOOL)]
    context = _recorded(before, calls)
    copy = dict(context)
    after = [decision("x"), decision("x", tool=NATIVE), decision("x", tool=MCP_TOOL)]
    decisions.record(context, after, calls)
    assert sorted_set(decisions.read(copy, calls)) == sorted_set(before)


def test_a_name_from_an_old_snapshot_is_resolved_by_its_call() -> None:
    context = {"approvals": {"get_weather": {"approved": ["call_1"], "rejected": []}}}
    assert decisions.read(context, _calls(call())) == [decision()]
    context = {"approvals": {"search": {"approved": ["mcpr_1"], "rejected": []}}}
    assert decisions.read(context, _calls(MCP)) == [decision("mcpr_1", tool=MCP_TOOL)]


def test_a_name_nothing_explains_stays_a_name() -> None:
    context = {"approvals": {"get_weather": {"approved": True, "rejected": []}}}
    named = {"kind": "function_name", "name": "get_weather"}
    assert decisions.read(context, _calls(call())) == [decision(None, tool=named)]


def test_patches_of_several_scopes_are_one_tool() -> None:
    context = {"approvals": {"apply_patch:abc": {"approved": ["p"], "rejected": []}}}
    found = decisions.read(context, _calls())
    assert found == [decision("p", tool={"kind": "native", "name": "apply_patch"})]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("get_weather", {"kind": "bare", "name": "get_weather"}),
        ("crm.find", {"kind": "namespaced", "namespace": "crm", "name": "find"}),
        ("deferred_top_level:find", {"kind": "deferred_top_level", "name": "find"}),
    ],
)
def test_the_key_behind_an_approval_key(key: str, expected: dict[str, str]) -> None:
    entry = {
        "agent": {"name": AGENT},
        "tool_key": key,
        "decision": {"approved": True, "rejected": []},
    }
    (found,) = decisions.read({"function_tool_approvals": [entry]}, _calls())
    assert found["tool"]["key"] == expected
    assert decisions.approval_key(expected) == key


def _nested() -> dict[str, Any]:
    """A run whose two agent tools wait inside, for the same call of the same agent's tool."""
    outer = [call("ask_1", "ask"), call("ask_2", "ask")]
    inner = {
        "ask_1": run(call("in_1"), agent="weather"),
        "ask_2": run(call("in_2"), agent="weather"),
    }
    waits = [
        {"item": call(name), "agent": "weather", "tool_name": "get_weather"}
        for name in ("in_1", "in_2")
    ]
    response = {"start": 0, "count": 2, "tools_used": ["ask", "ask"], "nested_runs": inner}
    return document(*outer, response=response, interruptions=waits)


def test_a_decision_goes_to_the_run_that_made_the_call() -> None:
    taken = decision("in_2", tool=function("get_weather", "weather"))
    native = to_native({**_nested(), "decisions": [taken]}).document
    first, second = (
        entry["agent_run_state"] for entry in native["last_processed_response"]["functions"]
    )
    assert "function_tool_approvals" not in native["context"]
    assert "function_tool_approvals" not in first["context"]
    assert second["context"]["function_tool_approvals"][0]["decision"]["approved"] == ["in_2"]
    assert to_portable(native).document["decisions"] == [taken]


def test_a_decision_for_every_call_goes_to_every_run_of_the_agent() -> None:
    taken = decision(None, tool=function("get_weather", "weather"))
    native = to_native({**_nested(), "decisions": [taken]}).document
    inner = [entry["agent_run_state"] for entry in native["last_processed_response"]["functions"]]
    assert all("function_tool_approvals" in state["context"] for state in inner)
    assert "function_tool_approvals" not in native["context"]
    assert to_portable(native).document["decisions"] == [taken]


def test_a_decision_no_run_claims_stays_outside() -> None:
    taken = decision(None, tool=function("gone", "nobody"))
    native = to_native({**_nested(), "decisions": [taken]}).document
    assert native["context"]["function_tool_approvals"][0]["tool_key"] == "gone"


def test_a_rejected_call_did_not_run() -> None:
    outputs = [
        item(
            "tool_call_output_item", {"type": "function_call_output", "call_id": name, "output": ""}
        )
        for name in ("call_1", "call_2")
    ]
    calls_made = [item("tool_call_item", call(name)) for name in ("call_1", "call_2")]
    body = document(
        items=[*calls_made, *outputs, item("message_output_item", message())],
        status="run_again",
        interruptions=[],
        decisions=[decision("call_1", "reject"), decision("call_2")],
    )
    found = to_portable(to_native(body).document).document["items"]
    assert ["executed" in entry for entry in found[2:4]] == [False, True]
