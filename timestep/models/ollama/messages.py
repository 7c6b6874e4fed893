"""Input items as ``messages`` of a request.

The rules are those of the chat API: content is one string, images are bare base64, an assistant
turn with its thinking and calls is one message, and every tool output is one.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from timestep.errors import ModelError

if TYPE_CHECKING:
    from agents import TResponseInputItem

logger = logging.getLogger("timestep.models.ollama")

IMAGE_ONLY = "[image]"
"""The content of a tool message whose output is images alone."""

_TEXT_PARTS = frozenset({"input_text", "output_text", "text", "reasoning_text"})


@dataclass
class _Turn:
    """What the assistant said, thought and called since the last other message."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.texts or self.thoughts or self.calls)


def to_messages(
    system_instructions: str | None, input: str | Sequence[TResponseInputItem]
) -> list[dict[str, Any]]:
    """The messages of a request, the instructions first.

    Raises `ModelError` ``unsupported-input``, naming the item, for what the chat API has no
    place for, for an output without its call, and where nothing is asked at all: the server
    would load the model and answer nothing.
    """
    items: list[Mapping[str, Any]]
    items = [{"role": "user", "content": input}] if isinstance(input, str) else [*input]
    messages = _Messages(replay_from=_last_user(items))
    if system_instructions:
        messages.result.append({"role": "system", "content": system_instructions})
    for index, item in enumerate(items):
        messages.add(index, item)
    messages.end_turn()
    if all(message["role"] == "system" for message in messages.result):
        raise ModelError(
            "The input has no message of a user, an assistant or a tool.",
            code="unsupported-input",
        )
    return messages.result


def call_ids(input: str | Sequence[TResponseInputItem]) -> set[str]:
    """The ids of all calls in the input."""
    if isinstance(input, str):
        return set()
    ids = (item.get("call_id") for item in input if isinstance(item, Mapping))
    return {each for each in ids if isinstance(each, str)}


class _Messages:
    def __init__(self, replay_from: int) -> None:
        self.result: list[dict[str, Any]] = []
        self._turn = _Turn()
        self._names: dict[str, str] = {}
        # Thinking goes back to the model with the outputs of its calls, and no longer.
        self._replay_from = replay_from

    def add(self, index: int, item: Mapping[str, Any]) -> None:
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "message" and item.get("role") == "assistant":
            self._turn.texts.append(_text(item.get("content"), index))
        elif kind == "message":
            self._message(index, item)
        elif kind == "reasoning":
            if index >= self._replay_from:
                self._turn.thoughts.append(_thinking(item))
        elif kind == "function_call":
            self._call(item)
        elif kind == "function_call_output":
            self._output(index, item)
        else:
            _refuse(index, f"an item of type {kind!r}")

    def end_turn(self) -> None:
        turn, self._turn = self._turn, _Turn()
        if not turn:
            return
        message: dict[str, Any] = {"role": "assistant", "content": "".join(turn.texts)}
        if thinking := "".join(turn.thoughts):
            message["thinking"] = thinking
        if turn.calls:
            message["tool_calls"] = turn.calls
        if len(message) > 2 or message["content"]:
            self.result.append(message)

    def _message(self, index: int, item: Mapping[str, Any]) -> None:
        self.end_turn()
        role = item.get("role")
        if role not in ("user", "system", "developer"):
            _refuse(index, f"a message of role {role!r}")
        message: dict[str, Any] = {
            "role": "system" if role == "developer" else role,
            "content": _text(item.get("content"), index),
        }
        if images := _images(item.get("content"), index):
            message["images"] = images
        self.result.append(message)

    def _call(self, item: Mapping[str, Any]) -> None:
        call_id, name = item.get("call_id"), item.get("name")
        if isinstance(call_id, str) and isinstance(name, str):
            self._names[call_id] = name
        function = {
            "index": len(self._turn.calls),
            "name": name,
            "arguments": _arguments(item.get("arguments")),
        }
        self._turn.calls.append({"id": call_id, "function": function})

    def _output(self, index: int, item: Mapping[str, Any]) -> None:
        self.end_turn()
        call_id = item.get("call_id")
        name = item.get("name") or self._names.get(str(call_id))
        if not name:
            _refuse(index, f"an output of the call {call_id!r}, which the input does not have")
        output = item.get("output")
        images = _images(output, index)
        text = _text(output, index)
        message: dict[str, Any] = {
            "role": "tool",
            "content": text or (IMAGE_ONLY if images else ""),
            "tool_name": name,
            "tool_call_id": call_id,
        }
        if images:
            message["images"] = images
        self.result.append(message)


def _last_user(items: Sequence[Mapping[str, Any]]) -> int:
    return max((index for index, item in enumerate(items) if item.get("role") == "user"), default=0)


def _parts(content: Any) -> Iterable[Any]:
    return content if isinstance(content, Sequence) and not isinstance(content, str) else [content]


def _text(content: Any, index: int) -> str:
    """The text of a message or an output, its parts joined without a space."""
    texts: list[str] = []
    for part in _parts(content):
        if part is None:
            continue
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, Mapping):
            texts.append(_json(part))
        elif part.get("type") in _TEXT_PARTS:
            texts.append(str(part.get("text") or ""))
        elif part.get("type") == "refusal":
            texts.append(str(part.get("refusal") or ""))
        elif part.get("type") in ("input_image", "image"):
            continue
        elif isinstance(part.get("type"), str) and part["type"].startswith("input_"):
            _refuse(index, f"content of type {part['type']!r}")
        else:
            texts.append(_json(part))
    return "".join(texts)


def _images(content: Any, index: int) -> list[str]:
    return [
        _image(part, index)
        for part in _parts(content)
        if isinstance(part, Mapping) and part.get("type") in ("input_image", "image")
    ]


def _image(part: Mapping[str, Any], index: int) -> str:
    """The base64 of an image given as a data: URL.

    Nothing else is passed on: the official clients read a local file where a string names one,
    and the server fetches no URL.
    """
    url = part.get("image_url")
    if not isinstance(url, str):
        _refuse(index, "an image without a data: URL")
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not comma:
        _refuse(index, "an image that is not a data: URL")
    media_type, *parameters = head.removeprefix("data:").split(";")
    if not media_type.startswith("image/") or "base64" not in parameters:
        _refuse(index, f"an image of type {media_type or 'text/plain'!r} that is not base64")
    try:
        return base64.b64encode(base64.b64decode("".join(data.split()), validate=True)).decode()
    except binascii.Error:
        _refuse(index, "an image whose base64 is broken")


def _thinking(item: Mapping[str, Any]) -> str:
    """What a model of this kind thought; nothing for the sealed reasoning of another."""
    data = item.get("provider_data")
    if not isinstance(data, Mapping) or not data.get("model") or item.get("encrypted_content"):
        return ""
    content = item.get("content") or []
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))


def _arguments(text: Any) -> dict[str, Any]:
    try:
        arguments = json.loads(text or "{}", parse_constant=_no_constant)
    except (TypeError, ValueError):
        logger.debug("The arguments of a call in the input are no JSON; it is sent with none.")
        return {}
    return arguments if isinstance(arguments, dict) else {"value": arguments}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _refuse(index: int, what: str) -> NoReturn:
    raise ModelError(
        f"An Ollama model cannot be given {what} (input item {index}).",
        code="unsupported-input",
    )
