"""Handoffs that were made or passed over before the run stopped, as openai-agents records them."""

from typing import Any

import pytest

from tests.state.build import call, document, item, output, usage
from timestep.state import ledger, to_native, to_portable
from timestep.state.calls import lookup_key

Json = dict[str, Any]

HANDOFF = call("h_1", "transfer_to_weather_agent", "{}")
PASSED_OVER = call("h_2", "transfer_to_time_agent", "{}")


def _filtered(**more: Any) -> Json:
    """A snapshot with a handoff in its first response and its ledger, but not in its history."""
    native = dict(to_native(document(call(), **more)).document)
    native["model_responses"][0]["output"].append(HANDOFF)
    native["context"]["tool_invocations"]["h_1"] = {
        "type": "function_call",
        "approval_scope": ledger.scope_of(
            "function_call", HANDOFF, lookup_key(HANDOFF), None, handoff=True
        ),
        "fingerprint": "0" * 64,
        "executed": True,
        "completed": False,
    }
    return native


def test_a_handoff_of_an_earlier_response_that_a_filter_removed_crosses() -> None:
    answers = [{"output": [], "usage": usage()}, {"output": [call()], "usage": usage()}]
    found = to_portable(_filtered(responses=answers)).document
    assert "cannot_cross" not in found


def test_a_handoff_of_the_last_response_without_output_is_in_flight() -> None:
    found = to_portable(_filtered()).document
    assert [entry["code"] for entry in found["cannot_cross"]] == ["call-in-flight"]


@pytest.mark.parametrize("wire", [PASSED_OVER, call("call_0")])
def test_only_the_output_of_a_tool_counts_as_executed(wire: Json) -> None:
    passed_over = wire is PASSED_OVER
    items = [
        item("handoff_call_item" if passed_over else "tool_call_item", wire),
        item("tool_call_output_item", output(wire["call_id"])),
        item("tool_call_item", call()),
    ]
    response = {"start": 2, "count": 1, "tools_used": ["get_weather"]}
    native = to_native(document(call(), items=items, response=response)).document
    assert to_portable(native).document["items"][1].get("executed", False) is not passed_over
