"""The model response being processed: its part of the history, and what its calls need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from timestep.state import calls, items, wire
from timestep.state.shape import Json, as_list, as_object

_ACTIONS: Final = {
    "computer_call": ("computer_actions", "computer"),
    "custom_tool_call": ("custom_tool_actions", "custom_tool"),
    "local_shell_call": ("local_shell_actions", "local_shell"),
    "shell_call": ("shell_actions", "shell"),
    "apply_patch_call": ("apply_patch_actions", "apply_patch"),
}
"""Type of a built-in tool's call to the SDK's list of actions and the key of its tool."""


def keys(native: Json) -> dict[str, Json]:
    """Lookup keys, by call id, that the calls of a native run do not tell themselves."""
    found: dict[str, Json] = {}
    processed = native.get("last_processed_response")
    functions = as_list(processed.get("functions")) if isinstance(processed, dict) else []
    named = [
        (as_object(entry.get("tool_call")), as_object(entry.get("tool")).get("lookupKey"))
        for entry in functions
        if isinstance(entry, dict)
    ]
    for entry in as_list(native.get("generated_items")):
        if isinstance(entry, dict) and entry.get("type") == items.APPROVAL:
            named.append((as_object(entry.get("raw_item")), entry.get("tool_lookup_key")))
    for call, key in named:
        explicit = items.explicit_key(key, call)
        if explicit is not None and isinstance(call.get("call_id"), str):
            found.setdefault(call["call_id"], explicit)
    return found


def to_portable(
    processed: Json,
    history: list[Any],
    portable: list[Json],
    indexes: list[int],
    lookup: Mapping[str, Json],
) -> Json:
    """The portable response, but for its nested runs.

    ``history`` are the native items, ``portable`` the portable ones and ``indexes`` the places
    of these in ``history``.
    """
    entries = as_list(processed.get("new_items"))
    response = _place(entries, history, portable, indexes, lookup)
    response["tools_used"] = [
        name for name in as_list(processed.get("tools_used")) if isinstance(name, str)
    ]
    bindings = {
        identifier: {"server": binding[0], "tool": binding[1], "index": binding[2]}
        for identifier, binding in as_object(processed.get("mcp_tool_bindings")).items()
        if _is_binding(binding)
    }
    if bindings:
        response["mcp_bindings"] = bindings
    targets = {
        item["item"].get("call_id"): item["target_agent"]
        for item in portable
        if "target_agent" in item
    }
    handoffs: Json = {}
    for entry in as_list(processed.get("handoffs")):
        call, handoff = (
            as_object(as_object(entry).get("tool_call")),
            as_object(entry.get("handoff")),
        )
        identifier, name = call.get("call_id"), handoff.get("tool_name")
        if isinstance(identifier, str) and identifier and isinstance(name, str):
            handoffs[identifier] = {"tool_name": name}
            if identifier in targets:
                handoffs[identifier]["target_agent"] = targets[identifier]
    if handoffs:
        response["handoffs"] = handoffs
    return response


def members(body: Json) -> list[Json]:
    """The run items of the response being processed."""
    response = body["response"]
    if response is None:
        return []
    if "items" in response:
        return list(response["items"])
    start = response["start"]
    return list(body["items"][start : start + response["count"]])


def to_python(
    body: Json, nested: Callable[[Json], Json], approvals: list[Json], *, own: bool = False
) -> Json:
    """The processed response openai-agents 0.24 writes; ``nested`` generates a nested run."""
    response = body["response"]
    entries = members(body)
    runs = response.get("nested_runs", {})
    handoffs = response.get("handoffs", {})
    processed: Json = {
        "new_items": [items.to_python(entry, own=own) for entry in entries],
        "tools_used": response["tools_used"],
        "functions": [],
        **{field: [] for field, _ in _ACTIONS.values()},
        "handoffs": [],
        "mcp_approval_requests": [],
        "interruptions": approvals,
        "mcp_tool_bindings": {
            identifier: [binding["server"], binding["tool"], binding["index"]]
            for identifier, binding in response.get("mcp_bindings", {}).items()
        },
    }
    for entry in entries:
        item = entry["item"]
        kind = item.get("type")
        if entry["type"] == "handoff_call_item":
            name = handoffs.get(item["call_id"], {}).get("tool_name", item["name"])
            processed["handoffs"].append({"tool_call": item, "handoff": {"tool_name": name}})
        elif kind == "function_call" and entry["type"] == "tool_call_item":
            function: Json = {"tool_call": item, "tool": _tool(calls.tool_key(entry))}
            if item["call_id"] in runs:
                function["agent_run_state"] = nested(runs[item["call_id"]])
            processed["functions"].append(function)
        elif kind in _ACTIONS and entry["type"] == "tool_call_item":
            field, key = _ACTIONS[kind]
            action = {"tool_call": item, key: {"name": calls.tool_name(item)}}
            processed[field].append(action)
        elif kind == "mcp_approval_request" and entry["type"] == "mcp_approval_request_item":
            request = {"request_item": {"raw_item": item}, "mcp_tool": {"name": "hosted_mcp"}}
            processed["mcp_approval_requests"].append(request)
    return processed


def unanswered(members: Iterable[Json], answered: Iterable[str]) -> list[str]:
    """Ids of the calls among wire items that no output answers."""
    known = set(answered)
    return [
        identifier
        for item in members
        if (identifier := wire.call_id(item)) is not None and identifier not in known
    ]


def _place(
    entries: list[Any],
    history: list[Any],
    portable: list[Json],
    indexes: list[int],
    lookup: Mapping[str, Json],
) -> Json:
    """Where the entries are in the history, or the entries themselves where they are not in it."""
    size = len(entries)
    if size == 0:
        return {"start": len(portable), "count": 0}
    for start in range(len(portable) - size, -1, -1):
        if all(history[indexes[start + offset]] == entry for offset, entry in enumerate(entries)):
            return {"start": start, "count": size}
    own = [items.to_portable(entry, lookup) for entry in entries]
    return {"items": [item for item in own if item is not None]}


def _tool(key: Json | None) -> Json:
    if key is None:
        return {}
    tool: Json = {"name": key["name"]}
    if key["kind"] == "namespaced":
        tool["namespace"] = key["namespace"]
        tool["qualifiedName"] = f"{key['namespace']}.{key['name']}"
    tool["lookupKey"] = key
    return tool


def _is_binding(binding: Any) -> bool:
    return (
        isinstance(binding, list)
        and len(binding) == 3
        and isinstance(binding[0], str)
        and isinstance(binding[1], str)
        and (binding[2] is None or type(binding[2]) is int)
    )
