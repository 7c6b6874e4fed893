"""Answers of the server as output items and usage."""

from __future__ import annotations

from typing import Any

import pytest
from agents import ModelBehaviorError, ModelSettings

from tests.models.ask import asker, output
from tests.models.server import DONE, called, whole
from timestep import OllamaError

pytestmark = pytest.mark.anyio


def text(content: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}],
    }


def call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}


async def test_text_and_usage() -> None:
    async with asker(whole("Hello")) as model:
        response = await model.ask()
    assert output(response) == [text("Hello")]
    usage = response.usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (1, 5, 3)
    assert usage.total_tokens == 8
    assert usage.output_tokens_details.reasoning_tokens == 0
    assert response.response_id is None


async def test_absent_counts_are_zero_and_cached_ones_are_kept() -> None:
    done = {"done": True, "done_reason": "stop", "eval_count": 3}
    async with asker(
        whole("a", done=done), whole("b", done={**DONE, "prompt_eval_cached_count": 4})
    ) as model:
        first, second = await model.ask(), await model.ask()
    assert (first.usage.input_tokens, first.usage.total_tokens) == (0, 3)
    assert first.usage.input_tokens_details.cached_tokens == 0
    assert second.usage.input_tokens_details.cached_tokens == 4


async def test_raw_usage_is_what_the_server_said() -> None:
    done = {**DONE, "total_duration": 17}
    async with asker(whole("a", done=done), whole("a")) as model:
        kept = await model.ask(model_settings=ModelSettings(preserve_raw_usage=True))
        left = await model.ask()
    assert kept.raw_usage == {"prompt_eval_count": 5, "eval_count": 3, "total_duration": 17}
    assert left.raw_usage is None


async def test_reasoning_then_message_then_calls() -> None:
    calls = [called("f", {"x": 1}, id="call_a"), called("g", {}, id="call_b")]
    async with asker(whole("Wait.", thinking="Hm", tool_calls=calls)) as model:
        response = await model.ask()
    assert output(response) == [
        {
            "type": "reasoning",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
        },
        text("Wait."),
        call("f", '{"x":1}', "call_a"),
        call("g", "{}", "call_b"),
    ]


@pytest.mark.parametrize("content", ["", "\n \n"])
async def test_white_space_before_calls_is_no_message(content: str) -> None:
    async with asker(whole(content, tool_calls=[called("f", {}, id="call_a")])) as model:
        assert output(await model.ask()) == [call("f", "{}", "call_a")]


async def test_white_space_alone_is_a_message() -> None:
    async with asker(whole("\n")) as model:
        assert output(await model.ask()) == [text("\n")]


async def test_inline_thoughts_stay_in_the_text() -> None:
    async with asker(whole("<think>Hm</think>Hi")) as model:
        assert output(await model.ask()) == [text("<think>Hm</think>Hi")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"a": {"b": ["ø", 12345678901234567890]}}, '{"a":{"b":["ø",12345678901234567890]}}'),
        ({"": ""}, '{"":""}'),
        (None, "{}"),
        ("", "{}"),
        ('{"x": 1}', '{"x":1}'),
        ("[1]", '{"value":"[1]"}'),
        ("Oslo", '{"value":"Oslo"}'),
        ([1], '{"value":[1]}'),
    ],
)
async def test_arguments_are_compact_json_of_an_object(arguments: Any, expected: str) -> None:
    async with asker(whole(tool_calls=[called("f", arguments, id="call_a")])) as model:
        assert output(await model.ask()) == [call("f", expected, "call_a")]


async def test_missing_empty_and_repeated_ids_are_made_anew() -> None:
    calls = [
        called("f", {}, id="call_a"),
        called("f", {}, id="call_a"),
        called("f", {}, id=""),
        called("f", {}),
    ]
    async with asker(whole(tool_calls=calls)) as model:
        items = output(await model.ask())
    assert [item["call_id"] for item in items] == [
        "call_a",
        "call_000000000000000000000001",
        "call_000000000000000000000002",
        "call_000000000000000000000003",
    ]


async def test_an_id_of_the_history_is_not_used_again() -> None:
    history = [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "name": "f", "call_id": "call_a", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_a", "output": "1"},
        {
            "type": "function_call",
            "name": "f",
            "call_id": "call_000000000000000000000001",
            "arguments": "{}",
        },
        {
            "type": "function_call_output",
            "call_id": "call_000000000000000000000001",
            "output": "1",
        },
    ]
    async with asker(whole(tool_calls=[called("f", {}, id="call_a")])) as model:
        (item,) = output(await model.ask(history))
    assert item["call_id"] == "call_000000000000000000000002"


async def test_made_ids_are_24_hexadecimal_digits() -> None:
    from timestep.models.ollama.response import CallIds

    ids = CallIds(set())
    first, second = ids.take(None), ids.take(None)
    assert first != second
    assert len(first) == len("call_") + 24
    assert int(first.removeprefix("call_"), 16) >= 0


async def test_logprobs_are_on_the_text() -> None:
    logprobs = [
        {
            "token": "ø",
            "logprob": -0.5,
            "top_logprobs": [{"token": "o", "logprob": -1.5, "bytes": [111]}],
        }
    ]
    async with asker(whole("ø", logprobs=logprobs)) as model:
        response = await model.ask(model_settings=ModelSettings(top_logprobs=1))
    (item,) = output(response)
    assert item["content"][0]["logprobs"] == [
        {
            "token": "ø",
            "bytes": [0xC3, 0xB8],
            "logprob": -0.5,
            "top_logprobs": [{"token": "o", "bytes": [111], "logprob": -1.5}],
        }
    ]


async def test_length_with_text_is_an_answer_and_without_is_an_error() -> None:
    done = {**DONE, "done_reason": "length"}
    async with asker(whole("Half", done=done), whole("", thinking="Hm", done=done)) as model:
        assert output(await model.ask()) == [text("Half")]
        with pytest.raises(ModelBehaviorError, match="length limit"):
            await model.ask()


@pytest.mark.parametrize("reason", ["load", "unload"])
async def test_a_model_that_was_only_loaded_has_not_answered(reason: str) -> None:
    async with asker(whole("", done={"done": True, "done_reason": reason})) as model:
        with pytest.raises(OllamaError, match=f"only {reason}ed") as raised:
            await model.ask()
    assert (raised.value.code, raised.value.retryable) == ("ollama-not-run", False)


async def test_an_answer_that_is_not_done_is_an_error() -> None:
    async with asker(whole("Half", done={"done": False})) as model:
        with pytest.raises(OllamaError) as raised:
            await model.ask()
    assert raised.value.code == "ollama-stream-ended"


async def test_no_reason_with_text_is_an_answer() -> None:
    async with asker(whole("Hi", done={"done": True})) as model:
        assert output(await model.ask()) == [text("Hi")]
