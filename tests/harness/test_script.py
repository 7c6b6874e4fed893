"""Scripted streams against recorded ones: the same event types, order and fields."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.harness import events, script
from conformance.harness.errors import CassetteError
from conformance.harness.schemas import ROOT

EXTERNAL = Path(os.environ.get("TIMESTEP_EXTERNAL", ROOT.parent / "shared")) / "recordings"
recorded = pytest.mark.skipif(not EXTERNAL.is_dir(), reason="no recordings beside the repository")
# Random padding of deltas, and fields that single recordings of older or newer dates lack.
_NOT_COMPARED = {"obfuscation"}
# One provider's test double leaves these out.
_SLOPPY = {"response.custom_tool_call_input.delta", "response.refusal.delta"}

Event = dict[str, Any]


@cache
def streams() -> list[list[Event]]:
    """Every recorded Responses stream that ended well."""
    found = []
    for row in json.loads((EXTERNAL / "index.json").read_text())["files"]:
        if "openai-responses-stream" in row["kinds"]:
            for text in bodies(EXTERNAL / row["file"], row["recorder"]):
                try:
                    parsed = [json.loads(line) for line in text]
                except ValueError:  # one recording was cut by hand
                    continue
                if parsed and parsed[-1].get("type") == "response.completed":
                    found.append(parsed)
    return found


def bodies(path: Path, recorder: str) -> Iterator[list[str]]:
    """The data lines of each stream in a file."""
    if recorder == "sse-data-lines":
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        if all(line.startswith("{") and line.endswith("}") for line in lines):
            yield lines
        return
    loader = yaml.CSafeLoader
    texts: list[Any] = []
    if recorder == "vcr-yaml":
        interactions = yaml.load(path.read_text(), loader).get("interactions") or ()
        bodies = [each["response"].get("body") for each in interactions]
        texts = [body.get("string") if isinstance(body, dict) else body for body in bodies]
    elif recorder == "httpmock-yaml":
        documents = yaml.load_all(path.read_text(), loader)
        texts = [(each.get("then") or {}).get("body") for each in documents]
    for text in texts:
        text = text.decode() if isinstance(text, bytes) else text or ""
        if "event: response.created" in text:
            yield [line[6:] for line in text.splitlines() if line.startswith("data: {")]


def rebuilt(response: Event) -> list[Event]:
    """The stream we would send for a recorded response."""
    text = events.stream(response).decode()
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def by_item(stream: list[Event]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """For each output item its type and its event types, repeated ones once."""
    kinds: dict[int, str] = {}
    seen: dict[int, list[str]] = defaultdict(list)
    for event in stream:
        index = event.get("output_index")
        if index is None:
            continue
        if event["type"] == "response.output_item.done":
            kinds[index] = event["item"]["type"]
        if not seen[index] or seen[index][-1] != event["type"]:
            seen[index].append(event["type"])
    for index, steps in seen.items():
        if index in kinds:
            yield kinds[index], tuple(steps)


def fields(event: Event) -> frozenset[str]:
    return frozenset(event) - _NOT_COMPARED


@recorded
def test_recordings_are_there() -> None:
    assert len(streams()) > 60


@recorded
def test_items_send_the_events_that_recorded_ones_send() -> None:
    known: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    made: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for stream in streams():
        for kind, steps in by_item(stream):
            known[kind].add(steps)
        for kind, steps in by_item(rebuilt(stream[-1]["response"])):
            made[kind].add(steps)
    assert {"message", "function_call", "reasoning", "mcp_call", "shell_call"} <= set(made)
    strange = {kind: made[kind] - known[kind] for kind in made if made[kind] - known[kind]}
    # Made by a hosted container, which no script of ours stands for.
    strange.pop("shell_call_output", None)
    strange.pop("image_generation_call", None)
    assert strange == {}


@recorded
def test_events_have_the_fields_that_recorded_ones_have() -> None:
    known: dict[str, set[frozenset[str]]] = defaultdict(set)
    for stream in streams():
        for event in stream:
            known[event["type"]].add(fields(event))
    for stream in streams():
        for event in rebuilt(stream[-1]["response"]):
            if event["type"] not in _SLOPPY:
                assert fields(event) in known[event["type"]], event["type"]


@recorded
def test_items_begin_with_the_fields_they_began_with() -> None:
    known: dict[str, set[frozenset[str]]] = defaultdict(set)
    for stream in streams():
        for event in stream:
            if event["type"] == "response.output_item.added":
                known[event["item"]["type"]].add(fields(event["item"]))
    for stream in streams():
        for event in rebuilt(stream[-1]["response"]):
            if event["type"] == "response.output_item.added":
                item = event["item"]
                assert fields(item) in known[item["type"]], item["type"]


@recorded
def test_parts_begin_empty() -> None:
    known = {part(event) for stream in streams() for event in stream}
    made = {part(event) for stream in streams() for event in rebuilt(stream[-1]["response"])}
    assert made <= known
    assert len(made) > 1


def part(event: Event) -> str:
    """The part an event begins, as text; empty for other events."""
    return json.dumps(event["part"], sort_keys=True) if event["type"].endswith("part.added") else ""


@recorded
def test_the_response_object_has_the_fields_of_a_recorded_one() -> None:
    known = {frozenset(stream[-1]["response"]) for stream in streams()}
    data = script.expand("x", {"at": "2026-11-25", "turns": [[{"type": "message", "text": "x"}]]})
    made = json.loads(data["interactions"][0]["response"]["body"]["string"])
    assert frozenset(made) in known


@recorded
def test_texts_and_arguments_survive_being_cut_into_deltas() -> None:
    for stream in streams():
        response = stream[-1]["response"]
        deltas: dict[tuple[str, int, int], str] = defaultdict(str)
        for event in rebuilt(response):
            if event["type"] in ("response.output_text.delta", "response.refusal.delta"):
                key = ("text", event["output_index"], event["content_index"])
                deltas[key] += event["delta"]
            if event["type"] == "response.function_call_arguments.delta":
                deltas[("arguments", event["output_index"], 0)] += event["delta"]
        for index, item in enumerate(response["output"]):
            if item["type"] == "function_call":
                assert deltas[("arguments", index, 0)] == item["arguments"]
            for number, part in enumerate(item["content"] if item["type"] == "message" else ()):
                text = part.get("text", part.get("refusal"))
                assert deltas[("text", index, number)] == text


def test_what_a_script_leaves_out_is_filled_in() -> None:
    turn = [
        {"type": "reasoning", "summary": "Hm.", "encrypted_content": "x"},
        {"type": "message", "text": "Wait.", "phase": "commentary"},
        {"type": "function_call", "call_id": "call_9", "name": "pay", "arguments": {"n": 1}},
        {"type": "mcp_approval_request", "name": "a", "server_label": "s", "arguments": {}},
    ]
    data = script.expand("x", {"at": "2026-11-25", "turns": [turn, turn[:2]]})
    first, _, second, _ = (
        json.loads(text) if (text := each["response"]["body"]["string"]).startswith("{") else None
        for each in data["interactions"]
    )
    assert first is not None
    assert second is not None
    assert [item["id"] for item in first["output"]] == ["rs_1", "msg_1", "fc_call_9", "mcpr_1"]
    assert [item["id"] for item in second["output"]] == ["rs_2", "msg_2"]
    assert first["output"][2]["arguments"] == '{"n":1}'
    assert first["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert "status" not in first["output"][3]
    assert (first["id"], second["created_at"]) == ("resp_1", 1_700_000_002)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"turns": []}, "needs at and turns"),
        ({"colour": "red"}, "nothing else"),
        ({"turns": [{"output": [], "sound": "loud"}]}, "unknown sound"),
        ({"turns": [[{"text": "no type"}]]}, "turn 1"),
    ],
)
def test_wrong_scripts_are_refused(damage: dict[str, Any], told: str) -> None:
    whole = {"at": "2026-11-25", "turns": [[{"type": "message", "text": "x"}]], **damage}
    with pytest.raises(CassetteError, match=told):
        script.expand("x", whole)
