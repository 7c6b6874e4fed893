"""Responses wire items: their kinds, and the form they have in a portable document."""

from __future__ import annotations

from typing import Any, Final

from timestep.state.shape import Json

PLACEHOLDER: Final = "__fake_id__"
PLACEHOLDERS: Final = frozenset({PLACEHOLDER, "FAKE_ID"})
"""Ids the SDKs give items of models that know none."""

NATIVE_TOOL_NAMES: Final = {
    "computer_call": "computer_use_preview",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
    "local_shell_call": "local_shell",
}
"""Names of the SDK's built-in tools by the type of their calls."""

CALL_OF_OUTPUT: Final = {
    "function_call_output": "function_call",
    "computer_call_output": "computer_call",
    "shell_call_output": "shell_call",
    "apply_patch_call_output": "apply_patch_call",
    "custom_tool_call_output": "custom_tool_call",
    "local_shell_call_output": "local_shell_call",
    "mcp_approval_response": "mcp_approval_request",
}
"""The type of call each type of output answers."""

CALL_TYPES: Final = frozenset(CALL_OF_OUTPUT.values())

_NEEDS_CALL_ID: Final = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "computer_call_output",
        "shell_call_output",
        "apply_patch_call_output",
    }
)
_SHELL_NOTES: Final = frozenset({"status", "shell_output"})
"""What openai-agents notes on a shell output and never sends."""

_NEEDS_ID: Final = frozenset(
    {
        "apply_patch_call",
        "code_interpreter_call",
        "compaction",
        "computer_call",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "mcp_call",
        "mcp_list_tools",
        "message",
        "program",
        "reasoning",
        "shell_call",
        "tool_search_call",
        "web_search_call",
    }
)
"""Model output the SDK drops, or refuses a response for, when it has no id."""


def call_id(item: Json) -> str | None:
    """The id that joins a call to its output, ``None`` where the item is no call."""
    kind = item.get("type")
    if kind not in CALL_TYPES:
        return None
    value = item.get("id" if kind == "mcp_approval_request" else "call_id")
    return value if isinstance(value, str) and value else None


def answered_call(item: Json) -> tuple[str, str] | None:
    """Type and id of the call an output answers, ``None`` where the item is no output."""
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in CALL_OF_OUTPUT:
        return None
    value = item.get("approval_request_id" if kind == "mcp_approval_response" else "call_id")
    return (CALL_OF_OUTPUT[kind], value) if isinstance(value, str) and value else None


def is_portable(item: Any) -> bool:
    """Whether the schema has a form for the item."""
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    if kind is None:
        return "type" not in item and "role" in item and "content" in item
    if kind == "function_call":
        return (
            isinstance(item.get("call_id"), str)
            and isinstance(item.get("name"), str)
            and isinstance(item.get("arguments"), str)
        )
    if kind in _NEEDS_CALL_ID:
        return isinstance(item.get("call_id"), str)
    return isinstance(kind, str) and not (
        kind == "message" and item.get("role") == "assistant" and "content" not in item
    )


def to_portable(item: Json) -> Json:
    """The item as a document holds it; the item itself where nothing has to change.

    ``provider_data``, which only the SDK that wrote it understands, is left to the residue, but
    for the model that thought: its thinking goes back to such a model, and never to OpenAI.
    """
    kind = item.get("type")
    if item.get("id") in PLACEHOLDERS:
        item = {key: value for key, value in item.items() if key != "id"}
    if "provider_data" in item:
        thinker = _thinker(item)
        if thinker is None:
            item = {key: value for key, value in item.items() if key != "provider_data"}
        elif item["provider_data"] != thinker:
            item = {**item, "provider_data": thinker}
    if kind == "function_call_output":
        if item.get("status", "incomplete") != "incomplete":
            item = {key: value for key, value in item.items() if key != "status"}
    elif kind == "shell_call_output":
        if not _SHELL_NOTES.isdisjoint(item):
            item = {key: value for key, value in item.items() if key not in _SHELL_NOTES}
    elif item.get("role") == "assistant" and (kind == "message" or kind is None):
        content = item.get("content")
        parts = _parts(content)
        if parts is not content:
            item = {**item, "content": parts}
    return item


def to_python(item: Json) -> Json:
    """The item as openai-agents restores it: a placeholder stands where an id is missing."""
    if item.get("type") in _NEEDS_ID and "id" not in item:
        return {"id": PLACEHOLDER, **item}
    return item


def _thinker(item: Json) -> Json | None:
    data = item["provider_data"]
    if item.get("type") != "reasoning" or not isinstance(data, dict):
        return None
    model = data.get("model")
    return {"model": model} if isinstance(model, str) and model else None


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "output_text", "text": content, "annotations": []}]
    if not isinstance(content, list):
        return content
    for part in content:
        if _lacks_annotations(part):
            return [
                {**part, "annotations": []} if _lacks_annotations(part) else part
                for part in content
            ]
    return content


def _lacks_annotations(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.get("type") == "output_text"
        and not isinstance(part.get("annotations"), list)
    )
