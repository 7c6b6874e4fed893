"""Where a run stands, in the protocol's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from .protocol import error_code

if TYPE_CHECKING:
    from agents import RunResult, RunResultStreaming, RunState
    from agents.items import ToolApprovalItem


def wire(item: Any) -> dict[str, Any]:
    """A raw item of the SDK as the JSON it stands for."""
    if isinstance(item, BaseModel):
        return item.model_dump(mode="json", exclude_unset=True)
    return dict(item)


def call_id(item: ToolApprovalItem) -> str:
    """What a decision about the call refers to: its call id, or the id of a request."""
    raw = wire(item.raw_item)
    return str(raw.get("call_id") or raw.get("id"))


def interruption(item: ToolApprovalItem) -> dict[str, Any]:
    """A call that waits for a decision."""
    raw = wire(item.raw_item)
    kind = str(raw.get("type"))
    described = {
        "call_id": call_id(item),
        "tool": item.tool_name or kind.removesuffix("_call"),
        "agent": item.agent.name,
        "kind": kind,
    }
    arguments = raw.get("arguments", raw.get("input"))
    return described | ({"arguments": arguments} if isinstance(arguments, str) else {})


def interruptions(state: RunState[Any, Any]) -> list[dict[str, Any]]:
    """The calls of a run that wait, in the SDK's order."""
    return [interruption(item) for item in state.get_interruptions()]


def position(state: RunState[Any, Any]) -> Mapping[str, Any]:
    """The snapshot, for what the SDK tells nowhere else: turn, step and current agent."""
    snapshot: Mapping[str, Any] = state.to_json()
    return snapshot


def finished(result: RunResult | RunResultStreaming, state: RunState[Any, Any]) -> dict[str, Any]:
    """The outcome of a result that ended by itself."""
    snapshot = position(state)
    step = snapshot.get("current_step") or {}
    outcome = {"turn": snapshot["current_turn"], "last_agent": result.last_agent.name}
    if result.interruptions:
        return outcome | {"status": "interrupted", "interruptions": interruptions(state)}
    if step.get("type") == "next_step_run_again":
        return outcome | {"status": "run_again"}
    return outcome | {"status": "completed", "output": result.final_output}


def failed(error: Exception, turn: int) -> dict[str, Any]:
    """The outcome of a run that raised."""
    described = {
        "code": error_code(error),
        "message": str(error),
        "type": type(error).__name__,
    }
    return {"status": "failed", "error": described, "turn": turn}
