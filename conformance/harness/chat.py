"""A turn of Ollama's chat API from a script: the chunks of a stream, and the same answer whole.

A chunk of a script is text (content), or an object with any of `thinking`, `content`,
`tool_calls`, `logprobs` and `done`; `{line: text}` is a line as it is, blank lines and broken
JSON included, and `{error: text}` an error line. The last object of an answer says that it is
done; `done` of the turn changes its members (null takes one out), `done: false` leaves it out. A
chunk with `done: true` is the last object itself.

The whole answer is what a server makes of the chunks: texts joined, calls collected. It is left
out where there is no such answer: with an error line, a broken line, or without the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

_CREATED = "2026-11-25T12:00:00.000000Z"
_DONE: Json = {
    "done_reason": "stop",
    "total_duration": 900000000,
    "load_duration": 100000000,
    "prompt_eval_count": 10,
    "prompt_eval_duration": 200000000,
    "eval_count": 5,
    "eval_duration": 600000000,
}
_PARTS = frozenset({"thinking", "content", "tool_calls"})
_KEYS = _PARTS | {"logprobs", "done"}


def lines(chunks: Sequence[Any], model: str, done: Any = None) -> list[str]:
    """The lines of the streamed answer. Raises ValueError for a chunk that is none."""
    written = [_line(each, model, done) for each in chunks]
    if done is not False and not any(_is_last(each) for each in chunks):
        written.append(_compact(_object({}, model) | _end(done)))
    return written


def whole(chunks: Sequence[Any], model: str, done: Any = None) -> str | None:
    """The answer as one object, where there is one."""
    parts = [{"content": each} if isinstance(each, str) else each for each in chunks]
    broken = any("error" in each or each.get("line", "").strip() for each in parts)
    if broken or done is False:
        return None
    message: Json = {"role": "assistant"}
    message["content"] = "".join(each.get("content", "") for each in parts)
    if thinking := "".join(each.get("thinking", "") for each in parts):
        message["thinking"] = thinking
    if calls := [call for each in parts for call in each.get("tool_calls", ())]:
        message["tool_calls"] = calls
    answer = {"model": model, "created_at": _CREATED, "message": message} | _end(done)
    if logprobs := [entry for each in parts for entry in each.get("logprobs", ())]:
        answer["logprobs"] = logprobs
    return _compact(answer)


def error(message: Any) -> str:
    """The body of a refusal."""
    return _compact({"error": message})


def _line(chunk: Any, model: str, done: Any) -> str:
    if isinstance(chunk, str):
        chunk = {"content": chunk}
    if not isinstance(chunk, Mapping):
        raise ValueError(f"{chunk!r} is no chunk")
    if "line" in chunk:
        return str(chunk["line"])
    if "error" in chunk:
        return error(chunk["error"])
    if unknown := set(chunk) - _KEYS:
        raise ValueError(f"unknown {', '.join(sorted(unknown))} in a chunk")
    last = _end(done) if _is_last(chunk) else {"done": False}
    extra = {"logprobs": chunk["logprobs"]} if "logprobs" in chunk else {}
    return _compact(_object(chunk, model) | last | extra)


def _is_last(chunk: Any) -> bool:
    return isinstance(chunk, Mapping) and chunk.get("done") is True


def _object(chunk: Mapping[str, Any], model: str) -> Json:
    parts = {key: value for key, value in chunk.items() if key in _PARTS}
    message = {"role": "assistant", "content": "", **parts}
    return {"model": model, "created_at": _CREATED, "message": message}


def _end(done: Any) -> Json:
    """Members of the last object."""
    changed = _DONE | (dict(done) if isinstance(done, Mapping) else {})
    return {"done": True} | {key: value for key, value in changed.items() if value is not None}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
