"""What a person or a tool sees of an answer: in the recording, and in what a port made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .exchanges import Exchange

Json = dict[str, Any]


def expected(exchange: Exchange) -> Json:
    """`{text, thinking, calls, input_tokens, output_tokens}` of the recorded answer.

    The chat model of @openai/agents keeps no thinking, so that is not looked at there.
    """
    return {
        "ollama-chat": _ollama,
        "openai-chat": _chat,
        "openai-responses": _responses,
    }[exchange.api](exchange)


def seen(reply: Json, exchange: Exchange) -> Json:
    """The same of a reply to `model.call`."""
    output = reply["output"]
    made = _of_items(output)
    usage = reply["usage"]
    made |= {key: usage[key] for key in ("input_tokens", "output_tokens")}
    if exchange.api == "openai-chat":
        made["thinking"] = ""
    if not made["text"].strip():
        made["text"] = ""
    return made


def _of_items(output: list[Json]) -> Json:
    text, thinking, calls = "", "", []
    for item in output:
        if item["type"] == "message":
            parts = item.get("content") or []
            text += "".join(part.get("text", part.get("refusal", "")) for part in parts)
        elif item["type"] == "reasoning":
            parts = item.get("content") or item.get("summary") or []
            thinking += "".join(part["text"] for part in parts)
        elif item["type"] == "function_call":
            calls.append({"name": item["name"], "arguments": _parsed(item["arguments"])})
    return {"text": text, "thinking": thinking, "calls": calls}


def _ollama(exchange: Exchange) -> Json:
    made: Json = {"text": "", "thinking": "", "calls": [], "input_tokens": 0, "output_tokens": 0}
    for line in exchange.data.splitlines() if exchange.streamed else [exchange.data]:
        if not line.strip():
            continue
        chunk = json.loads(line)
        message = chunk.get("message") or {}
        made["text"] += message.get("content") or ""
        made["thinking"] += message.get("thinking") or ""
        for call in message.get("tool_calls") or ():
            function = call["function"]
            made["calls"].append(
                {"name": function["name"], "arguments": _parsed(function["arguments"])}
            )
        if chunk.get("done"):
            made["input_tokens"] = chunk.get("prompt_eval_count", 0)
            made["output_tokens"] = chunk.get("eval_count", 0)
    if not made["text"].strip():
        made["text"] = ""
    return made


def _chat(exchange: Exchange) -> Json:
    made: Json = {"text": "", "thinking": "", "calls": [], "input_tokens": 0, "output_tokens": 0}
    calls: dict[int, Json] = {}
    for value in _values(exchange):
        usage = value.get("usage")
        if usage:
            made["input_tokens"] = usage["prompt_tokens"]
            made["output_tokens"] = usage["completion_tokens"]
        for choice in (value.get("choices") or ())[:1]:
            message = choice.get("delta") or choice.get("message") or {}
            made["text"] += message.get("content") or message.get("refusal") or ""
            for place, call in enumerate(message.get("tool_calls") or ()):
                function = call["function"]
                known = calls.setdefault(call.get("index", place), {"name": "", "arguments": ""})
                known["name"] += function.get("name") or ""
                known["arguments"] += function.get("arguments") or ""
    made["calls"] = [
        {**call, "arguments": _parsed(call["arguments"])} for _, call in sorted(calls.items())
    ]
    if not made["text"].strip():
        made["text"] = ""
    return made


def _responses(exchange: Exchange) -> Json:
    response: Json = {}
    for value in _values(exchange):
        response = value.get("response", value)
    made = _of_items(response["output"])
    usage = response.get("usage") or {}
    return made | {key: usage.get(key, 0) for key in ("input_tokens", "output_tokens")}


def _values(exchange: Exchange) -> Iterator[Json]:
    """The JSON values of an answer of OpenAI, the last event of a response alone."""
    if not exchange.streamed:
        yield json.loads(exchange.data)
        return
    for line in exchange.data.decode().splitlines():
        data = line.partition(":")[2].strip() if line.startswith("data:") else ""
        if data.startswith("{"):
            value = json.loads(data)
            if exchange.api == "openai-chat" or value.get("type") == "response.completed":
                yield value


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments) if arguments else {}
    except ValueError:
        return arguments
