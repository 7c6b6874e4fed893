"""Documents the TypeScript port writes, taken over by Python."""

from typing import Any

import pytest

from tests.state.build import (
    AGENT,
    agent,
    call,
    decision,
    document,
    item,
    message,
    output,
    run,
    tool,
)
from timestep.errors import CrossingError, DocumentError, GraphError
from timestep.state import canonical, to_native, to_portable

Json = dict[str, Any]


def refusal(facts: Json, *args: Any, **how: Any) -> tuple[str, str | None]:
    """Code and pointer a document is refused with."""
    with pytest.raises((CrossingError, GraphError, DocumentError)) as caught:
        to_native(facts, *args, **how)
    return caught.value.code, caught.value.pointer


def bound(code: str) -> Json:
    return document(cannot_cross=[{"code": code, "pointer": "/x", "message": "why"}])


@pytest.mark.parametrize(
    "code",
    [
        "step-missing",
        "handoff-step",
        "response-accepted",
        "duplicate-agent",
        "pending-session-write",
        "terminal-unrecoverable",
        "sandbox-state",
        "call-in-flight",
        "ambiguous-call",
        "unknown-call",
        "mcp-binding-unknown",
        "guardrails-unknown",
        "unsupported-item",
        "unsupported-approval",
        "ambiguous-approval",
    ],
)
def test_what_binds_the_run_is_refused(code: str) -> None:
    assert refusal(bound(code)) == (code, "/x")


def test_a_code_of_a_later_release_is_refused_too() -> None:
    with pytest.raises(CrossingError, match="brand-new: why"):
        to_native(bound("brand-new"))


def test_same_language_is_never_refused() -> None:
    native = to_native(document()).document
    native["sandbox"] = {"backend_id": "local"}
    native["current_step"] = None
    found = to_portable(native).document
    assert {entry["code"] for entry in found["cannot_cross"]} == {"sandbox-state", "step-missing"}
    assert canonical(to_native(found).document) == canonical(native)


def test_run_completed() -> None:
    finished = document(status="completed", interruptions=[])
    assert refusal(finished) == ("run-completed", "/status")


def test_a_run_that_lost_its_step_is_not_called_completed() -> None:
    lost = {**bound("step-missing"), "status": "completed"}
    assert refusal(lost)[0] == "step-missing"


def test_unsupported_approval() -> None:
    wire = {"type": "computer_call", "id": "c", "call_id": "c", "action": {"type": "click"}}
    waiting = document(
        items=[item("tool_call_item", wire)],
        interruptions=[{"item": wire, "agent": AGENT, "tool_name": "computer"}],
    )
    assert refusal(waiting) == ("unsupported-approval", "/interruptions/0")


@pytest.mark.parametrize("kind", ["output_audio", "image"])
@pytest.mark.parametrize("place", ["items", "responses"])
def test_unsupported_item(kind: str, place: str) -> None:
    said = message(content=[{"type": kind, "data": "AAAA"}])
    facts = document()
    if place == "items":
        facts["items"] = [*facts["items"], item("message_output_item", said)]
        assert refusal(facts) == ("unsupported-item", "/items/1/item")
    else:
        facts["responses"][0]["output"] = [said, *facts["responses"][0]["output"]]
        assert refusal(facts) == ("unsupported-item", "/responses/0/output/0")


def test_a_refusal_of_the_model_crosses() -> None:
    said = message(content=[{"type": "refusal", "refusal": "No."}])
    facts = document()
    facts["items"].append(item("message_output_item", said))
    assert to_native(facts).document["generated_items"][-1]["raw_item"] == said


def test_ambiguous_approval() -> None:
    named = {"kind": "function_name", "name": "get_weather"}
    sticky = document(decisions=[decision(None, tool=named)])
    assert refusal(sticky) == ("ambiguous-approval", "/decisions/0")
    lost = document(decisions=[decision("gone", tool=named)])
    assert refusal(lost) == ("ambiguous-approval", "/decisions/0")


@pytest.mark.parametrize("kind", ["function_name", "native"])
def test_a_name_is_resolved_by_its_call(kind: str) -> None:
    facts = document(decisions=[decision(tool={"kind": kind, "name": "get_weather"})])
    context = to_native(facts).document["context"]
    assert context["approvals"] == {}
    assert context["function_tool_approvals"][0]["decision"]["approved"] == ["call_1"]


def test_context_omitted() -> None:
    facts = document(context_type="omitted")
    assert refusal(facts) == ("context-omitted", "/context")
    given = to_native(facts, context={"user": 1}).document["context"]
    assert given["context"] == {"user": 1}


def test_a_nested_run_is_checked_too() -> None:
    inner = run(call("inner"), agent="weather", context_type="omitted")
    response = {"start": 0, "count": 1, "tools_used": [], "nested_runs": {"call_1": inner}}
    facts = document(response=response, interruptions=inner["interruptions"])
    assert refusal(facts) == ("context-omitted", "/response/nested_runs/call_1/context")


@pytest.mark.parametrize(
    "stray",
    [
        call("call_2"),
        {"type": "custom_tool_call", "id": "x", "call_id": "call_2", "name": "run", "input": ""},
    ],
    ids=["function", "custom"],
)
def test_unknown_call(stray: Json) -> None:
    """A call TypeScript passed over, which Python would run on resuming."""
    facts = document()
    facts["responses"][0]["output"].append(stray)
    assert refusal(facts) == ("unknown-call", "/responses/0/output")
    facts["items"].append(
        item("tool_call_output_item", {**output("call_2"), "type": f"{stray['type']}_output"})
    )
    to_native(facts)


@pytest.mark.parametrize("place", ["items", "responses"])
def test_ambiguous_call(place: str) -> None:
    facts = document()
    other = call("call_1", arguments="{}")
    if place == "items":
        facts["items"].append(item("tool_call_item", other))
    else:
        facts["responses"][0]["output"].append(other)
    assert refusal(facts) == ("ambiguous-call", "/responses")


def _several_handoffs() -> Json:
    """TypeScript keeps the calls of all handoffs in the response, only the first in history."""
    first, second = call("h_1", "transfer_to_b", "{}"), call("h_2", "transfer_to_c", "{}")
    facts = document(call(), first, second)
    facts["items"] = [
        item("tool_call_item", call()),
        item("handoff_call_item", first),
        item("message_output_item", message()),
    ]
    facts["interruptions"] = facts["interruptions"][:1]
    facts["response"] = {
        "start": 0,
        "count": 2,
        "tools_used": [],
        "handoffs": {
            name: {"tool_name": f"transfer_to_{to}"} for name, to in (("h_1", "b"), ("h_2", "c"))
        },
    }
    return facts


def test_handoff_calls_left_out_of_the_history_come_back() -> None:
    native = to_native(_several_handoffs()).document
    kinds = [
        (entry["type"], entry["raw_item"].get("call_id")) for entry in native["generated_items"]
    ]
    assert kinds == [
        ("tool_call_item", "call_1"),
        ("handoff_call_item", "h_1"),
        ("handoff_call_item", "h_2"),
        ("tool_approval_item", "call_1"),
        ("message_output_item", None),
    ]
    processed = native["last_processed_response"]
    assert [entry["tool_call"]["call_id"] for entry in processed["handoffs"]] == ["h_1", "h_2"]


def test_a_response_outside_the_history_gets_them_too() -> None:
    facts = _several_handoffs()
    processed = facts["response"]
    processed["items"] = facts["items"][:2]
    del processed["start"], processed["count"]
    native = to_native(facts).document
    assert len(native["last_processed_response"]["handoffs"]) == 2


def _pending_handoff(name: str, target: str | None) -> Json:
    handed = call("h_1", name, "{}")
    facts = document(call(), handed)
    facts["items"][1]["type"] = "handoff_call_item"
    facts["interruptions"] = facts["interruptions"][:1]
    meant = {"tool_name": name, **({"target_agent": target} if target else {})}
    facts["response"]["handoffs"] = {"h_1": meant}
    return facts


@pytest.mark.parametrize("target", ["Weather Agent", None])
def test_a_pending_handoff_gets_its_live_name(target: str | None) -> None:
    live = agent(AGENT, handoffs=(agent("Weather Agent"),))
    native = to_native(_pending_handoff("transfer_to_Weather_Agent", target), live).document
    processed = native["last_processed_response"]
    name = "transfer_to_weather_agent"
    assert processed["handoffs"][0]["handoff"] == {"tool_name": name}
    assert processed["handoffs"][0]["tool_call"]["name"] == name
    assert native["generated_items"][1]["raw_item"]["name"] == name
    assert native["model_responses"][-1]["output"][1]["name"] == name


def test_a_handoff_in_the_past_stays_as_it_was() -> None:
    live = agent(AGENT, handoffs=(agent("Weather Agent"),))
    facts = _pending_handoff("transfer_to_Weather_Agent", "Weather Agent")
    facts["items"].append(
        item(
            "handoff_output_item",
            output("h_1", '{"assistant":"Weather Agent"}'),
            source_agent=AGENT,
            target_agent="Weather Agent",
        )
    )
    native = to_native(facts, live).document
    assert native["generated_items"][1]["raw_item"]["name"] == "transfer_to_Weather_Agent"


def test_the_recorded_target_beats_the_name() -> None:
    agents = (agent("Weather Agent"), agent("Other"))
    live = agent(AGENT, handoffs=agents)
    facts = _pending_handoff("transfer_to_other", "Weather Agent")
    native = to_native(facts, live).document
    processed = native["last_processed_response"]
    assert processed["handoffs"][0]["handoff"]["tool_name"] == "transfer_to_weather_agent"


def test_handoff_missing() -> None:
    facts = _pending_handoff("transfer_to_nobody", None)
    assert refusal(facts, agent()) == ("handoff-missing", "/response")


@pytest.mark.parametrize("place", ["current_agent", "items", "interruptions", "decisions"])
def test_agent_missing(place: str) -> None:
    facts = document(decisions=[decision()])
    if place == "current_agent":
        facts["current_agent"] = "ghost"
        expected = "/current_agent"
    elif place == "decisions":
        facts["decisions"][0]["tool"]["agent"] = "ghost"
        expected = "/decisions/0/tool/agent"
    else:
        facts[place][0]["agent"] = "ghost"
        expected = f"/{place}/0/agent"
    assert refusal(facts, agent()) == ("agent-missing", expected)


def test_an_agent_is_missing_in_the_same_language_too() -> None:
    found = to_portable(to_native(document()).document).document
    assert refusal(found, agent("other")) == ("agent-missing", "/current_agent")


def test_ambiguous_agent() -> None:
    live = agent(AGENT, handoffs=(agent("b", handoffs=(agent(AGENT),)),))
    assert refusal(document(), live) == ("ambiguous-agent", "/current_agent")
    to_native(document(), agent(AGENT, handoffs=(agent("b", handoffs=(agent("b"),)),)))


def test_tool_missing() -> None:
    assert refusal(document(), agent(AGENT, tool("other"))) == ("tool-missing", "/response")


def _waiting(wire: Json, kind: str = "tool_call_item") -> Json:
    return document(
        items=[item(kind, wire)],
        interruptions=[{"item": wire, "agent": AGENT}],
        responses=[{"output": [wire], "usage": document()["usage"]}],
    )


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        ({"type": "shell_call", "call_id": "s", "action": {"commands": []}}, "tool_call_item"),
        (
            {"type": "apply_patch_call", "call_id": "p", "operation": {"type": "delete_file"}},
            "tool_call_item",
        ),
        (
            {"type": "custom_tool_call", "call_id": "x", "name": "run", "input": ""},
            "tool_call_item",
        ),
        (
            {
                "type": "mcp_approval_request",
                "id": "m",
                "server_label": "srv",
                "name": "n",
                "arguments": "{}",
            },
            "mcp_approval_request_item",
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else value,
)
def test_any_kind_of_tool_can_be_missing(wire: Json, kind: str) -> None:
    assert refusal(_waiting(wire, kind), agent()) == ("tool-missing", "/response")


def test_an_mcp_server_can_be_missing() -> None:
    facts = document(call("call_1", "lookup"))
    binding = {"server": "fs", "tool": "lookup", "index": 0}
    facts["response"]["mcp_bindings"] = {"call_1": binding}
    with pytest.raises(GraphError, match="MCP server 'fs'"):
        to_native(facts, agent())


def test_a_tool_that_is_done_may_be_missing() -> None:
    facts = document(call(), call("call_2", "old"))
    facts["items"].append(item("tool_call_output_item", output("call_2")))
    facts["interruptions"] = facts["interruptions"][:1]
    to_native(facts, agent())


def test_the_key_of_a_pending_approval_is_that_of_its_call() -> None:
    facts = document()
    key = {"kind": "deferred_top_level", "name": "get_weather"}
    facts["interruptions"][0]["tool_key"] = key
    native = to_native(facts).document
    assert native["last_processed_response"]["functions"][0]["tool"]["lookupKey"] == key
    assert native["generated_items"][1]["tool_lookup_key"] == key


def test_lossy() -> None:
    residue = {"typescript": {"patch": [{"op": "remove", "path": "/x"}]}}
    facts = document(context={"a": 1}, context_type="typed", residue=residue)
    assert to_native(facts).lossy == ("/context", "/residue/typescript")
    residue["typescript"]["patch"] = []
    assert to_native(document(residue=residue)).lossy == ()
