"""The recorded exchanges of outside material, out of the formats their recorders wrote."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

Json = dict[str, Any]

_APIS = {"/api/chat": "ollama-chat", "/responses": "openai-responses"}
_APIS |= {"/chat/completions": "openai-chat"}
NOT_A_MODEL = "not a chat or responses API"
"""How `Unreadable.why` begins for requests of other kinds, such as traces and files."""

_NDJSON = "application/x-ndjson"
_EVENTS = "text/event-stream"
_JSON = "application/json"


@dataclass(frozen=True)
class Exchange:
    """A recorded answer of a model server, and what is known of the request.

    `api` is `ollama-chat`, `openai-responses` or `openai-chat`; `asked` the request's JSON body, or
    None where only the answer was recorded; `chunks` the lengths of the pieces, where known.
    """

    id: str
    source: str
    api: str
    asked: Json | None
    status: int
    content_type: str
    data: bytes
    chunks: tuple[int, ...] = ()

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream. ollama.com calls its JSON lines application/json."""
        if self.asked is not None and self.status < 400:
            default = self.api == "ollama-chat"
            return self.asked.get("stream", default) is not False
        return self.content_type.startswith((_NDJSON, _EVENTS))


@dataclass(frozen=True)
class Unreadable:
    """A file, or an exchange of one, that holds no such exchange, and why."""

    id: str
    source: str
    why: str


def exchanges(folder: Path) -> Iterator[Exchange | Unreadable]:
    """Every exchange with a chat or responses API in the files of `folder`/index.json."""
    index = json.loads((folder / "index.json").read_bytes())
    for row in index["files"]:
        source = row["source"]["repo"]
        read = _READERS.get(row["recorder"])
        if read is None:
            yield Unreadable(row["file"], source, f"no reader for {row['recorder']}")
            continue
        try:
            found = list(read(folder / row["file"], row))
        except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            yield Unreadable(row["file"], source, f"{type(error).__name__}: {error}")
            continue
        for number, each in enumerate(found, 1):
            name = row["file"] if len(found) == 1 else f"{row['file']}#{number}"
            if isinstance(each, str):
                yield Unreadable(name, source, each)
            else:
                yield replace(each, id=name, source=source)


class _Loader(yaml.CSafeLoader):
    """YAML of Ruby's VCR too, which writes `!binary` for base64."""


def _binary(loader: yaml.CSafeLoader, node: yaml.Node) -> bytes:
    assert isinstance(node, yaml.ScalarNode)
    value: bytes = loader.construct_yaml_binary(node)
    return value


_Loader.add_constructor("!binary", _binary)


def _vcr(path: Path, _row: Json) -> Iterator[Exchange | str]:
    data = yaml.load(path.read_bytes(), _Loader)
    for each in data.get("interactions") or data["http_interactions"]:
        request, response = each["request"], each["response"]
        api = _api(request.get("uri") or request["url"])
        if api is None:
            yield f"{NOT_A_MODEL}: {request.get('uri') or request['url']}"
            continue
        status = response["status"]
        code = response.get("code") or (status["code"] if isinstance(status, Mapping) else 200)
        body = _body(response)
        if not body:
            yield "the recording has no body of the answer"
            continue
        yield _exchange(api, _asked(request), int(code), _type(response["headers"]), body)


def _body(message: Json) -> bytes:
    """The bytes of a message as one of the recorders in this format wrote them."""
    if message.get("parsed_body") is not None:
        return json.dumps(message["parsed_body"], ensure_ascii=False).encode()
    body = message.get("body")
    if isinstance(body, Mapping):
        body = body["string"] if "string" in body else body.get("base64_string")
    data = body if isinstance(body, bytes) else str(body or "").encode()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def _asked(message: Json) -> Json | None:
    text = _body(message)
    asked = json.loads(text) if text else None
    return asked if isinstance(asked, dict) else None


def _httpmock(path: Path, _row: Json) -> Iterator[Exchange | str]:
    for each in yaml.load_all(path.read_bytes(), _Loader):
        when, then = each["when"], each["then"]
        api = _api(when["path"])
        if api is None:
            yield f"{NOT_A_MODEL}: {when['path']}"
            continue
        headers = {head["name"]: [head["value"]] for head in then.get("header") or ()}
        asked = json.loads(when["body"]) if when.get("body") else None
        yield _exchange(api, asked, then["status"], _type(headers), _body(then))


def _httprr(path: Path, _row: Json) -> Iterator[Exchange | str]:
    data = path.read_bytes()
    head, _, rest = data.partition(b"\n")
    if head.strip() != b"httprr trace v1":
        raise ValueError("not an httprr trace")
    while rest.strip():
        lengths, _, rest = rest.partition(b"\n")
        asked, answered = map(int, lengths.split())
        request, response, rest = _cut(rest, asked, answered)
        line, _, body = _message(request)
        status, headers, answer = _message(response)
        api = _api(line.split()[1])
        if api is None:
            yield f"{NOT_A_MODEL}: {line.split()[1]}"
            continue
        pieces = _dechunked(answer) if headers.get("transfer-encoding") == "chunked" else [answer]
        made = _exchange(
            api,
            json.loads(body) if body else None,
            int(status.split()[1]),
            headers.get("content-type", ""),
            b"".join(pieces),
        )
        yield replace(made, chunks=tuple(map(len, pieces)) if made.streamed else ())


def _cut(data: bytes, first: int, second: int) -> tuple[bytes, bytes, bytes]:
    return data[:first], data[first : first + second], data[first + second :]


def _message(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """First line, headers and body of an HTTP message."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, {key.lower(): value.strip() for key, _, value in pairs}, body


def _dechunked(data: bytes) -> list[bytes]:
    pieces = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            break
        pieces.append(rest[:length])
        data = rest[length:].removeprefix(b"\r\n")
    return pieces


def _wiremock(path: Path, _row: Json) -> Iterator[Exchange | str]:
    data = json.loads(path.read_bytes())
    request, response = data["request"], data["response"]
    api = _api(request.get("url") or request["urlPath"])
    if api is None:
        yield NOT_A_MODEL
        return
    [pattern] = request.get("bodyPatterns") or [{}]
    asked = json.loads(pattern["equalToJson"]) if "equalToJson" in pattern else None
    headers = {key: [value] for key, value in (response.get("headers") or {}).items()}
    body = response["body"] if "body" in response else json.dumps(response["jsonBody"])
    yield _exchange(api, asked, response["status"], _type(headers), body.encode())


def _sdk_events(path: Path, row: Json) -> Iterator[Exchange | str]:
    """Model chunks of Ollama, or events of OpenAI; several answers follow each other.

    For a turn with calls the source wrote no last chunk of Ollama. It is made again from the
    counts in the event that follows.
    """
    ollama = row["kind"].startswith("ollama")
    chunks: list[Any] = []
    for line in path.read_text().splitlines():
        data = json.loads(line).get("data")
        kind = data.get("type") if isinstance(data, Mapping) else None
        if kind == "model":
            chunks.append(data["event"])
        elif kind == "response_done" and ollama and chunks and not chunks[-1].get("done"):
            usage = data["response"]["usage"]
            chunks.append(
                {
                    "model": chunks[-1]["model"],
                    "message": {"role": "assistant", "content": ""},
                    "done": True,
                    "done_reason": "stop",
                    "prompt_eval_count": usage["inputTokens"],
                    "eval_count": usage["outputTokens"],
                }
            )
    for answer in _answers(chunks):
        if ollama:
            body = "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in answer)
            yield _exchange("ollama-chat", {"stream": True}, 200, _NDJSON, body.encode())
        else:
            yield _exchange("openai-responses", {"stream": True}, 200, _EVENTS, _sse(answer))


def _answers(chunks: list[Any]) -> Iterator[list[Any]]:
    """The chunks of each answer; the last may lack its end."""
    answer: list[Any] = []
    for chunk in chunks:
        answer.append(chunk)
        if chunk.get("done") or chunk.get("type") == "response.completed":
            yield answer
            answer = []
    if answer:
        yield answer


def _lines(path: Path, row: Json) -> Iterator[Exchange | str]:
    events = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    chat = any(each.get("object") == "chat.completion.chunk" for each in events)
    api = "openai-chat" if chat else row["kind"].removesuffix("-stream")
    for answer in _answers(events):
        yield _exchange(api, {"stream": True}, 200, _EVENTS, _sse(answer))


def _sse(events: list[Any]) -> bytes:
    """Server-sent events of these values, named where they have a type."""
    text = ""
    for each in events:
        name = f"event: {each['type']}\n" if "type" in each else ""
        text += f"{name}data: {json.dumps(each, ensure_ascii=False)}\n\n"
    return text.encode()


def _answer(path: Path, row: Json) -> Iterator[Exchange | str]:
    value = json.loads(path.read_bytes())
    status = 400 if isinstance(value, dict) and value.get("error") else 200
    yield _exchange(row["kind"], None, status, _JSON, path.read_bytes())


_READERS: Mapping[str, Callable[[Path, Json], Iterator[Exchange | str]]] = {
    "vcr-yaml": _vcr,
    "httpmock-yaml": _httpmock,
    "httprr": _httprr,
    "wiremock": _wiremock,
    "sdk-events-jsonl": _sdk_events,
    "sse-data-lines": _lines,
    "json": _answer,
}


def _exchange(api: str, asked: Any, status: int, content_type: str, data: bytes) -> Exchange:
    return Exchange("", "", api, asked, status, content_type or _JSON, data)


def _api(uri: str) -> str | None:
    path = urlsplit(uri).path
    return next((api for end, api in _APIS.items() if path.endswith(end)), None)


def _type(headers: Mapping[str, Any]) -> str:
    for key, values in headers.items():
        if key.lower() == "content-type":
            return str(values[0] if isinstance(values, list) else values)
    return ""
