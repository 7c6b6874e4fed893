"""Cassettes through the real OpenAI clients and the real SDK, and through plain vcrpy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import vcr.serialize  # type: ignore[import-untyped]
import yaml
from openai import AsyncOpenAI
from vcr.serializers import yamlserializer  # type: ignore[import-untyped]

from conformance.harness import script
from conformance.harness.cassette import Cassette, Player, lint, parse
from conformance.harness.errors import CassetteError
from conformance.harness.server import CassetteServer, Session

from .workshop import SCRIPT

pytestmark = pytest.mark.anyio
CASSETTES = sorted(path.stem for path in (script.FOLDER / "scripts").glob("*.yaml"))


def scripted(*turns: Any) -> dict[str, Any]:
    return script.expand("test", {"at": "2026-11-25", "turns": list(turns) or SCRIPT["turns"]})


@asynccontextmanager
async def served(data: Any, *, split: int | None = None) -> AsyncIterator[tuple[Session, Any]]:
    """A session that plays `data`, and a real client of it that never retries."""
    async with CassetteServer() as server:
        session = server.open("one", parse("test", data), split=split)
        async with AsyncOpenAI(base_url=session.base_url, api_key="k", max_retries=0) as client:
            yield session, client


async def ask(client: Any, **more: Any) -> Any:
    return await client.responses.create(model="gpt-x", input="Pay.", **more)


async def test_one_cassette_answers_streams_and_json() -> None:
    async with served(scripted()) as (session, client):
        first = await ask(client)
        stream = await ask(client, stream=True)
        events = [event async for event in stream]
    assert (first.id, first.output[0].call_id, first._request_id) == ("resp_1", "call_1", "req_1")
    assert events[-1].response.output_text == "Paid."
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert session.player.problems() == []
    assert [each.turn for each in session.player.requests] == [1, 2]


@pytest.mark.parametrize("split", [1, 7, 4096])
async def test_a_stream_cut_anywhere_is_the_same_stream(split: int) -> None:
    turn = [{"type": "message", "text": "Übergrößen für 20 €."}]
    async with served(scripted(turn), split=split) as (_, client):
        events = [event async for event in await ask(client, stream=True)]
    assert events[-1].response.output_text == "Übergrößen für 20 €."


async def test_recorded_chunks_arrive_as_they_were() -> None:
    data = scripted()
    streamed = data["interactions"][1]["response"]["body"]
    sizes = streamed["chunks"]
    streamed["chunks"] = [sizes[0] + 5, sizes[1] - 5, *sizes[2:]]
    async with served(data) as (_, client):
        raw = await client.responses.with_streaming_response.create(
            model="gpt-x", input="Pay.", stream=True
        ).__aenter__()
        pieces = [len(piece) async for piece in raw.http_response.aiter_raw()]
    assert pieces == streamed["chunks"]


async def test_the_sdk_runs_on_it() -> None:
    from agents import Agent, OpenAIResponsesModel, Runner, function_tool

    paid: list[int] = []

    @function_tool
    def pay(n: int) -> str:
        paid.append(n)
        return "done"

    async with served(scripted()) as (session, client):
        agent = Agent(name="a", tools=[pay], model=OpenAIResponsesModel("gpt-x", client))
        result = await Runner.run(agent, "Pay.")
    assert (result.final_output, paid) == ("Paid.", [1])
    usage = result.context_wrapper.usage
    assert (usage.requests, usage.input_tokens, usage.total_tokens) == (2, 20, 30)
    assert usage.input_tokens_details.cached_tokens == 8
    assert session.player.requests[1].body["input"][-1]["output"] == "done"


async def test_a_request_too_many_is_refused_at_once_and_remembered() -> None:
    async with CassetteServer() as server:
        session = server.open("one", parse("test", scripted(SCRIPT["turns"][1])))
        async with AsyncOpenAI(base_url=session.base_url, api_key="k") as client:
            await ask(client)
            with pytest.raises(openai.BadRequestError, match="all 1 turns of cassette test"):
                await ask(client)
        assert len(session.player.requests) == 2, "the client retried"
        assert server.close("one").problems() == [
            "unmatched request: POST /responses: all 1 turns of cassette test are played"
        ]


async def test_recorded_bodies_are_matched_and_the_nearest_is_named() -> None:
    data = scripted()
    wanted = {"model": "gpt-x", "input": "Pay."}
    for each in data["interactions"][:2]:
        each["request"]["body"] = json.dumps(wanted, indent=2)
    async with served(data) as (_, client):
        assert (await ask(client)).id == "resp_1"
    for each in data["interactions"]:
        each["request"]["body"] = json.dumps({**wanted, "input": "Play."})
    async with served(data) as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(client)
    assert '- "input": "Play."' in str(caught.value).replace('\\"', '"')


async def test_unused_turns_and_other_endpoints_are_problems() -> None:
    async with served(scripted()) as (session, client):
        await ask(client)
        assert session.player.problems() == ["unused interaction: turn 2 of cassette test"]
        with pytest.raises(openai.BadRequestError, match="next is POST /responses"):
            await client.models.list()


async def test_parallel_requests_find_their_turn_by_what_they_hold() -> None:
    turns = [
        {"contains": ["Oslo"], "output": [{"type": "message", "text": "cold"}]},
        {"contains": ["Rome"], "output": [{"type": "message", "text": "warm"}]},
    ]
    async with served(scripted(*turns)) as (session, client):
        rome = await client.responses.create(model="gpt-x", input="Rome?")
        oslo = await client.responses.create(model="gpt-x", input="Oslo?")
        with pytest.raises(openai.BadRequestError):
            await client.responses.create(model="gpt-x", input="Bonn?")
    assert (rome.output_text, oslo.output_text) == ("warm", "cold")
    assert [each.turn for each in session.player.requests] == [2, 1, None]


async def test_errors_are_played_in_both_forms() -> None:
    turn = {"error": {"status": 429, "message": "slow down", "code": "rate_limit_exceeded"}}
    for stream in (False, True):
        async with served(scripted(turn)) as (_, client):
            with pytest.raises(openai.RateLimitError, match="slow down"):
                await ask(client, stream=stream)


async def test_a_session_name_is_used_once() -> None:
    async with CassetteServer() as server:
        server.open("one", None)
        with pytest.raises(ValueError, match="one is open"):
            server.open("one", None)


@pytest.mark.parametrize("name", CASSETTES)
def test_plain_vcrpy_reads_and_keeps_it(name: str) -> None:
    text = (script.FOLDER / f"{name}.yaml").read_text()
    requests, responses = vcr.serialize.deserialize(text, yamlserializer)
    ours = parse(name, yaml.safe_load(text))
    assert [each["body"]["string"] for each in responses] == [
        each.data for each in ours.interactions
    ]
    again = vcr.serialize.serialize({"requests": requests, "responses": responses}, yamlserializer)
    kept = yaml.safe_load(again)["interactions"]
    for mine, theirs in zip(ours.interactions, kept, strict=True):
        assert tuple(theirs["response"]["body"].get("chunks", ())) == mine.chunks


@pytest.mark.parametrize("name", CASSETTES)
def test_no_cassette_is_stale_or_holds_a_secret(name: str) -> None:
    assert script.stale(name) is None, "run python -m conformance.harness.script"
    text = (script.FOLDER / f"{name}.yaml").read_text()
    assert lint(name, text, yaml.safe_load(text)) == []


def test_every_cassette_has_a_script_or_a_recorder() -> None:
    for path in script.FOLDER.glob("*.yaml"):
        recorded = yaml.load(path.read_text(), yaml.CSafeLoader)["recorded"]
        assert (recorded["from"] == "scripted") == (path.stem in CASSETTES)


@pytest.mark.parametrize(
    ("side", "headers", "told"),
    [
        ("request", {"Authorization": ["Bearer sk-abcdefghijklmnopqrst"]}, "an API key"),
        ("request", {"authorization": ["Bearer abcdefghijkl"]}, "request header authorization"),
        ("response", {"Set-Cookie": ["a=b"]}, "response header Set-Cookie"),
        ("response", {"content-encoding": ["gzip"]}, "compressed response"),
    ],
)
def test_secrets_are_found(side: str, headers: dict[str, list[str]], told: str) -> None:
    data = scripted()
    assert lint("test", yaml.safe_dump(data), data) == []
    data["interactions"][0][side]["headers"] = headers
    assert any(told in problem for problem in lint("test", yaml.safe_dump(data), data))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"version": 2}, "/version"),
        ({"recorded": {"from": "memory", "at": "2026-01-01", "by": "me"}}, "/recorded/from"),
    ],
)
def test_what_is_no_cassette_is_refused(damage: dict[str, Any], told: str) -> None:
    with pytest.raises(CassetteError, match=told):
        parse("test", {**scripted(), **damage})


def test_chunks_have_to_add_up() -> None:
    data = scripted()
    data["interactions"][1]["response"]["body"]["chunks"].append(1)
    with pytest.raises(CassetteError, match="chunks add up"):
        parse("test", data)


def test_without_chunks_a_stream_is_cut_after_each_event(tmp_path: Path) -> None:
    data = scripted()
    sizes = data["interactions"][1]["response"]["body"].pop("chunks")
    cassette: Cassette = parse("test", data)
    assert [len(piece) for piece in cassette.interactions[1].pieces()] == sizes
    assert Player(cassette).problems() == [
        "unused interaction: turn 1 of cassette test",
        "unused interaction: turn 2 of cassette test",
    ]
