"""Cassettes from scripts: what a model says, turn by turn, expanded to the full wire format.

`python -m conformance.harness.script [NAME ...]` writes cassettes/NAME.yaml from
cassettes/scripts/NAME.yaml, all of them without a name; `--check` only tells which are stale.

A script holds `at` (the day it was written) and `turns`. A turn is the list of output items the
model answers with, or an object with `output` and any of `contains` (texts the request has to
hold), `times` (how often it is played), `status`, `usage`, or with `error: {status, message,
code}` instead. `api: ollama`, of a script or a turn, makes it an answer of Ollama's chat API: its
output are chunks, see `chat.py`, and it has `done` in place of status and usage, and
`content_type` for the type that a stream says it has. All other turns are answers of OpenAI. Their
items are wire items with what can be derived left out:

- `id`, `status`, and `call_id`-derived ids are filled in;
- `arguments` may be given as an object;
- a message may be given as `text` or `refusal`, a reasoning item as `summary: text`.

Turn n answers with response id `resp_n`, request id `req_n` and `created_at` 1700000000 + n.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from . import chat, events
from .errors import CassetteError
from .schemas import ROOT

Json = dict[str, Any]

FOLDER = ROOT / "cassettes"
_JSON = "application/json"
_CREATED = 1_700_000_000
_USAGE: Json = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
# Item types by id prefix and by what the id is made of: the call id, or a number.
_CALL_PREFIX = {
    "function_call": "fc",
    "shell_call": "sh",
    "apply_patch_call": "apc",
    "computer_call": "cu",
    "custom_tool_call": "ctc",
    "local_shell_call": "lsh",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "program": "cm",
    "program_output": "cmo",
}
_NUMBER_PREFIX = {
    "message": "msg",
    "reasoning": "rs",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_call": "mcp",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "compaction": "cmp",
}
_NO_STATUS = frozenset(
    {"reasoning", "mcp_list_tools", "mcp_approval_request", "compaction", "program"}
)


_COMMON = frozenset({"output", "contains", "error", "times"})
_KEYS = {
    "openai": _COMMON | {"status", "usage"},
    "ollama": _COMMON | {"done", "content_type"},
}
_MODELS = {"openai": "gpt-x", "ollama": "llama3"}
_URIS = {
    "openai": "https://api.openai.com/v1/responses",
    "ollama": "http://127.0.0.1:11434/api/chat",
}


def expand(name: str, script: Any) -> Json:
    """The cassette that `script` stands for. Raises CassetteError."""
    if not isinstance(script, Mapping) or set(script) - {"at", "turns", "model", "api"}:
        raise CassetteError(f"{name}: a script holds at, turns, model and api, nothing else")
    if not script.get("at") or not script.get("turns"):
        raise CassetteError(f"{name}: a script needs at and turns")
    count: Counter[str] = Counter()
    interactions = []
    for number, turn in enumerate(_repeated(script["turns"]), 1):
        full = {"output": turn} if isinstance(turn, list) else dict(turn)
        api = full.pop("api", script.get("api", "openai"))
        if api not in _KEYS or (unknown := set(full) - _KEYS[api]):
            wrong = f"api {api}" if api not in _KEYS else ", ".join(sorted(unknown))
            raise CassetteError(f"{name}: turn {number}: unknown {wrong}")
        model = script.get("model", _MODELS[api])
        if api == "ollama":
            interactions += _chat_turn(name, number, full, model)
        else:
            interactions += _turn(name, number, full, model, count)
    by = f"cassettes/scripts/{name}.yaml"
    return {
        "version": 1,
        "recorded": {"from": "scripted", "at": str(script["at"]), "by": by},
        "interactions": interactions,
    }


def dump(cassette: Json) -> str:
    """YAML text of a cassette, bodies as readable blocks."""
    return yaml.dump(cassette, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)


def _repeated(turns: Any) -> Iterator[Any]:
    for turn in turns:
        times = turn.get("times", 1) if isinstance(turn, Mapping) else 1
        yield from [turn] * times


def _turn(name: str, number: int, turn: Json, model: str, count: Counter[str]) -> list[Json]:
    extra: Json = {"turn": number}
    if turn.get("contains"):
        extra["contains"] = list(turn["contains"])
    if error := turn.get("error"):
        body = {
            "error": {
                "message": error["message"],
                "type": "server_error" if error["status"] >= 500 else "invalid_request_error",
                "param": None,
                "code": error.get("code"),
            }
        }
        return [_interaction(number, extra, error["status"], _JSON, _compact(body))]
    try:
        output = [_item(dict(item), count) for item in turn["output"]]
    except (KeyError, TypeError, ValueError) as problem:
        raise CassetteError(f"{name}: turn {number}: {problem!r}") from problem
    answer = _response(number, model, output, turn)
    return [
        _interaction(number, extra, 200, _JSON, _compact(answer)),
        _interaction(
            number, extra, 200, "text/event-stream; charset=utf-8", events.stream(answer).decode()
        ),
    ]


def _chat_turn(name: str, number: int, turn: Json, model: str) -> list[Json]:
    extra: Json = {"turn": number}
    if turn.get("contains"):
        extra["contains"] = list(turn["contains"])
    if refused := turn.get("error"):
        answer = _answer(refused["status"], _JSON, chat.error(refused["message"]))
        return [_asked("ollama", extra, answer)]
    chunks, done = turn["output"], turn.get("done")
    try:
        lines = chat.lines(chunks, model, done)
        whole = chat.whole(chunks, model, done)
    except (AttributeError, TypeError, ValueError) as problem:
        raise CassetteError(f"{name}: turn {number}: {problem!r}") from problem
    stream = _answer(
        200,
        turn.get("content_type", "application/x-ndjson"),
        "".join(f"{line}\n" for line in lines),
        [len(line.encode()) + 1 for line in lines],
    )
    forms = [_answer(200, _JSON, whole), stream] if whole else [stream]
    return [_asked("ollama", extra, answer) for answer in forms]


def _interaction(number: int, extra: Json, status: int, kind: str, body: str) -> Json:
    chunks = None
    if kind.startswith("text/event-stream"):
        chunks = [len(event.encode()) + 2 for event in body.split("\n\n")[:-1]]
    answer = _answer(status, kind, body, chunks)
    answer["headers"]["x-request-id"] = [f"req_{number}"]
    return _asked("openai", extra, answer)


def _asked(api: str, extra: Json, answer: Json) -> Json:
    """An interaction: any body at the address of `api`, and its answer."""
    request: Json = {"method": "POST", "uri": _URIS[api], "headers": {}, "body": None}
    return {**extra, "request": request, "response": answer}


def _answer(status: int, kind: str, body: str, chunks: list[int] | None = None) -> Json:
    return {
        "status": {"code": status, "message": "OK" if status < 400 else "Error"},
        "headers": {"content-type": [kind]},
        "body": {"string": body, **({"chunks": chunks} if chunks else {})},
    }


def _item(item: Json, count: Counter[str]) -> Json:
    kind = item["type"]
    made: Json = {}
    if "id" not in item:
        if kind in _CALL_PREFIX and item.get("call_id"):
            made["id"] = f"{_CALL_PREFIX[kind]}_{item['call_id']}"
        elif kind in _NUMBER_PREFIX:
            count[kind] += 1
            made["id"] = f"{_NUMBER_PREFIX[kind]}_{count[kind]}"
    made["type"] = kind
    if "status" not in item and kind not in _NO_STATUS:
        made["status"] = "completed"
    if kind == "message":
        made["role"] = "assistant"
        if "text" in item:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": item["text"]}
            made["content"] = [part]
            del item["text"]
        elif "refusal" in item:
            made["content"] = [{"type": "refusal", "refusal": item.pop("refusal")}]
    if kind == "reasoning":
        summary = item.pop("summary", [])
        made["summary"] = (
            [{"type": "summary_text", "text": summary}] if isinstance(summary, str) else summary
        )
    if isinstance(item.get("arguments"), Mapping) and kind != "tool_search_call":
        item["arguments"] = _compact(item["arguments"])
    return {**made, **item}


def _response(number: int, model: str, output: list[Json], turn: Json) -> Json:
    """The response object with every field that recorded ones have."""
    status = turn.get("status", "completed")
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": _CREATED + number,
        "status": status,
        "background": False,
        "completed_at": _CREATED + number if status == "completed" else None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None if status == "completed" else {"reason": "max_output_tokens"},
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {**_USAGE, **turn.get("usage", {})},
        "user": None,
        "metadata": {},
    }


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def stale(name: str, *, folder: Path = FOLDER) -> str | None:
    """The text cassettes/<name>.yaml ought to have, where it has another."""
    script = yaml.safe_load((folder / "scripts" / f"{name}.yaml").read_text())
    text = dump(expand(name, script))
    path = folder / f"{name}.yaml"
    return None if path.exists() and path.read_text() == text else text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="conformance.harness.script", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="only tell which are stale")
    options = parser.parse_args(arguments)
    names = options.names or sorted(path.stem for path in (FOLDER / "scripts").glob("*.yaml"))
    found = False
    for name in names:
        try:
            text = stale(name)
        except (CassetteError, OSError, yaml.YAMLError) as error:
            print(error, file=sys.stderr)
            return 2
        if text is None:
            continue
        found = True
        if options.check:
            print(f"stale: cassettes/{name}.yaml", file=sys.stderr)
        else:
            (FOLDER / f"{name}.yaml").write_text(text)
            print(f"wrote cassettes/{name}.yaml", file=sys.stderr)
    return 1 if found and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
