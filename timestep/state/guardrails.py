"""Guardrail results, between the SDK's shape and the portable one."""

from __future__ import annotations

from typing import Any, Final

from timestep.state.shape import Json, as_list, as_object

FIELDS: Final = {
    "input": "input_guardrail_results",
    "output": "output_guardrail_results",
    "tool_input": "tool_input_guardrail_results",
    "tool_output": "tool_output_guardrail_results",
}
"""Portable list to the field of the native snapshot."""

_BEHAVIORS: Final = frozenset({"allow", "reject_content", "raise_exception"})


def to_portable(native: Json) -> Json:
    """The four lists of results; an entry no SDK could read is left to the residue."""
    return {
        kind: [
            result
            for entry in as_list(native.get(field))
            if (result := _portable(kind, entry)) is not None
        ]
        for kind, field in FIELDS.items()
    }


def to_python(guardrails: Json) -> Json:
    """The four fields as openai-agents writes them."""
    return {
        field: [_python(kind, result) for result in guardrails[kind]]
        for kind, field in FIELDS.items()
    }


def _portable(kind: str, entry: Any) -> Json | None:
    guardrail = as_object(as_object(entry).get("guardrail"))
    output = as_object(as_object(entry).get("output"))
    name = guardrail.get("name")
    if not isinstance(name, str):
        return None
    if kind.startswith("tool_"):
        behavior = output.get("behavior")
        if not isinstance(behavior, dict) or behavior.get("type") not in _BEHAVIORS:
            return None
        decided = {"type": behavior["type"]}
        if isinstance(behavior.get("message"), str):
            decided["message"] = behavior["message"]
        result: Json = {"name": name, "behavior": decided}
        if output.get("outputInfo") is not None:
            result["output_info"] = output["outputInfo"]
        return result
    tripped = output.get("tripwireTriggered")
    if not isinstance(tripped, bool):
        return None
    result = {"name": name, "tripwire_triggered": tripped, "output_info": output.get("outputInfo")}
    agent = as_object(entry.get("agent")).get("name")
    if isinstance(agent, str):
        result["agent"] = agent
    if "agentOutput" in entry:
        result["agent_output"] = entry["agentOutput"]
    return result


def _python(kind: str, result: Json) -> Json:
    guardrail = {"type": kind, "name": result["name"]}
    if kind.startswith("tool_"):
        output: Json = {
            "outputInfo": result.get("output_info"),
            "behavior": dict(result["behavior"]),
        }
        return {"guardrail": guardrail, "output": output}
    output = {
        "tripwireTriggered": result["tripwire_triggered"],
        "outputInfo": result["output_info"],
    }
    entry: Json = {"guardrail": guardrail, "output": output}
    if "agent_output" in result:
        entry["agentOutput"] = result["agent_output"]
    if "agent" in result:
        entry["agent"] = {"name": result["agent"]}
    return entry
