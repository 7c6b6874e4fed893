"""Approval decisions: the SDK's five maps of records, and one list of facts.

A record is what openai-agents keeps for a tool: ``approved`` and ``rejected`` are lists of call
ids, or true and false where the decision covers every call; ``sticky_scope`` binds such a
decision to a tool by hash (``agents/run_context.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from timestep.state import ledger
from timestep.state.calls import Call, Calls
from timestep.state.shape import Json, as_list, as_object, is_text
from timestep.state.wire import CALL_TYPES, NATIVE_TOOL_NAMES

DEFERRED_PREFIX: Final = "deferred_top_level:"
_PATCH_PREFIX: Final = "apply_patch:"
_CALL_OF_NATIVE_TOOL: Final = {
    **{name: kind for kind, name in NATIVE_TOOL_NAMES.items()},
    "computer": "computer_call",
}

_NATIVE_CALLS: Final = CALL_TYPES - {"function_call", "mcp_approval_request"}


def read(context: Json, calls: Calls) -> list[Json]:
    """The decisions a native context records, in no particular order, doubles included."""
    return [
        *_read_functions(context, calls),
        *_read_hosted(context, calls),
        *_read_named(context, calls),
    ]


def record(context: Json, decisions: Iterable[Json], calls: Calls) -> None:
    """Write decisions into a native context, on top of those it has, as the SDK would."""
    positions = {identifier: index for index, identifier in enumerate(calls.by_id)}

    def order(decision: Json) -> tuple[bool, int]:
        return (
            decision["scope"] == "call",
            positions.get(decision.get("call_id", ""), len(positions)),
        )

    for decision in sorted(decisions, key=order):
        tool = decision["tool"]
        _decide(_record_of(context, tool), decision, _scope_of(tool, calls))
        if tool["kind"] == "mcp" and decision["scope"] == "call":
            alias = {
                "type": "query",
                "tool_name": tool["name"],
                "request_id": decision["call_id"],
            }
            _decide(_hosted_record(context, alias), decision, None)


def tool_of(call: Call) -> Json:
    """What a decision about this call is about."""
    if call.type == "function_call" and call.key is not None:
        return {"kind": "function", "agent": call.agent, "key": call.key}
    if call.type == "mcp_approval_request":
        label, name = call.item.get("server_label"), call.item.get("name")
        if isinstance(label, str) and label and isinstance(name, str) and name:
            return {"kind": "mcp", "server_label": label, "name": name}
        return {"kind": "mcp_request", "request_id": call.id}
    return {"kind": "native", "name": call.name or call.type}


def approval_key(key: Json) -> str:
    """The string openai-agents keeps a function tool's record under."""
    if key["kind"] == "namespaced":
        return f"{key['namespace']}.{key['name']}"
    if key["kind"] == "deferred_top_level":
        return DEFERRED_PREFIX + str(key["name"])
    return str(key["name"])


def _read_functions(context: Json, calls: Calls) -> Iterator[Json]:
    for entry in as_list(context.get("function_tool_approvals")):
        owner = as_object(as_object(entry).get("agent")).get("name")
        name = as_object(entry).get("tool_key")
        if not isinstance(owner, str) or not isinstance(name, str):
            continue
        key = _key_of(owner, name, calls)
        tool = {"kind": "function", "agent": owner, "key": key}
        for decision in _facts(tool, entry.get("decision")):
            yield _by_call(decision, calls)


def _read_hosted(context: Json, calls: Calls) -> Iterator[Json]:
    for entry in as_list(context.get("hosted_mcp_approvals")):
        identity = as_object(as_object(entry).get("identity"))
        label, name = identity.get("server_label"), identity.get("tool_name")
        request = identity.get("request_id")
        if identity.get("type") == "server_tool" and is_text(label) and is_text(name):
            yield from _facts(
                {"kind": "mcp", "server_label": label, "name": name}, entry.get("decision")
            )
        elif identity.get("type") == "request" and is_text(request):
            tool = {"kind": "mcp_request", "request_id": request}
            for decision in _facts(tool, entry.get("decision")):
                if decision["scope"] == "call":
                    yield decision


def _read_named(context: Json, calls: Calls) -> Iterator[Json]:
    """Records by name: built-in tools, and what older releases kept for every kind of tool."""
    for key, native in as_object(context.get("approvals")).items():
        if key.startswith(_PATCH_PREFIX):
            key = key.partition(":")[0]
        for decision in _facts(_named_tool(key, native, calls), native):
            yield _by_call(decision, calls)


def _named_tool(name: str, native: Any, calls: Calls) -> Json:
    """What a record by name is about; its scope tells where no call does."""
    scope = as_object(native).get("sticky_scope")
    if name in _CALL_OF_NATIVE_TOOL or (
        scope is not None
        and any(scope == ledger.scope_of(kind, {}, None, name) for kind in _NATIVE_CALLS)
    ):
        return {"kind": "native", "name": name}
    for call in calls.by_id.values():
        if call.name == name and call.type not in ("function_call", "mcp_approval_request"):
            return {"kind": "native", "name": name}
    return {"kind": "function_name", "name": name}


def _by_call(decision: Json, calls: Calls) -> Json:
    """The decision with its tool taken from the call it is about, where that call is known."""
    call = calls.by_id.get(decision.get("call_id", ""))
    kind = decision["tool"]["kind"]
    if call is None:
        return decision
    tool = tool_of(call)
    if kind == "native" == tool["kind"]:
        return decision
    if kind == "function" and (tool["kind"] != "function" or tool["agent"] != _owner(decision)):
        return decision
    return {**decision, "tool": tool}


def _owner(decision: Json) -> str:
    return str(decision["tool"]["agent"])


def _key_of(owner: str, name: str, calls: Calls) -> Json:
    """The lookup key behind an approval key, by the agent's own calls where there are any."""
    for call in calls.by_id.values():
        if call.agent == owner and call.key is not None and approval_key(call.key) == name:
            return call.key
    if name.startswith(DEFERRED_PREFIX):
        return {"kind": "deferred_top_level", "name": name[len(DEFERRED_PREFIX) :]}
    namespace, dot, bare = name.rpartition(".")
    if dot and namespace and bare:
        return {"kind": "namespaced", "namespace": namespace, "name": bare}
    return {"kind": "bare", "name": name}


def _facts(tool: Json, native: Any) -> Iterator[Json]:
    """The decisions in one record; an approval that covers everything beats a rejection."""
    record = as_object(native)
    approved, rejected = record.get("approved"), record.get("rejected")
    messages = as_object(record.get("rejection_messages"))
    approvals, rejections = _ids(approved), _ids(rejected)
    if approved is True:
        yield {"tool": tool, "scope": "always", "decision": "approve"}
    elif rejected is True:
        sticky = record.get("sticky_rejection_message")
        yield _rejection({"tool": tool, "scope": "always", "decision": "reject"}, sticky)
        rejections = [identifier for identifier in messages if identifier and is_text(identifier)]
    for identifier in approvals:
        yield {"tool": tool, "scope": "call", "call_id": identifier, "decision": "approve"}
    for identifier in rejections:
        if identifier not in approvals:
            fact = {"tool": tool, "scope": "call", "call_id": identifier, "decision": "reject"}
            yield _rejection(fact, messages.get(identifier))


def _rejection(decision: Json, message: Any) -> Json:
    return {**decision, "message": message} if isinstance(message, str) else decision


def _decide(native: Json, decision: Json, scope: str | None) -> None:
    """One decision on one record, as ``RunContextWrapper._apply_approval_decision`` records it."""
    approve = decision["decision"] == "approve"
    message = decision.get("message")
    if decision["scope"] == "always":
        native["approved"], native["rejected"] = approve, [] if approve else True
        native.pop("sticky_rejection_message", None)
        native.pop("sticky_scope", None)
        if approve:
            native.pop("rejection_messages", None)
        elif message is not None:
            native["sticky_rejection_message"] = message
        if scope is not None:
            native["sticky_scope"] = scope
        return
    identifier = decision["call_id"]
    mine, other = ("approved", "rejected") if approve else ("rejected", "approved")
    if isinstance(native.get(other), list):
        native[other] = [known for known in native[other] if known != identifier]
    if native.get(mine) is not True:
        listed = native[mine] if isinstance(native.get(mine), list) else []
        native[mine] = listed if identifier in listed else [*listed, identifier]
    messages = {
        known: text
        for known, text in as_object(native.get("rejection_messages")).items()
        if known != identifier
    }
    if not approve and message is not None:
        messages[identifier] = message
    native.pop("rejection_messages", None)
    if messages:
        native["rejection_messages"] = messages


def _scope_of(tool: Json, calls: Calls) -> str | None:
    if tool["kind"] == "function":
        return ledger.scope_of("function_call", {}, tool["key"], None)
    if tool["kind"] == "mcp":
        return ledger.scope_of("mcp_approval_request", tool, None, None)
    if tool["kind"] == "native":
        kind = _native_type(tool["name"], calls)
        return None if kind is None else ledger.scope_of(kind, {}, None, tool["name"])
    return None


def _native_type(name: str, calls: Calls) -> str | None:
    for call in calls.by_id.values():
        if call.name == name and call.key is None:
            return call.type
    return _CALL_OF_NATIVE_TOOL.get(name, "custom_tool_call")


def _record_of(context: Json, tool: Json) -> Json:
    kind = tool["kind"]
    if kind == "function":
        return _function_record(context, tool)
    if kind == "mcp":
        identity = {
            "type": "server_tool",
            "server_label": tool["server_label"],
            "tool_name": tool["name"],
        }
        return _hosted_record(context, identity)
    if kind == "mcp_request":
        return _hosted_record(context, {"type": "request", "request_id": tool["request_id"]})
    approvals = context["approvals"] = dict(as_object(context.get("approvals")))
    record = approvals[tool["name"]] = _copy(approvals.get(tool["name"]))
    return record


def _function_record(context: Json, tool: Json) -> Json:
    entries = context["function_tool_approvals"] = list(
        as_list(context.get("function_tool_approvals"))
    )
    key = approval_key(tool["key"])
    for index, entry in enumerate(entries):
        if entry["tool_key"] == key and entry["agent"].get("name") == tool["agent"]:
            entries[index] = {**entry, "decision": _copy(entry["decision"])}
            return as_object(entries[index]["decision"])
    record = _copy(None)
    entries.append({"agent": {"name": tool["agent"]}, "tool_key": key, "decision": record})
    return record


def _hosted_record(context: Json, identity: Json) -> Json:
    entries = list(as_list(context.get("hosted_mcp_approvals")))
    record = _copy(None)
    for index, entry in enumerate(entries):
        if entry["identity"] == identity:
            record = _copy(entry["decision"])
            entries[index] = {"identity": identity, "decision": record}
            break
    else:
        entries.append({"identity": identity, "decision": record})
    context["hosted_mcp_approvals"] = sorted(entries, key=_hosted_order)
    return record


def _hosted_order(entry: Json) -> tuple[str, ...]:
    identity = entry["identity"]
    if identity["type"] == "server_tool":
        return ("hosted_mcp", identity["server_label"], identity["tool_name"])
    if identity["type"] == "request":
        return ("hosted_mcp_call", identity["request_id"])
    return ("hosted_mcp_query", identity["tool_name"], identity["request_id"])


def _copy(native: Any) -> Json:
    return dict(native) if isinstance(native, dict) else {"approved": [], "rejected": []}


def _ids(value: Any) -> list[str]:
    return [item for item in value if is_text(item)] if isinstance(value, list) else []
