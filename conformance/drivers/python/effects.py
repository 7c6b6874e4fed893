"""The effects ledger, and what tools of the catalogue do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agents import ToolOutputFileContent, ToolOutputImage, ToolOutputText

_ARGUMENT = re.compile(r"\{(\w+)\}")
_PARTS = {
    "input_text": ToolOutputText,
    "input_image": ToolOutputImage,
    "input_file": ToolOutputFileContent,
}


class Ledger:
    """What tools really did since the case was opened, in order."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []

    def add(self, tool: str, arguments: Any) -> None:
        self._entries.append({"tool": tool, "arguments": arguments})

    @property
    def entries(self) -> list[dict[str, Any]]:
        return list(self._entries)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def rendered(template: str, arguments: Mapping[str, Any]) -> str:
    """The template with each `{argument}` replaced; other braces stay."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        return _as_text(arguments[name]) if name in arguments else match[0]

    return _ARGUMENT.sub(value, template)


def returned(returns: str | Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]) -> Any:
    """What a function tool returns: text, or the SDK's form of content parts."""
    if isinstance(returns, str):
        return rendered(returns, arguments)
    parts = []
    for part in returns:
        fields = {key: value for key, value in part.items() if key != "type"}
        parts.append(_PARTS[part["type"]](**fields))
    return parts
