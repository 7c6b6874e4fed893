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


async def judged(folder: Path, **answers: Any) -> list[Result]:
    """What becomes of answers, in the order of their APIs."""
    rows = []
    for name, value in answers.items():
        api = "openai-responses" if name.startswith("openai") else "ollama-chat"
        (folder / name).write_text(json.dumps(value))
        rows.append({"file": name, "recorder": "json", "kind": api, "source": {"repo": "a/b"}})
    (folder / "index.json").write_text(json.dumps({"files": rows}))
    by_language = {port.language: port for port in ports.load()}
    results, unreadable = await recordings.run(folder, by_language, lanes=1)
    assert unreadable == []
    return results


async def test_answers_that_convert(tmp_path: Path) -> None:
    results = await judged(tmp_path, ollama=ANSWER, openai=RESPONSE)
    assert [each.problem for each in results] == [None, None]
    assert table(results) == [
        "  a/b                       ollama-chat       1 of 1 as recorded",
        "  a/b                       openai-responses  1 of 1 as recorded",
    ]


async def test_what_is_lost_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def more(exchange: Any) -> Any:
        return {**expected(exchange), "thinking": "hm, and more"}

    monkeypatch.setattr(recordings, "expected", more)
    [found] = await judged(tmp_path, ollama=ANSWER)
    assert found.problem == 'python: /thinking: "hm", expected "hm, and more"'


async def test_errors_are_told_from_answers(tmp_path: Path) -> None:
    cut, loaded = await judged(
        tmp_path, cut={**ANSWER, "done": False}, loaded={**ANSWER, "done_reason": "load"}
    )
    assert (cut.problem, cut.failed) == (None, "ollama-stream-ended")
    assert str(loaded.problem).startswith("no answer: python: ollama-not-run")
