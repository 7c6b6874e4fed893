"""Snapshots that openai-agents writes, made portable and brought back."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.state.build import AGENT, call, decision, document, item, message, output, run
from timestep.errors import DocumentError, SnapshotError
from timestep.state import canonical, digest, to_native, to_portable, validate
from timestep.state.generate import generate

Json = dict[str, Any]


def snapshot(*wires: Json, **more: Any) -> Json:
    """A snapshot as openai-agents writes it."""
    native: Json = json.loads(json.dumps(generate(document(*wires, **more), own=True)))
    return native


def codes(native: Json) -> list[str]:
    """Why a snapshot cannot cross."""
    return [entry["code"] for entry in to_portable(native).document.get("cannot_cross", [])]


def test_a_regenerated_snapshot_needs_no_patch() -> None:
    converted = to_portable(snapshot(decisions=[decision()]))
    assert converted.document["residue"]["python"]["patch"] == []
    assert converted.lossy == ()


def _add_metadata(native: Json) -> None:
    native["generated_items"][0]["description"] = "Weather"
    native["session_items"][0]["tool_origin"] = {"type": "function"}


def _forget_newer_fields(native: Json) -> None:
    native["$schemaVersion"] = "1.0"
    for key in ("pending_input", "session_items", "tool_use_tracker", "generated_prompt_cache_key"):
        del native[key]
    del native["context"]["tool_invocations"]
    native["context"]["approvals"] = {"get_weather": {"approved": ["call_1"], "rejected": []}}


def _reorder(native: Json) -> None:
    native["generated_items"].reverse()


def _break_shapes(native: Json) -> None:
    native["generated_items"].append({"type": "not_known_yet", "raw_item": 1})
    native["model_responses"].append({"output": ["text"], "usage": "none"})
    native["original_input"] = ["text", {"role": "user", "content": "Hi"}]
    native["tool_use_tracker"] = {"assistant": "x"}
    native["trace"] = {"id": "no-op"}
    native["context"]["usage"] = None
    native["last_processed_response"]["mcp_tool_bindings"] = {"call_1": ["a", "b", False]}
    native["future"] = {"field": [1, 2.5, None]}


def _take_one_for_true(native: Json) -> None:
    native["no_active_agent_run"] = 1
    native["context"]["context_meta"]["omitted"] = 0
    native["context"]["tool_invocations"]["call_1"]["executed"] = 0


def _two_agents_of_one_name(native: Json) -> None:
    native["current_agent"]["identity"] = "assistant#2"
    native["generated_items"][0]["agent"]["identity"] = "assistant#2"


CHANGES: list[Callable[[Json], None]] = [
    _add_metadata,
    _forget_newer_fields,
    _reorder,
    _break_shapes,
    _take_one_for_true,
    _two_agents_of_one_name,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_whatever_the_sdk_wrote_comes_back_byte_for_byte(change: Callable[[Json], None]) -> None:
    native = snapshot()
    change(native)
    before = canonical(native)
    converted = to_portable(native)
    validate(converted.document)
    assert canonical(native) == before
    back = to_native(json.loads(json.dumps(converted.document)))
    assert canonical(back.document) == before
    assert back.lossy == ()


def test_converting_again_gives_the_same_core() -> None:
    first = to_portable(snapshot(decisions=[decision(verdict="reject", message="no")])).document
    again = to_portable(to_native(first).document).document
    assert digest(again) == digest(first)


def test_the_writer_is_named() -> None:
    writer = to_portable(snapshot()).document["writer"]
    assert (writer["port"], writer["language"]) == ("timestep", "python")
    assert (writer["sdk"], writer["sdk_schema"]) == ("openai-agents", "1.21")


def test_secrets_are_never_stored() -> None:
    native = snapshot()
    native["trace"] = {"id": "t", "workflow_name": "w", "tracing_api_key": "sk-1"}
    request = {
        "request_item": {"raw_item": {"type": "mcp_approval_request", "id": "m"}},
        "mcp_tool": {"tool_config": {"server_url": "https://secret", "headers": {"a": "b"}}},
    }
    native["last_processed_response"]["mcp_approval_requests"] = [request]
    nested = copy.deepcopy(native)
    native["last_processed_response"]["functions"][0]["agent_run_state"] = nested
    converted = to_portable(native)
    text = json.dumps(converted.document)
    assert "sk-1" not in text
    assert "secret" not in text
    inside = "/last_processed_response/functions/0/agent_run_state"
    tool = "/last_processed_response/mcp_approval_requests/0/mcp_tool/tool_config"
    assert set(converted.lossy) == {
        "/trace/tracing_api_key",
        tool,
        f"{inside}/trace/tracing_api_key",
        inside + tool,
    }
    back = to_native(converted.document).document
    tools = back["last_processed_response"]["mcp_approval_requests"]
    assert tools[0]["mcp_tool"] == {"name": "hosted_mcp"}


@pytest.mark.parametrize(
    ("change", "error", "code", "pointer"),
    [
        ({"$schemaVersion": "1.22"}, SnapshotError, "unknown-schema", "/$schemaVersion"),
        ({"$schemaVersion": ["1.21"]}, SnapshotError, "unknown-schema", "/$schemaVersion"),
        ({"$schemaVersion": None}, SnapshotError, "unknown-schema", "/$schemaVersion"),
        ({"current_turn": "1"}, DocumentError, "malformed", "/current_turn"),
        ({"current_turn": True}, DocumentError, "malformed", "/current_turn"),
        ({"current_turn": -1}, DocumentError, "malformed", "/current_turn"),
        ({"current_agent": {}}, DocumentError, "malformed", "/current_agent/name"),
        ({"original_input": None}, DocumentError, "malformed", "/original_input"),
        ({"context": None}, DocumentError, "malformed", "/context"),
        ({"model_responses": {}}, DocumentError, "malformed", "/model_responses"),
        ({"current_step": "x"}, DocumentError, "malformed", "/current_step"),
    ],
)
def test_what_cannot_be_read_is_named(
    change: Json, error: type[DocumentError | SnapshotError], code: str, pointer: str
) -> None:
    with pytest.raises(error) as caught:
        to_portable({**snapshot(), **change})
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


@pytest.mark.parametrize(
    "key", ["$schemaVersion", "current_turn", "current_agent", "original_input", "context"]
)
def test_a_missing_key_is_named(key: str) -> None:
    native = snapshot()
    del native[key]
    with pytest.raises(DocumentError, match=key.lstrip("$")) as caught:
        to_portable(native)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("native", [None, [], "text", 3])
def test_what_is_no_object_is_malformed(native: Any) -> None:
    with pytest.raises(DocumentError):
        to_portable(native)


def test_no_number_is_malformed() -> None:
    native = snapshot()
    native["context"]["context"] = {"n": math.nan}
    with pytest.raises(DocumentError):
        to_portable(native)


def test_the_other_sdk_is_told_by_its_keys() -> None:
    with pytest.raises(SnapshotError, match=r"@openai/agents snapshot \(schema 1.21\)") as caught:
        to_portable({"$schemaVersion": "1.21", "currentTurn": 1})
    assert caught.value.code == "foreign-writer"


def test_a_broken_nested_run_is_named() -> None:
    native = snapshot()
    native["last_processed_response"]["functions"][0]["agent_run_state"] = {"current_turn": 1}
    with pytest.raises(DocumentError) as caught:
        to_portable(native)
    place = "/last_processed_response/functions/0/agent_run_state/$schemaVersion"
    assert caught.value.pointer == place


def _status(**change: Any) -> str:
    status: str = to_portable({**snapshot(), **change}).document["status"]
    return status


def test_status() -> None:
    assert _status() == "interrupted"
    assert _status(current_step={"type": "next_step_run_again"}) == "run_again"
    fresh = {"current_turn": 0, "model_responses": [], "last_processed_response": None}
    assert _status(current_step=None, **fresh) == "not_started"
    assert _status(current_step=None) == "completed"


def _finished(*entries: Json) -> Json:
    body = document(
        items=list(entries), status="run_again", interruptions=[], response=None, responses=[]
    )
    native: Json = {**to_native(body).document, "current_step": None}
    return to_portable(native).document


def test_final_output() -> None:
    asked, answered = (
        item("tool_call_item", call()),
        item("tool_call_output_item", output("call_1")),
    )
    said = item("message_output_item", message("It is sunny."))
    assert _finished(asked, answered, said)["final_output"] == "It is sunny."
    assert _finished(asked, answered)["final_output"] == "sunny"
    assert _finished(asked, {**answered, "output": {"t": 20}})["final_output"] == {"t": 20}
    assert "final_output" not in _finished(asked)
    assert "final_output" not in _finished()


def test_context_types() -> None:
    native = snapshot()
    context = native["context"]
    for data, meta, expected in (
        (None, context["context_meta"], (None, "none")),
        ({"a": 1}, None, ({"a": 1}, "mapping")),
        ({"a": 1}, {"requires_deserializer": True}, ({"a": 1}, "typed")),
        ({}, {"requires_deserializer": True, "omitted": True}, (None, "omitted")),
        ([1], None, (None, "omitted")),
    ):
        context.update(context=data, context_meta=meta)
        found = to_portable(native).document
        assert (found["context"], found["context_type"]) == expected


def test_a_trace_that_is_off_is_no_trace() -> None:
    native = snapshot()
    native["trace"] = {"object": "trace", "id": "no-op", "workflow_name": "w"}
    assert "trace" not in to_portable(native).document
    native["trace"]["id"] = "trace_1"
    assert to_portable(native).document["trace"] == {"id": "trace_1", "workflow_name": "w"}


def test_a_run_that_can_cross_says_nothing() -> None:
    assert codes(snapshot()) == []


def test_step_missing() -> None:
    native = {**snapshot(), "current_step": None}
    assert codes(native) == ["step-missing"]
    native["last_processed_response"] = None
    assert codes(native) == ["step-missing"]


def test_response_accepted() -> None:
    native = snapshot()
    native["current_step"]["data"]["response_accepted"] = True
    assert codes(native) == ["response-accepted"]


@pytest.mark.parametrize(
    "place", ["current_agent", "item", "handoff", "placeholder", "interruption"]
)
def test_duplicate_agent(place: str) -> None:
    native = snapshot()
    entry = native["generated_items"]
    if place == "current_agent":
        native["current_agent"]["identity"] = "assistant#2"
    elif place == "item":
        entry[0]["agent"]["identity"] = "assistant#2"
    elif place == "handoff":
        entry[0]["target_agent"] = {"name": AGENT, "identity": "assistant#2"}
    elif place == "placeholder":
        entry[1]["agent"] = {"name": AGENT, "identity": "assistant#2"}
    else:
        native["current_step"]["data"]["interruptions"][0]["agent"]["identity"] = "assistant#2"
    assert codes(native) == ["duplicate-agent"]


def test_pending_session_write() -> None:
    assert codes({**snapshot(), "pending_session_write": {"items": []}}) == [
        "pending-session-write"
    ]


def test_terminal_unrecoverable() -> None:
    assert codes({**snapshot(), "terminal_unrecoverable": True}) == ["terminal-unrecoverable"]


def test_sandbox_state() -> None:
    assert codes({**snapshot(), "sandbox": {"backend_id": "local"}}) == ["sandbox-state"]


def test_call_in_flight() -> None:
    native = snapshot()
    native["context"]["tool_invocations"]["call_1"]["executed"] = True
    converted = to_portable(native).document["cannot_cross"]
    assert [entry["code"] for entry in converted] == ["call-in-flight"]
    assert converted[0]["pointer"] == "/context/tool_invocations/call_1"


def test_a_completed_call_without_output_would_run_again() -> None:
    native = snapshot()
    native["context"]["tool_invocations"]["call_1"].update(executed=True, completed=True)
    assert codes(native) == ["call-in-flight"]


def test_a_nested_run_is_not_in_flight() -> None:
    inner = run(call("inner"), agent="weather")
    response = {"start": 0, "count": 1, "tools_used": [], "nested_runs": {"call_1": inner}}
    native = snapshot(response=response, interruptions=inner["interruptions"])
    assert native["context"]["tool_invocations"]["call_1"]["executed"]
    assert codes(native) == []


def test_a_handoff_that_was_filtered_out_of_the_history_is_not_in_flight() -> None:
    handed = call("call_h", "transfer_to_b", "{}")
    entries = [item("handoff_call_item", handed)]
    native = snapshot(handed, items=entries, interruptions=[], status="run_again", response=None)
    native["context"]["tool_invocations"]["call_h"]["executed"] = True
    native["generated_items"] = native["session_items"] = []
    assert codes(native) == []
    native["context"]["tool_invocations"]["call_h"]["approval_scope"] = "0" * 64
    assert codes(native) == ["call-in-flight"]


def test_ambiguous_call() -> None:
    native = snapshot()
    other = copy.deepcopy(native["generated_items"][0])
    other["raw_item"]["arguments"] = "{}"
    native["generated_items"].append(other)
    assert codes(native) == ["ambiguous-call"]


def test_what_has_no_portable_form_binds_the_run() -> None:
    native = snapshot()
    native["generated_items"].append({"type": "message_output_item", "raw_item": None})
    assert codes(native) == ["unsupported-item"]
    native = snapshot()
    del native["current_step"]["data"]["interruptions"][0]["raw_item"]["call_id"]
    assert codes(native) == ["unsupported-approval"]


def test_what_binds_a_nested_run_binds_the_run() -> None:
    inner = run(call("inner"), agent="weather")
    response = {"start": 0, "count": 1, "tools_used": [], "nested_runs": {"call_1": inner}}
    native = snapshot(response=response, interruptions=inner["interruptions"])
    place = "/last_processed_response/functions/0/agent_run_state"
    native["last_processed_response"]["functions"][0]["agent_run_state"]["sandbox"] = {}
    (entry,) = to_portable(native).document["cannot_cross"]
    assert (entry["code"], entry["pointer"]) == ("sandbox-state", f"{place}/sandbox")


def test_a_response_outside_the_history_is_kept_whole() -> None:
    native = snapshot()
    native["generated_items"] = native["session_items"] = []
    found = to_portable(native).document
    assert [entry["item"] for entry in found["response"]["items"]] == [call()]
    assert canonical(to_native(found).document) == canonical(native)


def test_answers_a_handoff_filtered_out_still_count() -> None:
    native = snapshot(
        items=[item("tool_call_item", call()), item("tool_call_output_item", output("call_1"))],
        interruptions=[],
        status="run_again",
    )
    native["generated_items"] = native["generated_items"][:1]
    native["current_step"] = None
    assert "step-missing" not in codes(native)
