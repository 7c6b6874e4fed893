"""The bookkeeping of openai-agents, regenerated from a core."""

import json
from typing import Any

from tests.state.build import AGENT, call, decision, document, item, message, output, run
from timestep.state import to_native, to_portable
from timestep.state.generate import generate

Json = dict[str, Any]


def history(native: Json) -> list[tuple[str, Any]]:
    return [
        (entry["type"], entry["raw_item"].get("call_id")) for entry in native["generated_items"]
    ]


def test_the_keys_stand_in_the_sdks_order() -> None:
    keys = list(to_native(document()).document)
    assert keys[:5] == [
        "$schemaVersion",
        "current_turn",
        "current_agent",
        "original_input",
        "pending_input",
    ]
    assert keys[-2:] == ["current_turn_persisted_item_count", "trace"]


def test_placeholders_stand_after_outputs_of_functions_and_before_others() -> None:
    shell = {"type": "shell_call", "id": "s", "call_id": "s", "action": {"commands": []}}
    ran = {"type": "shell_call_output", "call_id": "s", "output": []}
    facts = document(
        items=[
            item("tool_call_item", call("call_0")),
            item("tool_call_item", call()),
            item("tool_call_item", shell),
            item("tool_call_output_item", output("call_0")),
            item("tool_call_output_item", ran),
        ],
        response={"start": 0, "count": 3, "tools_used": []},
    )
    facts["responses"][0]["output"] = [call("call_0"), call(), shell]
    native = to_native(facts).document
    assert history(native)[3:] == [
        ("tool_call_output_item", "call_0"),
        ("tool_approval_item", "call_1"),
        ("tool_call_output_item", "s"),
    ]
    assert native["current_response_generated_item_ownership"] == {
        "start": 0,
        "end": 6,
        "interruptions": [4],
    }
    assert native["generated_session_item_indexes"] == [0, 1, 2, 3, 4, 5]
    assert native["session_items"] == native["generated_items"]


def test_nobody_owns_the_tail_of_a_run_that_waits_inside() -> None:
    inner = run(call("inner"), agent="weather")
    response = {"start": 0, "count": 1, "tools_used": [], "nested_runs": {"call_1": inner}}
    facts = document(response=response, interruptions=inner["interruptions"])
    native = to_native(facts).document
    assert "current_response_generated_item_ownership" not in native
    assert history(native) == [("tool_call_item", "call_1")]
    waits = native["current_step"]["data"]["interruptions"]
    assert [entry["raw_item"]["call_id"] for entry in waits] == ["inner"]
    assert native["last_processed_response"]["interruptions"] == waits


def test_actions_of_every_kind() -> None:
    wires: list[Json] = [
        {"type": "shell_call", "id": "1", "call_id": "1", "action": {"commands": []}},
        {"type": "apply_patch_call", "id": "2", "call_id": "2", "operation": {}},
        {"type": "local_shell_call", "id": "3", "call_id": "3", "action": {}},
        {"type": "custom_tool_call", "id": "4", "call_id": "4", "name": "run", "input": ""},
        {"type": "computer_call", "id": "5", "call_id": "5", "action": {}},
    ]
    facts = document(
        items=[item("tool_call_item", wire) for wire in wires],
        interruptions=[{"item": wires[0], "agent": AGENT}],
        response={"start": 0, "count": 5, "tools_used": []},
        responses=[],
    )
    processed = to_native(facts).document["last_processed_response"]
    assert {
        key: processed[key][0][tool]["name"]
        for key, tool in (
            ("shell_actions", "shell"),
            ("apply_patch_actions", "apply_patch"),
            ("local_shell_actions", "local_shell"),
            ("custom_tool_actions", "custom_tool"),
            ("computer_actions", "computer"),
        )
    } == {
        "shell_actions": "shell",
        "apply_patch_actions": "apply_patch",
        "local_shell_actions": "local_shell",
        "custom_tool_actions": "run",
        "computer_actions": "computer_use_preview",
    }


def test_settings_go_there_and_back() -> None:
    facts = document(
        max_turns=None,
        pending_input=[{"role": "user", "content": "And Bergen?"}],
        conversation={"conversation_id": "conv_1", "previous_response_id": "resp_1"},
        reasoning_item_id_policy="omit",
        session={"persisted_items": 2},
        trace={"id": "trace_1", "workflow_name": "w", "group_id": "g", "metadata": {"a": 1}},
        context={"user": 1},
        context_type="mapping",
        tool_input={"input": "x"},
    )
    facts["response"]["mcp_bindings"] = {"call_1": {"server": "fs", "tool": "t", "index": None}}
    found = to_portable(generate(facts, own=True)).document
    for key in ("max_turns", "pending_input", "conversation", "reasoning_item_id_policy"):
        assert found[key] == facts[key]
    for key in ("session", "trace", "context", "context_type", "tool_input", "response"):
        assert found[key] == facts[key]
    assert found["residue"]["python"]["patch"] == []


def test_a_past_handoff_knows_its_target() -> None:
    handed = call("h", "transfer_to_b", "{}")
    facts = document(
        items=[
            item("handoff_call_item", handed),
            item("handoff_output_item", output("h"), source_agent=AGENT, target_agent="b"),
            item("message_output_item", message(), "b"),
        ],
        response={"start": 0, "count": 1, "tools_used": []},
        interruptions=[],
        status="run_again",
    )
    found = to_portable(to_native(facts).document).document["response"]
    assert found["handoffs"] == {"h": {"tool_name": "transfer_to_b", "target_agent": "b"}}


def test_the_document_is_shared_but_never_changed() -> None:
    facts = document()
    before = json.dumps(facts)
    native = to_native(facts).document
    native["generated_items"].append("x")
    native["context"]["approvals"]["x"] = 1
    native["current_agent"]["name"] = "x"
    assert json.dumps(facts) == before


def test_session_items_keep_the_approvals_of_calls_that_have_run() -> None:
    facts = document(
        items=[
            item("tool_call_item", call("call_0")),
            item("tool_call_item", call("free")),
            item("tool_call_output_item", output("free")),
            item("tool_call_output_item", output("call_0")),
            item("tool_call_item", call()),
        ],
        response={"start": 4, "count": 1, "tools_used": []},
        decisions=[decision(call_id="call_0")],
    )
    native = generate(facts, own=True)
    assert [(entry["type"], entry["raw_item"]["call_id"]) for entry in native["session_items"]] == [
        ("tool_call_item", "call_0"),
        ("tool_call_item", "free"),
        ("tool_approval_item", "call_0"),
        ("tool_call_output_item", "free"),
        ("tool_call_output_item", "call_0"),
        ("tool_call_item", "call_1"),
        ("tool_approval_item", "call_1"),
    ]
    assert native["generated_session_item_indexes"] == [0, 1, 3, 4, 5, 6]
    assert generate(facts)["session_items"] == generate(facts)["generated_items"]
