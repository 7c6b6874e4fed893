"""The event stream of a Responses API answer, derived from the answer itself.

Event types, their order and their fields are those of recorded OpenAI streams
(tests/harness/test_script.py compares). What a recording has and this leaves out: `obfuscation`,
random padding of deltas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Event = tuple[str, Json]

# What an item looks like before its content arrived, by item type.
_EMPTY: dict[str, Json] = {
    "message": {"status": "in_progress", "content": []},
    "function_call": {"status": "in_progress", "arguments": ""},
    "custom_tool_call": {"input": ""},
    "reasoning": {"summary": []},
    "mcp_list_tools": {"tools": []},
    "mcp_call": {"status": "in_progress", "arguments": "", "output": None},
    "code_interpreter_call": {"status": "in_progress", "code": "", "outputs": []},
    "tool_search_call": {"status": "in_progress", "arguments": {}},
    "program": {"code": ""},
    "program_output": {"result": ""},
}
_IN_PROGRESS = frozenset(
    {"apply_patch_call", "local_shell_call", "web_search_call", "file_search_call"}
    | {"image_generation_call", "computer_call"}
)
_NOT_YET: dict[str, tuple[str, ...]] = {
    "custom_tool_call": ("status",),
    "web_search_call": ("action",),
    "image_generation_call": (
        "background",
        "output_format",
        "quality",
        "result",
        "revised_prompt",
        "size",
    ),
}
# Progress events between an item's beginning and its end, for types that send nothing else.
_PROGRESS: dict[str, tuple[str, ...]] = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "mcp_list_tools": ("in_progress", "completed"),
    "image_generation_call": ("in_progress", "generating"),
}


def stream(response: Mapping[str, Any]) -> bytes:
    """The server-sent events that end with `response`."""
    lines = []
    for number, (kind, fields) in enumerate(_events(response)):
        data = {"type": kind, "sequence_number": number, **fields}
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        lines.append(f"event: {kind}\ndata: {text}\n\n")
    return "".join(lines).encode()


def _events(response: Mapping[str, Any]) -> Iterator[Event]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    if "completed_at" in begun:
        begun["completed_at"] = None
    begun["incomplete_details"] = None
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(response["output"]):
        at = {"output_index": index}
        yield "response.output_item.added", {**at, "item": _beginning(item)}
        for kind, fields in _content(item):
            owner = {} if kind.startswith("shell_call_command") else {"item_id": item.get("id")}
            yield f"response.{kind}", {**owner, **at, **fields}
        yield "response.output_item.done", {**at, "item": item}
    yield f"response.{response['status']}", {"response": response}


def _beginning(item: Mapping[str, Any]) -> Json:
    kind = item["type"]
    begun = {key: value for key, value in item.items() if key not in _NOT_YET.get(kind, ())}
    for key, value in _EMPTY.get(kind, {}).items():
        if key in begun:
            begun[key] = value
    if kind in _IN_PROGRESS and "status" in begun:
        begun["status"] = "in_progress"
    if kind == "shell_call":
        begun["status"] = "in_progress"
        begun["action"] = {**item["action"], "commands": []}
    return begun


def _content(item: Mapping[str, Any]) -> Iterator[Event]:
    match item["type"]:
        case "message":
            yield from _message(item["content"])
        case "function_call":
            yield from _deltas("function_call_arguments", item["arguments"], "arguments")
        case "custom_tool_call":
            for piece in _words(item["input"]):
                yield "custom_tool_call_input.delta", {"delta": piece}
        case "reasoning":
            yield from _summary(item.get("summary") or ())
        case "mcp_call":
            yield "mcp_call.in_progress", {}
            yield from _deltas("mcp_call_arguments", item["arguments"], "arguments")
            yield "mcp_call.completed", {}
        case "code_interpreter_call":
            yield "code_interpreter_call.in_progress", {}
            yield from _deltas("code_interpreter_call_code", item["code"], "code")
            yield "code_interpreter_call.interpreting", {}
            yield "code_interpreter_call.completed", {}
        case "shell_call":
            yield from _commands(item["action"]["commands"])
        case kind:
            for step in _PROGRESS.get(kind, ()):
                yield f"{kind}.{step}", {}


def _message(content: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    for index, part in enumerate(content):
        at = {"content_index": index}
        if part["type"] == "refusal":
            yield "content_part.added", {**at, "part": {**part, "refusal": ""}}
            for piece in _words(part["refusal"]):
                yield "refusal.delta", {**at, "delta": piece}
            yield "refusal.done", {**at, "refusal": part["refusal"]}
        else:
            begun: Json = {key: [] for key in ("annotations", "logprobs") if key in part}
            yield "content_part.added", {**at, "part": {**part, **begun, "text": ""}}
            for piece in _words(part["text"]):
                yield "output_text.delta", {**at, "delta": piece, "logprobs": []}
            for number, note in enumerate(part["annotations"]):
                fields = {**at, "annotation_index": number, "annotation": note}
                yield "output_text.annotation.added", fields
            yield "output_text.done", {**at, "text": part["text"], "logprobs": []}
        yield "content_part.done", {**at, "part": part}


def _summary(parts: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    for index, part in enumerate(parts):
        at = {"summary_index": index}
        yield "reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
        for piece in _words(part["text"]):
            yield "reasoning_summary_text.delta", {**at, "delta": piece}
        yield "reasoning_summary_text.done", {**at, "text": part["text"]}
        yield "reasoning_summary_part.done", {**at, "part": part}


def _commands(commands: Sequence[str]) -> Iterator[Event]:
    for index, command in enumerate(commands):
        at = {"command_index": index}
        yield "shell_call_command.added", {**at, "command": ""}
        for piece in _words(command):
            yield "shell_call_command.delta", {**at, "delta": piece}
        yield "shell_call_command.done", {**at, "command": command}


def _deltas(kind: str, text: str, field: str) -> Iterator[Event]:
    for piece in _words(text):
        yield f"{kind}.delta", {"delta": piece}
    yield f"{kind}.done", {field: text}


def _words(text: str) -> list[str]:
    """`text` in pieces of about a word, as models send it."""
    return re.findall(r"\s*[^\s,:]+[,:]?|\s+|[,:]", text)
