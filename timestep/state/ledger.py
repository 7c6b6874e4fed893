"""The SDK's ledger of calls: which call ids are taken, by what, and how far they got.

openai-agents 0.24 binds every call id to hashes of the call (``agents/_tool_invocation.py``). They
are never stored in a document; this module computes them from the calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

from timestep.state.calls import Call, Calls
from timestep.state.shape import Json

_FIELDS: Final = (
    "type",
    "name",
    "namespace",
    "server_label",
    "arguments",
    "input",
    "action",
    "actions",
    "pending_safety_checks",
    "operation",
    "operations",
    "environment",
    "caller",
)
_REQUIRED: Final = {
    "function_call": ("arguments",),
    "mcp_approval_request": ("arguments",),
    "custom_tool_call": ("input",),
    "computer_call": ("action",),
    "local_shell_call": ("action",),
    "shell_call": ("action",),
    "apply_patch_call": ("operation", "operations"),
}
"""Type of a call to the fields of which it must have one."""

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def scope_of(
    kind: str, item: Json, key: Json | None, name: str | None, *, handoff: bool = False
) -> str | None:
    """Hash of what an approval of a call's tool covers, ``None`` where the SDK has none."""
    payload: Json = {"type": kind}
    if handoff:
        payload["invocation_role"] = "handoff"
    if kind == "function_call":
        if key is None:
            return None
        payload["tool_lookup_key"] = key_parts(key)
    elif kind == "mcp_approval_request":
        for field in ("name", "server_label"):
            value = item.get(field)
            if not isinstance(value, str) or not value:
                return None
            payload[field] = value
    elif name:
        payload["name"] = name
    return _hash(payload)


def key_parts(key: Json) -> list[str]:
    """A lookup key as the list the SDK hashes."""
    parts = [key["kind"], key["name"]]
    if key["kind"] == "namespaced":
        parts.insert(1, key["namespace"])
    return parts


def fingerprint(call: Call, approval_scope: str) -> str | None:
    """Hash of the call itself, ``None`` where the SDK has none."""
    item = call.item
    if not any(field in item for field in _REQUIRED[call.type]):
        return None
    payload: Json = {"approval_scope": approval_scope}
    for field in _FIELDS:
        value = item.get(field)
        if value is None or (call.type == "function_call" and field in ("name", "namespace")):
            continue
        payload[field] = _arguments(value) if field == "arguments" else _without_nulls(value)
    return _hash(payload)


def entries(calls: Calls, running: Callable[[Call], bool]) -> Json:
    """The ledger of a run; ``running`` tells calls whose nested run has not ended."""
    ledger: Json = {}
    scopes: dict[Any, str | None] = {}
    for call in calls.by_id.values():
        completed = call.id in calls.answered
        approval_scope = _scope(call, scopes)
        if approval_scope is None:
            continue
        mark = fingerprint(call, approval_scope)
        if mark is None:
            continue
        ledger[call.id] = {
            "type": call.type,
            "approval_scope": approval_scope,
            "fingerprint": mark,
            "executed": completed or running(call),
            "completed": completed,
        }
    return ledger


def scope(call: Call) -> str | None:
    """``scope_of`` a call."""
    return scope_of(call.type, call.item, call.key, call.name, handoff=call.handoff)


def _scope(call: Call, known: dict[Any, str | None]) -> str | None:
    """``scope`` of a call, computed once for each tool."""
    if call.type == "mcp_approval_request":
        return scope(call)
    key = None if call.key is None else tuple(key_parts(call.key))
    tool = (call.type, key, call.name, call.handoff)
    if tool not in known:
        known[tool] = scope(call)
    return known[tool]


def _hash(payload: Json) -> str | None:
    try:
        return hashlib.sha256(_encode(payload).encode()).hexdigest()
    except UnicodeEncodeError:
        return None


def _arguments(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return _decode(value)
    except (ValueError, RecursionError):
        return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_decode = json.JSONDecoder(parse_constant=_refuse).decode


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
