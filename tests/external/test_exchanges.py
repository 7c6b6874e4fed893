"""Reading what recorders wrote: one small file of each format."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from conformance.external.exchanges import NOT_A_MODEL, Exchange, Unreadable, exchanges
from conformance.external.seen import expected

CHAT = "http://127.0.0.1:11434/api/chat"
ASKED = {"model": "m", "stream": True}
LINES: list[dict[str, Any]] = [
    {"message": {"thinking": "hm"}, "done": False},
    {"message": {"content": "Hi "}, "done": False},
    {"message": {"content": "é", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}},
    {"done": True, "prompt_eval_count": 3, "eval_count": 4},
]
BODY = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in LINES)
SEEN = {
    "text": "Hi é",
    "thinking": "hm",
    "calls": [{"name": "f", "arguments": {}}],
    "input_tokens": 3,
    "output_tokens": 4,
}


def vcr(response: dict[str, Any], **request: Any) -> str:
    """A file of vcrpy with one interaction."""
    asked = {"method": "POST", "uri": CHAT, "body": json.dumps(ASKED), **request}
    answered = {"status": {"code": 200}, "headers": {"Content-Type": ["text/plain"]}, **response}
    return json.dumps({"interactions": [{"request": asked, "response": answered}]})


def ruby() -> str:
    """A file of Ruby's VCR, whose bodies may be base64."""
    body = base64.b64encode(BODY.encode()).decode()
    return f"""
http_interactions:
- request: {{method: post, uri: "{CHAT}", body: {{string: '{json.dumps(ASKED)}'}}}}
  response:
    status: {{code: 200}}
    headers: {{Content-Type: [application/x-ndjson]}}
    body: {{string: !binary |-
      {body}
    }}
""".replace("{string: !binary |-\n      ", "{string: !binary '").replace("\n    }", "'}")


def httpmock() -> str:
    """A file of httpmock."""
    when = {"path": "/api/chat", "method": "POST", "body": json.dumps(ASKED)}
    then = {"status": 200, "header": [{"name": "content-type", "value": "x"}], "body": BODY}
    return json.dumps({"when": when, "then": then})


def httprr() -> str:
    """A trace of httprr with a chunked answer."""
    asked = f"POST {CHAT} HTTP/1.1\r\nHost: h\r\n\r\n{json.dumps(ASKED)}".encode()
    pieces = b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (BODY[:9].encode(), BODY[9:].encode(), b"")
    )
    answered = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces
    head = f"httprr trace v1\n{len(asked)} {len(answered)}\n".encode()
    return (head + asked + answered).decode()


def wiremock() -> str:
    """A mapping of WireMock."""
    pattern = {"equalToJson": json.dumps(ASKED)}
    request = {"url": "/api/chat", "method": "POST", "bodyPatterns": [pattern]}
    return json.dumps({"request": request, "response": {"status": 200, "body": BODY}})


def sdk_events() -> str:
    """Events of the SDK with the last chunk left out."""
    usage = {"inputTokens": 3, "outputTokens": 4}
    events = [{"type": "model", "event": {"model": "m", **line}} for line in LINES[:-1]]
    events.append({"type": "response_done", "response": {"usage": usage}})
    return "\n".join(json.dumps({"data": event}) for event in events)


FILES = {
    "vcr-yaml": vcr({"body": {"string": BODY}}),
    "vcr-yaml, Ruby": ruby(),
    "httpmock-yaml": httpmock(),
    "httprr": httprr(),
    "wiremock": wiremock(),
    "sdk-events-jsonl": sdk_events(),
}


def read(folder: Path, recorder: str, text: str, kind: str) -> list[Exchange | Unreadable]:
    """What is found in one file."""
    (folder / "file").write_bytes(text.encode())
    row = {"file": "file", "recorder": recorder, "kind": kind, "source": {"repo": "a/b"}}
    (folder / "index.json").write_text(json.dumps({"files": [row]}))
    return list(exchanges(folder))


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_answer(name: str, tmp_path: Path) -> None:
    [found] = read(tmp_path, name.split(",")[0], FILES[name], "ollama-chat-stream")
    assert isinstance(found, Exchange), found
    assert (found.id, found.source, found.api) == ("file", "a/b", "ollama-chat")
    assert found.streamed
    assert expected(found) == SEEN
    if name == "httprr":
        assert found.chunks == (9, len(BODY.encode()) - 9)


def test_a_compressed_and_a_parsed_body(tmp_path: Path) -> None:
    text = base64.b64encode(gzip.compress(BODY.encode())).decode()
    file = vcr({"body": {"string": "@"}}).replace('"@"', f"!!binary '{text}'")
    [found] = read(tmp_path, "vcr-yaml", file, "ollama-chat")
    assert isinstance(found, Exchange)
    assert expected(found) == SEEN
    whole = {"choices": [{"message": {"content": "Hi"}}], "usage": None}
    file = vcr({"parsed_body": whole}, uri="https://api.openai.com/v1/chat/completions", body="{}")
    [found] = read(tmp_path, "vcr-yaml", file, "openai-chat")
    assert isinstance(found, Exchange)
    assert not found.streamed
    assert expected(found)["text"] == "Hi"


def test_events_without_their_framing(tmp_path: Path) -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]
    event = {"type": "response.completed", "response": {"output": output}}
    text = json.dumps(event)
    found = read(tmp_path, "sse-data-lines", f"{text}\n{text}\n", "openai-responses-stream")
    assert len(found) == 2
    assert isinstance(found[1], Exchange)
    assert found[1].id == "file#2"
    assert expected(found[1])["text"] == "Hi"


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    [found] = read(tmp_path, "vcr-yaml", vcr({}, uri="https://a.b/v1/files"), "openai-chat")
    assert isinstance(found, Unreadable)
    assert found.why.startswith(NOT_A_MODEL)
    [found] = read(tmp_path, "vcr-yaml", vcr({"body": {"string": ""}}), "ollama-chat")
    assert isinstance(found, Unreadable)
    assert found.why == "the recording has no body of the answer"
    [found] = read(tmp_path, "json", "{", "openai-chat")
    assert isinstance(found, Unreadable)
    assert found.why.startswith("JSONDecodeError")
    [found] = read(tmp_path, "tape", "", "openai-chat")
    assert isinstance(found, Unreadable)
    assert found.why == "no reader for tape"
