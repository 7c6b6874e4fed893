from typing import Any

import pytest

from timestep.state import guardrails

NATIVE: dict[str, Any] = {
    "input_guardrail_results": [
        {
            "guardrail": {"type": "input", "name": "ig"},
            "output": {"tripwireTriggered": False, "outputInfo": {"someKey": 1}},
        }
    ],
    "output_guardrail_results": [
        {
            "guardrail": {"type": "output", "name": "og"},
            "output": {"tripwireTriggered": True, "outputInfo": None},
            "agentOutput": "text",
            "agent": {"name": "assistant"},
        }
    ],
    "tool_input_guardrail_results": [
        {
            "guardrail": {"type": "tool_input", "name": "tig"},
            "output": {"outputInfo": {"t": 1}, "behavior": {"type": "allow"}},
        }
    ],
    "tool_output_guardrail_results": [
        {
            "guardrail": {"type": "tool_output", "name": "tog"},
            "output": {
                "outputInfo": None,
                "behavior": {"type": "reject_content", "message": "no"},
            },
        }
    ],
}


def test_results_go_there_and_back() -> None:
    portable = guardrails.to_portable(NATIVE)
    assert portable["output"] == [
        {
            "name": "og",
            "tripwire_triggered": True,
            "output_info": None,
            "agent": "assistant",
            "agent_output": "text",
        }
    ]
    assert portable["tool_output"] == [
        {"name": "tog", "behavior": {"type": "reject_content", "message": "no"}}
    ]
    assert guardrails.to_python(portable) == NATIVE


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"guardrail": {"name": 1}, "output": {}},
        {"guardrail": {"name": "x"}, "output": {"tripwireTriggered": "yes", "behavior": {}}},
    ],
)
def test_what_no_sdk_reads_is_left_to_the_residue(entry: Any) -> None:
    native = {field: [entry] for field in guardrails.FIELDS.values()}
    assert guardrails.to_portable(native) == {kind: [] for kind in guardrails.FIELDS}
