"""Scripted answers of Ollama through the official client, and how cases look at answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ollama
import pytest

from conformance.harness import answer, match, script
from conformance.harness.cassette import parse
from conformance.harness.errors import CassetteError
from conformance.harness.server import CassetteServer, Session
from timestep.models.ollama.client import close_client

pytestmark = pytest.mark.anyio

CALL = {"id": "call_1", "function": {"name": "pay", "arguments": {"n": 1}}}
TURN = {
    "output": [
        {"thinking": "Hm"},
        {"thinking": ".", "content": "I "},
        "pay",
        {"tool_calls": [CALL]},
    ],
    "done": {"eval_count": 7, "load_duration": None},
}
ITEM = {"type": "message", "role": "assistant", "status": "completed"}
PART = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
MADE_BY = {"provider_data": {"model": "llama3"}}


def scripted(*turns: Any) -> dict[str, Any]:
    return script.expand("test", {"at": "2026-11-25", "api": "ollama", "turns": list(turns)})


@asynccontextmanager
async def served(*turns: Any, split: Any = None) -> AsyncIterator[tuple[Session, Any]]:
    """A session that plays `turns`, and the official client of it."""
    async with CassetteServer() as server:
        session = server.open("one", parse("test", scripted(*turns)), split=split)
        client = ollama.AsyncClient(host=session.base_url.removesuffix("/v1"))
        yield session, client
        await close_client(client)


async def ask(client: Any, **more: Any) -> Any:
    return await client.chat(model="llama3", messages=[{"role": "user", "content": "Pay."}], **more)


async def test_one_turn_answers_whole_and_in_chunks() -> None:
    async with served({**TURN, "times": 3}, split=(None, 1)) as (session, client):
        whole = await ask(client)
        streams = [[chunk async for chunk in await ask(client, stream=True)] for _ in range(2)]
    assert (whole.message.thinking, whole.message.content) == ("Hm.", "I pay")
    assert whole.message.tool_calls[0].function.arguments == {"n": 1}
    assert (whole.eval_count, whole.prompt_eval_count, whole.load_duration) == (7, 10, None)
    assert streams[0] == streams[1]
    assert [chunk.message.content for chunk in streams[0]] == ["", "I ", "pay", "", ""]
    assert [chunk.done for chunk in streams[0]] == [False] * 4 + [True]
    assert session.player.problems() == []
    assert [each.path for each in session.player.requests] == ["/api/chat"] * 3


async def test_the_last_chunk_may_hold_something_and_a_stream_may_just_end() -> None:
    last = {"output": ["Os", {"content": "lo", "done": True}]}
    async with served(last, {"output": ["Os"], "done": False}) as (_, client):
        chunks = [chunk async for chunk in await ask(client, stream=True)]
        cut = [chunk async for chunk in await ask(client, stream=True)]
    assert [(chunk.message.content, chunk.done) for chunk in chunks] == [
        ("Os", False),
        ("lo", True),
    ]
    assert [chunk.done for chunk in cut] == [False]


async def test_refusals_and_errors_in_the_middle_of_a_stream() -> None:
    refused = {"error": {"status": 404, "message": "no such model"}}
    async with served(refused, ["Os", {"error": "out of memory"}]) as (_, client):
        with pytest.raises(ollama.ResponseError, match="no such model") as error:
            await ask(client)
        with pytest.raises(ollama.ResponseError, match="out of memory"):
            [chunk async for chunk in await ask(client, stream=True)]
    assert error.value.status_code == 404


async def test_a_stream_has_the_type_it_is_given() -> None:
    turn = {"output": ["Os", "lo"], "content_type": "application/json"}
    async with served({**turn, "times": 2}) as (_, client):
        whole = await ask(client)
        chunks = [chunk async for chunk in await ask(client, stream=True)]
    assert whole.message.content == "".join(chunk.message.content for chunk in chunks) == "Oslo"


async def test_the_authorization_is_remembered() -> None:
    async with CassetteServer() as server:
        session = server.open("one", parse("test", scripted(["Hi"])))
        host, headers = session.base_url.removesuffix("/v1"), {"Authorization": "Bearer k"}
        client = ollama.AsyncClient(host, headers=headers)
        await ask(client)
        await close_client(client)
    assert [each.authorization for each in session.player.requests] == ["Bearer k"]


@pytest.mark.parametrize(
    "turn",
    [
        {"output": ["Hi"], "usage": {}},
        {"output": [{"text": "Hi"}]},
        {"output": [1]},
        {"output": ["Hi"], "api": "chat"},
        {"output": [], "api": "openai", "done": {}},
    ],
)
def test_what_is_no_turn_is_refused(turn: dict[str, Any]) -> None:
    with pytest.raises(CassetteError, match="turn 1"):
        scripted(turn)


@pytest.mark.parametrize(
    ("item", "short"),
    [
        ({**ITEM, "content": [PART], **MADE_BY}, {"type": "message", "text": "Hi"}),
        (
            {**ITEM, "status": "incomplete", "content": [{**PART, "logprobs": [1]}], **MADE_BY},
            {
                "type": "message",
                "status": "incomplete",
                "content": [{"type": "output_text", "text": "Hi", "logprobs": [1]}],
            },
        ),
        ({**ITEM, "content": [], **MADE_BY}, {"type": "message", "content": []}),
        ({**ITEM, "content": [PART]}, {"type": "message", "text": "Hi", "provider_data": None}),
        (
            {"type": "reasoning", "summary": [], "content": [{**PART, "type": "reasoning_text"}]},
            {
                "type": "reasoning",
                "content": [{**PART, "type": "reasoning_text"}],
                "provider_data": None,
            },
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "n", "arguments": "[1]", **MADE_BY},
            {"type": "function_call", "call_id": "c", "name": "n", "arguments": [1]},
        ),
        (
            {"type": "function_call", "arguments": "[", "id": "x", **MADE_BY},
            {"type": "function_call", "arguments": {"not JSON": "["}, "id": "x"},
        ),
    ],
)
def test_the_short_form_leaves_out_nothing_else(item: Any, short: Any) -> None:
    assert answer.short(item, "ollama/llama3") == short


def test_output_is_compared_whole_and_the_rest_in_part() -> None:
    reply = {"output": [{**ITEM, "content": [PART]}], "usage": {"input_tokens": 1, "x": 2}}
    told = {"output": [{"type": "message", "text": "Hi"}], "usage": {"input_tokens": 1}}
    assert answer.mismatches(told, reply, "openai/gpt-x") == []
    assert answer.mismatches({**told, "output": []}, reply, "openai/gpt-x") != []
    assert answer.mismatches({**told, "output": [{"type": "message"}]}, reply, "gpt-x") != []
    assert answer.mismatches({**told, "usage": {"input_tokens": 2}}, reply, "gpt-x") != []


def test_bodies_are_compared_whole_or_in_part() -> None:
    bodies = [{"model": "a", "n": 1}, {"model": "b", "n": 2}]
    assert match.sent([{"model": "a", "n": 1.0}, {"$part": {"model": "b"}}], bodies) == []
    assert match.sent([{"model": "a"}, {"$part": {"model": "b"}}], bodies) == ["/0/n: unexpected 1"]
    assert match.sent([bodies[0], {"$part": {"n": 1}}], bodies) == ["/1/n: 2, expected 1"]
    assert match.sent(bodies[:1], bodies) == ["2 requests, not 1"]
