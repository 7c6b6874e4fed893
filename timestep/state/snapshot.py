"""A native openai-agents snapshot: whether it is one, and what of it is never stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from timestep.errors import DocumentError, SnapshotError
from timestep.state.shape import Json

SCHEMA: Final = "1.21"
"""The snapshot schema this port writes: that of openai-agents 0.24."""

SCHEMAS: Final = tuple(f"1.{minor}" for minor in range(22))
"""The snapshot schemas this port reads."""

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "$schemaVersion": (str,),
    "current_turn": (int,),
    "current_agent": (dict,),
    "original_input": (str, list),
    "context": (dict,),
    "max_turns": (int, type(None)),
}
_OPTIONAL: Final[dict[str, tuple[type, ...]]] = {
    "model_responses": (list,),
    "generated_items": (list,),
    "session_items": (list,),
    "pending_input": (list,),
    "current_step": (dict, type(None)),
    "last_processed_response": (dict, type(None)),
}
_NAMES: Final = {
    int: "an integer",
    str: "a string",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def check(native: Any) -> Json:
    """The snapshot itself, once it is known to be one this port reads.

    Raises ``DocumentError`` (``malformed``) and ``SnapshotError`` (``foreign-writer``,
    ``unknown-schema``).
    """
    if not isinstance(native, Mapping):
        raise DocumentError("a snapshot is a JSON object", code="malformed", pointer="")
    if "currentTurn" in native and "current_turn" not in native:
        schema = native.get("$schemaVersion")
        raise SnapshotError(
            f"this is a raw @openai/agents snapshot (schema {schema})", code="foreign-writer"
        )
    snapshot = native if isinstance(native, dict) else dict(native)
    if "$schemaVersion" in snapshot and snapshot["$schemaVersion"] not in SCHEMAS:
        raise SnapshotError(
            f"schema {snapshot['$schemaVersion']!r} is none of 1.0 to {SCHEMA}",
            code="unknown-schema",
            pointer="/$schemaVersion",
        )
    check_run(snapshot, "")
    return snapshot


def check_run(snapshot: Json, at: str) -> None:
    """Raise ``DocumentError`` (``malformed``) where a run lacks what every run has."""
    for key, types in _TYPES.items():
        if key not in snapshot:
            raise _malformed(f"the snapshot has no {key}", f"{at}/{key}")
        _expect(snapshot[key], types, f"{at}/{key}")
    for key, types in _OPTIONAL.items():
        if key in snapshot:
            _expect(snapshot[key], types, f"{at}/{key}")
    if not isinstance(snapshot["current_agent"].get("name"), str):
        raise _malformed("the current agent has no name", f"{at}/current_agent/name")
    if snapshot["current_turn"] < 0:
        raise _malformed("the current turn is negative", f"{at}/current_turn")


def without_secrets(snapshot: Json, at: str = "") -> tuple[Json, list[str]]:
    """The snapshot without what is never stored, and the JSON Pointers of what was taken out.

    Never stored are tracing API keys and tool configurations of MCP servers, which hold URLs and
    headers.
    """
    lossy: list[str] = []
    trace = snapshot.get("trace")
    if isinstance(trace, dict) and "tracing_api_key" in trace:
        lossy.append(f"{at}/trace/tracing_api_key")
        kept = {key: value for key, value in trace.items() if key != "tracing_api_key"}
        snapshot = {**snapshot, "trace": kept}
    processed = snapshot.get("last_processed_response")
    if not isinstance(processed, dict):
        return snapshot, lossy
    at = f"{at}/last_processed_response"
    changed: Json = {}
    requests = _listed(processed, "mcp_approval_requests")
    for index, request in enumerate(requests):
        tool = request.get("mcp_tool") if isinstance(request, dict) else None
        if isinstance(tool, dict) and "tool_config" in tool:
            lossy.append(f"{at}/mcp_approval_requests/{index}/mcp_tool/tool_config")
            kept = {key: value for key, value in tool.items() if key != "tool_config"}
            requests[index] = {**request, "mcp_tool": kept or {"name": "hosted_mcp"}}
            changed["mcp_approval_requests"] = requests
    functions = _listed(processed, "functions")
    for index, function in enumerate(functions):
        nested = function.get("agent_run_state") if isinstance(function, dict) else None
        if isinstance(nested, dict):
            clean, inner = without_secrets(nested, f"{at}/functions/{index}/agent_run_state")
            if inner:
                lossy += inner
                functions[index] = {**function, "agent_run_state": clean}
                changed["functions"] = functions
    if changed:
        snapshot = {**snapshot, "last_processed_response": {**processed, **changed}}
    return snapshot, lossy


def _listed(processed: Json, key: str) -> list[Any]:
    value = processed.get(key)
    return list(value) if isinstance(value, list) else []


def _expect(value: Any, types: tuple[type, ...], at: str) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        expected = " or ".join(_NAMES[kind] for kind in types)
        raise _malformed(f"{at.rpartition('/')[2]} is not {expected}", at)


def _malformed(message: str, at: str) -> DocumentError:
    return DocumentError(message, code="malformed", pointer=at)
