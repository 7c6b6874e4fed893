"""What a person wants to know of a run state, taken from its portable document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from timestep.errors import TimestepError
from timestep.state import digest, to_native

Json = dict[str, Any]

# Wire items by what they are: calls of tools, and what tools gave back.
_NAMELESS_CALLS = {
    "shell_call": "shell",
    "local_shell_call": "local_shell",
    "apply_patch_call": "apply_patch",
    "computer_call": "computer",
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "tool_search_call": "tool_search",
    "mcp_list_tools": "mcp_list_tools",
    "program": "program",
}
_TEXT_KEYS = ("text", "refusal", "transcript")
_ARGUMENT_KEYS = ("arguments", "input", "action", "operation", "actions", "queries", "code")


def summarise(document: Mapping[str, Any]) -> Json:
    """The facts of a valid document: JSON, with the names of the format where it has them."""
    decisions = list(document["decisions"])
    summary: Json = {
        "writer": document["writer"],
        "status": document["status"],
        "agent": document["current_agent"],
        "turn": document["current_turn"],
        "max_turns": document["max_turns"],
        "context_type": document["context_type"],
        "context": document["context"],
        "interruptions": [_interruption(each, decisions) for each in document["interruptions"]],
        "decisions": decisions,
        "history": list(_history(document)),
        "usage": {
            key: document["usage"][key]
            for key in ("requests", "input_tokens", "output_tokens", "total_tokens")
        },
        "cannot_cross": _cannot_cross(document),
        "digest": digest(document),
    }
    for key in ("conversation", "pending_input", "final_output"):
        if key in document:
            summary[key] = document[key]
    return summary


def tool_name(item: Mapping[str, Any]) -> str:
    """The name of the tool a wire item calls, as people know it."""
    kind = str(item.get("type", ""))
    name = str(item.get("name") or _NAMELESS_CALLS.get(kind, kind))
    owner = item.get("namespace") or item.get("server_label")
    return f"{owner}.{name}" if owner else name


def arguments_of(item: Mapping[str, Any]) -> Any:
    """What a wire item calls its tool with: JSON where it is JSON; None where there is nothing."""
    for key in _ARGUMENT_KEYS:
        if item.get(key) is not None:
            return _parsed(item[key])
    return None


def text_of(content: Any) -> str:
    """The text in a message's or an output's content; other parts by their type in brackets."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    pieces = []
    for part in content:
        if not isinstance(part, Mapping):
            pieces.append(json.dumps(part, ensure_ascii=False))
            continue
        found = [part[key] for key in _TEXT_KEYS if isinstance(part.get(key), str)]
        pieces.append(found[0] if found else f"[{part.get('type', 'part')}]")
    return " ".join(pieces)


def _interruption(interruption: Mapping[str, Any], decisions: list[Json]) -> Json:
    item = interruption["item"]
    found = {
        "call_id": item.get("call_id") or item.get("id"),
        "tool": tool_name(item),
        "agent": interruption["agent"],
        "arguments": arguments_of(item),
    }
    for decision in decisions:
        if _decides(decision, interruption):
            found["decision"] = decision["decision"]
    return found


def _decides(decision: Mapping[str, Any], interruption: Mapping[str, Any]) -> bool:
    item = interruption["item"]
    if decision["scope"] == "call":
        return decision["call_id"] in (item.get("call_id"), item.get("id"))
    tool = decision["tool"]
    if tool["kind"] == "function":
        return bool(
            tool["agent"] == interruption["agent"] and tool["key"]["name"] == item.get("name")
        )
    if tool["kind"] == "mcp":
        return (tool["server_label"], tool["name"]) == (item.get("server_label"), item.get("name"))
    return bool(tool.get("name") == tool_name(item))


def _history(document: Mapping[str, Any]) -> Iterator[Json]:
    given = document["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        yield _line(item, None)
    for entry in document["items"]:
        yield _line(entry["item"], entry["agent"])


def _line(item: Mapping[str, Any], agent: str | None) -> Json:
    """One entry of the history: who, what kind, and the words of it."""
    kind = str(item.get("type", "message"))
    who = agent or str(item.get("role", "input"))
    if kind == "message":
        return {"who": who, "kind": "message", "text": text_of(item.get("content"))}
    if kind == "reasoning":
        return {"who": who, "kind": "reasoning", "text": text_of(item.get("summary") or [])}
    if kind.endswith(("_output", "_approval_response")):
        call_id = item.get("call_id") or item.get("approval_request_id")
        answer = item["output"] if "output" in item else item.get("approve")
        return {"who": who, "kind": "output", "call_id": call_id, "text": text_of(answer)}
    if kind in _NAMELESS_CALLS or "name" in item:
        call_id = item.get("call_id") or item.get("id")
        return {
            "who": who,
            "kind": "call",
            "call_id": call_id,
            "tool": tool_name(item),
            "arguments": arguments_of(item),
        }
    return {"who": who, "kind": kind, "text": ""}


def _cannot_cross(document: Mapping[str, Any]) -> list[Json]:
    """Why the run cannot go on in the other language, as far as can be told from here."""
    known = list(document.get("cannot_cross", ()))
    if known or document["status"] == "completed" or document["writer"]["language"] == "python":
        return known
    try:
        to_native(document)
    except TimestepError as error:
        return [{"code": error.code, "pointer": error.pointer or "", "message": error.message}]
    return []


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
