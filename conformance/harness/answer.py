"""What a driver answers to `model.call`, in the short form that cases are written in.

Both ports give wire items; what every item has, and what the SDKs write or leave out at will, is
left out here, and nothing else. So two answers that are equal in this form hold the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import match

Json = dict[str, Any]

# Members without a fact: the status of an item of a whole answer, the role of a message of the
# model, and lists with nothing in them.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "message": {"role": "assistant", "status": "completed"},
    "function_call": {"status": "completed"},
    "reasoning": {"status": "completed", "summary": []},
    "output_text": {"annotations": [], "logprobs": []},
}
_TEXTS = {"message": "output_text", "reasoning": "reasoning_text"}


def mismatches(expected: Mapping[str, Any], reply: Mapping[str, Any], model: str) -> list[str]:
    """Where `reply` is not what a case expects: its output exactly, everything else in part."""
    others = {key: value for key, value in expected.items() if key != "output"}
    found = list(match.mismatches(others, reply))
    if "output" in expected:
        actual = [short(item, model) for item in reply["output"]]
        found += match.differences(expected["output"], actual, "/output")
    return found


def short(item: Mapping[str, Any], model: str) -> Json:
    """An output item in short form: text for content that is only text, arguments parsed.

    `model` is the routed name. Items of an Ollama model name it in `provider_data`; that is left
    out where it is so, and null where it is not.
    """
    left = _without_defaults(item)
    prefix, _, name = model.partition("/")
    if prefix == "ollama":
        told = left.pop("provider_data", None)
        if told != {"model": name}:
            left["provider_data"] = told
    kind = str(left.get("type"))
    if kind == "function_call":
        left["arguments"] = _parsed(left.get("arguments"))
    content = left.get("content")
    if kind in _TEXTS and isinstance(content, list):
        left["content"] = [_without_defaults(part) for part in content]
        text = {"type": _TEXTS[kind], "text": content[0].get("text") if content else None}
        if left["content"] == [text]:
            del left["content"]
            left["text"] = text["text"]
    return left


def _without_defaults(value: Mapping[str, Any]) -> Json:
    defaults = _DEFAULTS.get(str(value.get("type")), {})
    return {
        key: each
        for key, each in value.items()
        if key not in defaults or (each != defaults[key] and each is not None)
    }


def _parsed(arguments: Any) -> Any:
    try:
        return json.loads(arguments)
    except (TypeError, ValueError):
        return {"not JSON": arguments}
