"""Streamed answers as events of the Responses API."""

from __future__ import annotations

import asyncio
import json
from itertools import groupby
from typing import Any

import pytest
from agents import Agent, ModelBehaviorError, RunConfig, Runner, function_tool

from tests.models.ask import Asker, asker, output, tool
from tests.models.server import DONE, Reply, called, chunk, ollama_server, streamed, whole
from timestep import OllamaError, OllamaModelProvider

pytestmark = pytest.mark.anyio

ADDED, ITEM_DONE = "response.output_item.added", "response.output_item.done"
REASONING = [ADDED, "response.reasoning_text.delta", "response.reasoning_text.done", ITEM_DONE]
MESSAGE = [
    ADDED,
    "response.content_part.added",
    "response.output_text.delta",
    "response.content_part.done",
    ITEM_DONE,
]
CALL = [
    ADDED,
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    ITEM_DONE,
]
END = chunk() | DONE


def types(events: list[Any]) -> list[str]:
    """The types in order, a run of one type once."""
    return [kind for kind, _ in groupby(event.type for event in events)]


def check_numbers(events: list[Any]) -> None:
    """Numbers count up, and every item has the place it has in the output."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    final = events[-1].response.output
    done = {event.output_index: event.item for event in events if event.type == ITEM_DONE}
    assert [done[index] for index in range(len(final))] == final
    added = [event.output_index for event in events if event.type == ADDED]
    assert added == list(range(len(final)))


async def test_text_is_sent_as_it_comes() -> None:
    parts = ["", "He", "llo", " ", "you"]
    async with asker(streamed(*map(chunk, parts), END)) as model:
        events = await model.stream()
    assert types(events) == ["response.created", *MESSAGE, "response.completed"]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert deltas == ["He", "llo", " ", "you"]
    assert output(events)[0]["content"][0]["text"] == "Hello you"
    check_numbers(events)
    response = events[-1].response
    assert response.tool_choice == "auto"
    assert (response.usage.input_tokens, response.usage.output_tokens) == (5, 3)
    assert response.usage.total_tokens == 8
    assert model.body["stream"] is True


CHUNKS = [
    chunk(thinking="Hm"),
    chunk(thinking=", ø"),
    chunk("\n"),
    chunk("Wait", thinking="!"),
    chunk("."),
    chunk(tool_calls=[called("f", {"x": {"y": "\u2028"}}, id="call_a")]),
    chunk(tool_calls=[called("f", {"x": 2})]),
    END,
]


async def test_everything_in_order() -> None:
    async with asker(streamed(*CHUNKS[:3], *CHUNKS[4:])) as model:
        events = await model.stream(tools=[tool("f")])
    expected = ["response.created", *REASONING, *MESSAGE, *CALL, *CALL, "response.completed"]
    assert types(events) == expected
    check_numbers(events)


@pytest.mark.parametrize("split", [None, 1, 7, 100, 10_000])
async def test_the_items_are_those_of_the_whole_answer(split: int | None) -> None:
    calls = [call for each in CHUNKS for call in each["message"].get("tool_calls", [])]
    answer = whole("\nWait.", thinking="Hm, ø!", tool_calls=calls)
    async with asker(streamed(*CHUNKS, split=split)) as model:
        events = await model.stream()
    async with asker(answer) as model:
        assert output(events) == output(await model.ask())


async def test_the_done_chunk_may_carry_content_and_calls() -> None:
    last = chunk("b", thinking="t", tool_calls=[called("f", {}, id="call_a")]) | DONE
    async with asker(streamed(chunk("a"), last)) as model:
        events = await model.stream()
    kinds = [item["type"] for item in output(events)]
    assert sorted(kinds) == ["function_call", "message", "reasoning"]
    check_numbers(events)


async def test_calls_of_one_index_are_not_merged() -> None:
    calls = [
        {"id": f"call_{name}", "function": {"index": 0, "name": "f", "arguments": {"x": name}}}
        for name in "ab"
    ]
    async with asker(streamed(*(chunk(tool_calls=[call]) for call in calls), END)) as model:
        items = output(await model.stream())
    assert [item["arguments"] for item in items] == ['{"x":"a"}', '{"x":"b"}']


async def test_equal_calls_without_ids_are_several() -> None:
    parts = [chunk(tool_calls=[called("f", {})]) for _ in range(3)]
    async with asker(streamed(*parts, END)) as model:
        items = output(await model.stream())
    assert len({item["call_id"] for item in items}) == 3


@pytest.mark.parametrize("blank", ["", "\n \t"])
async def test_white_space_before_calls_is_no_message(blank: str) -> None:
    call = chunk(blank, tool_calls=[called("f", {}, id="call_a")])
    async with asker(streamed(chunk(blank), call, END)) as model:
        events = await model.stream()
    assert types(events) == ["response.created", *CALL, "response.completed"]


async def test_white_space_alone_is_a_message() -> None:
    async with asker(streamed(chunk("\n"), END)) as model:
        events = await model.stream()
    assert output(events)[0]["content"][0]["text"] == "\n"
    check_numbers(events)


async def test_logprobs_are_on_the_deltas_and_on_the_message() -> None:
    def scored(token: str) -> dict[str, Any]:
        return {"logprobs": [{"token": token, "logprob": -1}]}

    parts = [chunk("a") | scored("a"), chunk("") | scored("b"), chunk("bc") | scored("c"), END]
    async with asker(streamed(*parts)) as model:
        events = await model.stream()
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [[each.token for each in delta.logprobs] for delta in deltas] == [["a"], ["b", "c"]]
    (item,) = output(events)
    assert [each["token"] for each in item["content"][0]["logprobs"]] == ["a", "b", "c"]


async def test_length_with_text_completes_and_without_is_an_error() -> None:
    cut = chunk() | DONE | {"done_reason": "length"}
    async with asker(streamed(chunk("a"), cut), streamed(chunk(thinking="t"), cut)) as model:
        assert (await model.stream())[-1].type == "response.completed"
        with pytest.raises(ModelBehaviorError, match="length limit"):
            await model.stream()


async def test_blank_lines_and_a_missing_last_line_feed_are_nothing() -> None:
    lines = [json.dumps(each).encode() for each in (chunk("a"), END)]
    async with asker(Reply([b"\n\r\n", lines[0], b"\n\n", lines[1]])) as model:
        assert output(await model.stream())[0]["content"][0]["text"] == "a"


async def collect(model: Asker) -> tuple[list[str], OllamaError]:
    """The types of the events until the error, and the error."""
    seen: list[str] = []
    with pytest.raises(OllamaError) as raised:  # noqa: PT012
        async for event in model.events():
            seen.append(event.type)
    return seen, raised.value


async def test_an_error_line_ends_the_stream() -> None:
    line = {"error": "an error was encountered while running the model"}
    async with asker(streamed(chunk("a"), line, chunk("b"), END)) as model:
        seen, error = await collect(model)
    assert (error.code, error.status, error.body) == ("ollama-stream-failed", None, line)
    assert "while running the model" in error.message
    assert seen.count("response.output_text.delta") == 1
    assert "response.completed" not in seen


@pytest.mark.parametrize("chunks", [[], [chunk("a")], [chunk("a") | {"done_reason": "stop"}]])
async def test_a_stream_that_just_ends_is_an_error(chunks: list[dict[str, Any]]) -> None:
    async with asker(streamed(*chunks)) as model:
        seen, error = await collect(model)
    assert (error.code, error.retryable) == ("ollama-stream-ended", True)
    assert "response.completed" not in seen


async def test_a_line_that_is_no_json_is_an_error() -> None:
    async with asker(Reply([b"<html>\n"])) as model:
        seen, error = await collect(model)
    assert (error.code, error.body, seen) == ("ollama-stream-failed", "<html>", [])


async def test_leaving_the_stream_closes_the_connection() -> None:
    async with asker(Reply([json.dumps(chunk("a")).encode() + b"\n"], hang=True)) as model:
        events: Any = model.events()
        async for event in events:
            if event.type == "response.output_text.delta":
                break
        await events.aclose()
        await asyncio.wait_for(model.server.closed.wait(), 5)


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_closes_the_connection(stream: bool) -> None:
    async with asker(Reply([b" "], hang=True)) as model:
        asking: asyncio.Task[Any] = asyncio.create_task(model.stream() if stream else model.ask())
        await model.server.asked.wait()
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(model.server.closed.wait(), 5)


async def test_a_connection_is_used_again() -> None:
    replies = [streamed(chunk("a"), END), whole("b"), streamed(chunk("c"), END)]
    async with asker(*replies) as model:
        await model.stream()
        await model.ask()
        await model.stream()
        assert model.server.connections == 1


@pytest.mark.parametrize("split", [None, 5])
async def test_a_streamed_run_goes_through_its_tools(split: int | None) -> None:
    ran: list[str] = []

    @function_tool
    def weather(city: str) -> str:
        ran.append(city)
        return f"{city} is sunny"

    calls = [called("weather", {"city": city}) for city in ("Oslo", "Oslo", "Rome")]
    first = streamed(
        chunk(thinking="Hm"), *(chunk(tool_calls=[call]) for call in calls), END, split=split
    )
    async with ollama_server(
        first, streamed(chunk("Sun"), chunk("ny"), END, split=split)
    ) as server:
        provider = OllamaModelProvider(base_url=server.url)
        result = Runner.run_streamed(
            Agent(name="Weather", model="llama3", tools=[weather]),
            "Hi",
            run_config=RunConfig(model_provider=provider),
        )
        names = [
            event.name
            async for event in result.stream_events()
            if event.type == "run_item_stream_event"
        ]
        await provider.aclose()
    assert result.final_output == "Sunny"
    assert ran == ["Oslo", "Oslo", "Rome"]
    assert names[0] == "reasoning_item_created"
    assert names.count("tool_called") == names.count("tool_output") == 3
    assert names[-1] == "message_output_created"
    assert result.context_wrapper.usage.requests == 2
    replayed = server.bodies[1]["messages"][1]
    assert replayed["thinking"] == "Hm"
    assert len({call["id"] for call in replayed["tool_calls"]}) == 3
