"""When a request is the recorded one, whichever language sends it.

Method, path and JSON body have to be equal. The path is what follows the API's `/v1`, or starts at
Ollama's `/api/`, so the host does not count. Bodies are compared as JSON values, so neither the
order of keys nor 1 against 1.0 count, after `normalise` has taken out what openai-agents 0.24 and
@openai/agents 0.20, openai and ollama write differently for the same request.
tests/vectors/matching.json of the repository holds both ports to the same answers.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from timestep.state.canonical import canonical

REQUEST_HEADERS = frozenset({"content-type"})
"""Request headers that are recorded; every other one is left out, keys of any kind with it."""

RESPONSE_HEADERS = frozenset({"content-type", "retry-after", "x-request-id"})
"""Response headers that are recorded."""

_STREAMS = ("text/event-stream", "application/x-ndjson")


@dataclass(frozen=True)
class Asked:
    """A request: `body` is the JSON text of it, None where it has none.

    Of a recorded request, a `body` of None fits any body that holds each text of `contains` in its
    canonical JSON; `streamed` is then the form its answer has (True a stream, False whole, None
    either), and fits requests that ask for that form.
    """

    method: str
    uri: str
    body: str | None = None
    contains: tuple[str, ...] = ()
    streamed: bool | None = None


def difference(asked: Asked, recorded: Asked) -> str | None:
    """Why `asked` is not the recorded request, in words; None where it is."""
    for name, one, other in (
        ("method", asked.method.upper(), recorded.method.upper()),
        ("path", path_of(asked.uri), path_of(recorded.uri)),
    ):
        if one != other:
            return f"the {name} is {one}, recorded is {other}"
    body = parsed(asked.body)
    if recorded.body is not None:
        return _body_difference(body, parsed(recorded.body))
    stream = isinstance(body, Mapping) and body.get("stream") is True
    if recorded.streamed is not None and stream != recorded.streamed:
        return f"the answer was recorded {'as a stream' if recorded.streamed else 'whole'}"
    text = canonical(body)
    missing = [each for each in recorded.contains if each not in text]
    return f"the body does not contain {json.dumps(missing[0])}" if missing else None


def path_of(uri: str) -> str:
    """The path from the API on: what follows its `/v1`, or Ollama's `/api/`; no query."""
    path = urlsplit(uri).path or "/"
    if below := re.search(r"/v1(?=/|$)", path):
        return path[below.end() :] or "/"
    start = path.find("/api/")
    return path if start == -1 else path[start:]


def normalise(body: Any) -> Any:
    """A request body without what the two languages write differently for the same request.

    - `stream: false`, which only TypeScript writes, and `stream_options`, which only its chat
      model writes;
    - empty lists at the top: ollama for Python sends `tools: []`;
    - `title` and `$schema` in the schemas of tools and outputs;
    - `status: completed` of function call outputs, which TypeScript writes;
    - spaces in the output of a handoff, `{"assistant": "x"}`.
    """
    if not isinstance(body, dict):
        return body
    left = {
        key: value
        for key, value in body.items()
        if key != "stream_options" and value != [] and not (key == "stream" and value is False)
    }
    if isinstance(left.get("tools"), list):
        left["tools"] = [_tool(each) for each in left["tools"]]
    for path in (("text", "format", "schema"), ("response_format", "json_schema", "schema")):
        left = _at(left, path)
    left = _at(left, ("format",))
    if isinstance(left.get("input"), list):
        left["input"] = [_item(each) for each in left["input"]]
    return left


def kept_headers(
    headers: Mapping[str, Sequence[str]], allowed: frozenset[str]
) -> dict[str, list[str]]:
    """The headers that may be recorded, names in lower case and sorted."""
    return {
        key.lower(): list(headers[key])
        for key in sorted(headers, key=str.lower)
        if key.lower() in allowed
    }


def pieces(data: bytes, chunks: Sequence[int] = (), split: int | None = None) -> Iterator[bytes]:
    """A streamed body as it arrives: in pieces of the recorded lengths, or of `split` bytes.

    Without recorded lengths a piece ends with each event, or each line where there are no events.
    """
    if split is not None:
        sizes: Sequence[int] = (split,) * -(-len(data) // split)
    elif sum(chunks) == len(data):
        sizes = chunks
    else:
        end = b"\n\n" if b"\n\n" in data else b"\n"
        parts = data.split(end)
        sizes = [len(part) + len(end) for part in parts[:-1]] + [len(parts[-1])]
    start = 0
    for size in sizes:
        if size:
            yield data[start : start + size]
        start += size


def is_streamed(content_type: str, chunks: Sequence[int] = ()) -> bool:
    """Whether an answer came as a stream. ollama.com calls its JSON lines application/json."""
    return bool(chunks) or content_type.startswith(_STREAMS)


def parsed(body: str | None) -> Any:
    """The JSON value of a body, or its text where it is no JSON."""
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body


def _body_difference(body: Any, recorded: Any) -> str | None:
    one, other = normalise(body), normalise(recorded)
    if canonical(one) == canonical(other):
        return None
    was, now = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (other, one))
    lines = difflib.unified_diff(was, now, "recorded", "asked", lineterm="", n=1)
    return "the body differs:\n" + "\n".join(list(lines)[:40])


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """`value` with the schema at `path` bare."""
    if not path:
        return _bare(value)
    if isinstance(value, dict) and path[0] in value:
        return {**value, path[0]: _at(value[path[0]], path[1:])}
    return value


def _tool(tool: Any) -> Any:
    tool = _at(_at(tool, ("parameters",)), ("function", "parameters"))
    if isinstance(tool, dict) and isinstance(tool.get("tools"), list):
        return {**tool, "tools": [_tool(each) for each in tool["tools"]]}
    return tool


def _bare(schema: Any) -> Any:
    """A JSON Schema without annotations; names of properties are no annotations."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    left = {}
    for key, value in schema.items():
        if key == "$schema" or (key == "title" and isinstance(value, str)):
            continue
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            left[key] = {name: _bare(each) for name, each in value.items()}
        elif key in ("enum", "const", "default", "examples"):
            left[key] = value
        else:
            left[key] = _bare(value)
    return left


def _item(item: Any) -> Any:
    if not isinstance(item, dict) or item.get("type") != "function_call_output":
        return item
    left = {key: value for key, value in item.items() if (key, value) != ("status", "completed")}
    output = parsed(left["output"]) if isinstance(left.get("output"), str) else None
    if isinstance(output, dict) and output.keys() == {"assistant"}:
        left["output"] = canonical(output)
    return left
