"""Judging recorded answers: what differs is a problem, whoever is at fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.external import recordings
from conformance.external.recordings import Result, table
from conformance.external.seen import expected
from conformance.harness import ports

pytestmark = pytest.mark.anyio

ANSWER = {
    "message": {"role": "assistant", "content": "Hi", "thinking": "hm"},
    "done": True,
    "prompt_eval_count": 3,
    "eval_count": 4,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": [MESSAGE]}


async def judged(folder: Path, recorder: str, kind: str, value: Any) -> list[Result]:
    """What becomes of an answer."""
    (folder / "file").write_text(json.dumps(value))
    row = {"file": "file", "recorder": recorder, "kind": kind, "source": {"repo": "a/b"}}
    (folder / "index.json").write_text(json.dumps({"files": [row]}))
    by_language = {port.language: port for port in ports.load()}
    results, unreadable = await recordings.run(folder, by_language, lanes=1)
    assert unreadable == []
    return results


async def test_answers_that_convert(tmp_path: Path) -> None:
    [ollama] = await judged(tmp_path, "json", "ollama-chat", ANSWER)
    [openai] = await judged(tmp_path, "json", "openai-responses", RESPONSE)
    assert [ollama.problem, openai.problem] == [None, None]
    assert table([ollama, openai]) == [
        "  a/b                       ollama-chat       1 of 1 as recorded",
        "  a/b                       openai-responses  1 of 1 as recorded",
    ]


async def test_what_is_lost_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def more(exchange: Any) -> Any:
        return {**expected(exchange), "thinking": "hm, and more"}

    monkeypatch.setattr(recordings, "expected", more)
    [found] = await judged(tmp_path, "json", "ollama-chat", ANSWER)
    assert found.problem == 'python: /thinking: "hm", expected "hm, and more"'


async def test_errors_are_told_from_answers(tmp_path: Path) -> None:
    unfinished = {**ANSWER, "done": False}
    [found] = await judged(tmp_path, "json", "ollama-chat", unfinished)
    assert (found.problem, found.failed) == (None, "ollama-stream-ended")
    loaded = {**ANSWER, "done_reason": "load"}
    [found] = await judged(tmp_path, "json", "ollama-chat", loaded)
    assert str(found.problem).startswith("no answer: python: ollama-not-run")
