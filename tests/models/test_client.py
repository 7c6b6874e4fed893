"""Why the transport goes around the client's own types. A test that fails here is good news."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import pytest
from ollama import AsyncClient

from tests.models.server import DONE, Reply, called, chunk, ollama_server, streamed, whole
from timestep.models.ollama import client as transport

pytestmark = pytest.mark.anyio

GONE = "the client keeps it now: timestep/models/ollama/client.py may use chat()"
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {"loc": {"type": "object", "properties": {"lat": {"type": "number"}}}},
        },
    },
}
HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_a", "function": {"name": "f", "arguments": {}}}],
    },
    {"role": "tool", "content": "1", "tool_name": "f", "tool_call_id": "call_a"},
]


def test_the_release_is_one_whose_private_name_is_known() -> None:
    assert metadata.version("ollama").split(".")[:2] == ["0", "6"]


async def test_the_client_still_drops_fields_of_requests() -> None:
    async with ollama_server(whole("a"), whole("a")) as server:
        client = AsyncClient(host=server.url)
        await client.chat(model="m", messages=HISTORY, tools=[TOOL])
        await transport.chat(client, {"model": "m", "messages": HISTORY, "tools": [TOOL]})
        await transport.close_client(client)
    theirs, ours = server.bodies
    assert ours["tools"] == [TOOL]
    assert ours["messages"] == HISTORY
    lost = {
        "nested properties of tools": theirs["tools"] != [TOOL],
        "ids of calls": "id" not in theirs["messages"][1]["tool_calls"][0],
        "call ids of outputs": "tool_call_id" not in theirs["messages"][2],
    }
    assert all(lost.values()), f"{GONE}: {lost}"


async def test_the_client_still_drops_fields_of_answers() -> None:
    done = {**DONE, "prompt_eval_cached_count": 4}
    calls = [called("f", {}, id="call_a")]
    replies = [whole(tool_calls=calls, done=done) for _ in range(2)]
    async with ollama_server(*replies) as server:
        client = AsyncClient(host=server.url)
        theirs: dict[str, Any] = (await client.chat(model="m", messages=HISTORY)).model_dump()
        ours = await transport.chat(client, {"model": "m", "messages": HISTORY})
        await transport.close_client(client)
    assert ours["message"]["tool_calls"] == calls
    assert ours["prompt_eval_cached_count"] == 4
    lost = {
        "ids of calls": "id" not in theirs["message"]["tool_calls"][0],
        "cached counts": "prompt_eval_cached_count" not in theirs,
    }
    assert all(lost.values()), f"{GONE}: {lost}"


async def test_the_client_still_breaks_at_a_blank_line_and_ends_without_a_word() -> None:
    blank = Reply([b"\n", json.dumps(chunk("a") | DONE).encode() + b"\n"])
    async with ollama_server(blank, streamed(chunk("a"))) as server:
        client = AsyncClient(host=server.url)
        with pytest.raises(json.JSONDecodeError):
            async for _ in await client.chat(model="m", messages=HISTORY, stream=True):
                pass
        stream = await client.chat(model="m", messages=HISTORY, stream=True)
        assert [bool(part.done) async for part in stream] == [False], GONE
        await transport.close_client(client)


async def test_the_client_still_sends_its_key_to_any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "env")
    async with ollama_server(whole("a"), whole("a")) as server:
        theirs = AsyncClient(host=server.url)
        ours = transport.create_client(server.url, None)
        for client in (theirs, ours):
            await transport.chat(client, {"model": "m", "messages": HISTORY})
            await transport.close_client(client)
    sent = ["authorization" in each.headers for each in server.sent]
    assert sent == [True, False], "create_client need not take the header away any more"
