"""Run items, between the SDK's entries and the portable ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from timestep.state import calls, wire
from timestep.state.shape import Json, is_text

TYPES: Final = frozenset(
    {
        "message_output_item",
        "tool_call_item",
        "tool_call_output_item",
        "reasoning_item",
        "handoff_call_item",
        "handoff_output_item",
        "mcp_list_tools_item",
        "mcp_approval_request_item",
        "mcp_approval_response_item",
        "compaction_item",
        "tool_search_call_item",
        "tool_search_output_item",
        "input_item",
    }
)
APPROVAL: Final = "tool_approval_item"
_WITH_ORIGIN: Final = {
    "tool_call_item": ("function_call",),
    "tool_call_output_item": ("function_call_output",),
}
"""Where the SDK notes the origin of a tool; that of most is an ordinary function."""
_AGENTS: Final = ("source_agent", "target_agent")


def agent_name(reference: Any) -> str | None:
    """The name in an agent reference, ``None`` where it is none."""
    name = reference.get("name") if isinstance(reference, dict) else reference
    return name if isinstance(name, str) else None


def to_portable(entry: Any, keys: Mapping[str, Json]) -> Json | None:
    """The portable run item of an entry, ``None`` where a document has no form for it.

    ``keys`` holds the lookup keys of calls whose own name does not give them.
    """
    if not isinstance(entry, dict) or entry.get("type") not in TYPES:
        return None
    raw, agent = entry.get("raw_item"), agent_name(entry.get("agent"))
    if agent is None or not isinstance(raw, dict) or not wire.is_portable(raw):
        return None
    item: Json = {"type": entry["type"], "item": wire.to_portable(raw), "agent": agent}
    if "output" in entry and (entry["output"] != raw.get("output") or "output" not in raw):
        item["output"] = entry["output"]
    custom = entry.get("custom_data")
    if isinstance(custom, dict):
        item["custom_data"] = custom
    if entry["type"] == "handoff_output_item":
        for field in _AGENTS:
            name = agent_name(entry.get(field))
            if name is not None:
                item[field] = name
    if is_text(entry.get("input_id")):
        item["input_id"] = entry["input_id"]
    if keys and raw.get("type") == "function_call":
        key = keys.get(raw["call_id"])
        if key is not None:
            item["tool_key"] = key
    return item


def to_python(item: Json, *, own: bool = False) -> Json:
    """The entry openai-agents 0.24 writes for a portable run item.

    With ``own`` the item is the SDK's own, and has what it notes about every function call.
    """
    raw, kind = item["item"], item["type"]
    entry: Json = {
        "type": kind,
        "raw_item": raw if kind == "input_item" else wire.to_python(raw),
        "agent": {"name": item["agent"]},
    }
    if "input_id" in item:
        entry["input_id"] = item["input_id"]
    if kind == "tool_call_output_item":
        entry["output"] = item["output"] if "output" in item else raw.get("output")
    elif "output" in item:
        entry["output"] = item["output"]
    for field in _AGENTS:
        if field in item:
            entry[field] = {"name": item[field]}
    if kind == "tool_call_item":
        name = calls.tool_name(raw)
        if name is not None:
            entry["tool_name"] = name
    if "custom_data" in item:
        entry["custom_data"] = item["custom_data"]
    if own and raw.get("type") in _WITH_ORIGIN.get(kind, ()):
        entry["tool_origin"] = {"type": "function"}
    return entry


def interruption(entry: Any) -> Json | None:
    """The portable interruption of a pending approval, ``None`` where there is no form for it."""
    if not isinstance(entry, dict):
        return None
    raw, agent = entry.get("raw_item"), agent_name(entry.get("agent"))
    if agent is None or not isinstance(raw, dict) or not wire.is_portable(raw):
        return None
    item = wire.to_portable(raw)
    pending: Json = {"item": item, "agent": agent}
    name = entry.get("tool_name") if is_text(entry.get("tool_name")) else calls.tool_name(item)
    if name is not None:
        pending["tool_name"] = name
    key = explicit_key(entry.get("tool_lookup_key"), item)
    if key is not None:
        pending["tool_key"] = key
    return pending


def approval(pending: Json, *, own: bool = False) -> Json:
    """The approval item openai-agents 0.24 writes for an interruption, ``own`` as above."""
    item = pending["item"]
    entry: Json = {
        "type": APPROVAL,
        "raw_item": wire.to_python(item),
        "agent": {"name": pending["agent"]},
    }
    name = pending.get("tool_name") or calls.tool_name(item)
    if name is not None:
        entry["tool_name"] = name
    if is_text(item.get("namespace")):
        entry["tool_namespace"] = item["namespace"]
    if item.get("type") == "function_call":
        key = calls.tool_key(pending)
        if key is not None:
            entry["tool_lookup_key"] = key
        if own:
            entry["tool_origin"] = {"type": "function"}
    return entry


def explicit_key(key: Any, item: Json) -> Json | None:
    """A native lookup key where it says more than the call itself."""
    if not isinstance(key, dict) or item.get("type") != "function_call":
        return None
    kind, name, namespace = key.get("kind"), key.get("name"), key.get("namespace")
    if not is_text(name):
        return None
    if kind == "namespaced" and is_text(namespace):
        portable = {"kind": kind, "namespace": namespace, "name": name}
    elif kind in ("bare", "deferred_top_level"):
        portable = {"kind": kind, "name": name}
    else:
        return None
    return None if portable == calls.lookup_key(item) else portable
