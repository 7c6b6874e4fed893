"""Cassettes through vcrpy and the real clients; files of one language played by the other."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import ollama
import openai
import pytest
import yaml
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped]

from conformance.harness import cassette, schemas, script
from conformance.harness.server import CassetteServer
from timestep.testing import recorder

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
CASSETTES = ROOT / "cassettes"
TYPESCRIPT = ROOT / "typescript"
NOWHERE = "http://127.0.0.1:9"

SCRIPT = {
    "at": "2026-11-25",
    "turns": [
        [{"type": "message", "text": "Sunny, é 🌦 \u2028 \x7f"}],
        [{"type": "message", "text": "Sunny in pieces, é 🌦"}],
        {"api": "ollama", "output": ["Cold"]},
        {"api": "ollama", "output": ["Cold ", "in ", "pieces 🌦"]},
    ],
}
ANSWERS = ["Sunny, é 🌦 \u2028 \x7f", "Sunny in pieces, é 🌦", "Cold", "Cold in pieces 🌦"]


@asynccontextmanager
async def model(split: int | None = None) -> AsyncIterator[str]:
    """The base URL of a server that gives the answers of the script, once each, in order."""
    async with CassetteServer() as server:
        played = cassette.parse("exchange", script.expand("exchange", SCRIPT))
        yield server.open("exchange", played, split=split).base_url.removesuffix("/v1")


@asynccontextmanager
async def closing(client: ollama.AsyncClient) -> AsyncIterator[ollama.AsyncClient]:
    """The client, closed at the end."""
    try:
        yield client
    finally:
        await client.close()  # type: ignore[no-untyped-call]


async def in_python(url: str) -> list[str]:
    """The answers that the clients of Python get."""
    asked: dict[str, Any] = {"model": "gpt-x", "input": "Weather in Oslo?"}
    messages = [{"role": "user", "content": "Weather in Oslo?"}]
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="sk-secret", max_retries=0
    ) as client:
        whole = (await client.responses.create(**asked)).output_text
        stream = await client.responses.create(**asked, stream=True)
        deltas = [each.delta async for each in stream if each.type == "response.output_text.delta"]
    async with closing(ollama.AsyncClient(host=url)) as chat:
        cold = (await chat.chat("llama3", messages)).message.content
        lines = await chat.chat("llama3", messages, stream=True)
        chunks = [line.message.content async for line in lines]
    return [whole, "".join(deltas), cold or "", "".join(each or "" for each in chunks)]


async def in_typescript(path: Path, record: str, url: str, *split: str) -> list[str]:
    """The answers that the clients of TypeScript get through the cassette at `path`."""
    process = await asyncio.create_subprocess_exec(
        *("node", "test/testing/exchange.mjs", str(path), record, f"{url}/v1", url, *split),
        cwd=TYPESCRIPT,
        stdout=subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    told = json.loads(stdout)
    assert told["unused"] == []
    answers: list[str] = told["answers"]
    return answers


def well_made(path: Path) -> dict[str, Any]:
    """The parsed file, which has to be a cassette for the suite too, and hold no secret."""
    text = path.read_text()
    data: dict[str, Any] = yaml.safe_load(text)
    assert schemas.problem("cassette", data) is None
    assert cassette.lint(path.name, text, data) == []
    assert "secret" not in text
    cassette.parse(path.name, data)
    for each in data["interactions"]:
        assert set(each["request"]["headers"]) <= {"content-type"}
        asked = json.loads(each["request"]["body"])
        assert ("chunks" in each["response"]["body"]) == (asked.get("stream") is True)
    return data


async def test_a_file_of_python_is_played_by_both(tmp_path: Path) -> None:
    path = tmp_path / "exchange.yaml"
    async with model() as url:
        with recorder(record="once").use_cassette(path):
            assert await in_python(url) == ANSWERS
    chunks = [each["response"]["body"].get("chunks") for each in well_made(path)["interactions"]]
    # Pieces that follow each other quickly may arrive as one.
    assert len(chunks[1]) > 5
    assert 1 < len(chunks[3]) <= 4
    with recorder().use_cassette(path) as played:
        assert await in_python(NOWHERE) == ANSWERS
        assert played.all_played
    assert await in_typescript(path, "none", NOWHERE) == ANSWERS


async def test_a_file_of_typescript_is_played_by_both(tmp_path: Path) -> None:
    path = tmp_path / "exchange.yaml"
    async with model() as url:
        assert await in_typescript(path, "once", url) == ANSWERS
    well_made(path)
    assert await in_typescript(path, "none", NOWHERE) == ANSWERS
    assert await in_typescript(path, "none", NOWHERE, "3") == ANSWERS
    for split in (None, 1, 7):
        with recorder(split=split).use_cassette(path) as played:
            assert await in_python(NOWHERE) == ANSWERS
            assert played.all_played


@pytest.mark.parametrize("split", [None, 7])
async def test_cassettes_of_the_suite_are_played_in_both_forms(split: int | None) -> None:
    """They hold each answer whole and as a stream, and no requests."""
    asked: dict[str, Any] = {"model": "gpt-x", "input": "Weather?"}
    async with openai.AsyncOpenAI(base_url=f"{NOWHERE}/v1", api_key="none") as client:
        with recorder().use_cassette(CASSETTES / "weather.yaml"):
            whole = [await client.responses.create(**asked) for _ in range(2)]
        with recorder(split=split).use_cassette(CASSETTES / "weather.yaml"):
            streamed = []
            for _ in range(2):
                stream = await client.responses.create(**asked, stream=True)
                *_, last = [event async for event in stream]
                assert last.type == "response.completed"
                streamed.append(last.response)
    assert [each.output[0].type for each in whole] == ["function_call", "message"]
    assert [each.output for each in streamed] == [each.output for each in whole]


async def test_a_cassette_of_ollama_is_played_piece_by_piece() -> None:
    path = CASSETTES / "ollama-text-stream.yaml"
    bodies = [
        each["response"]["body"]["string"]
        for each in yaml.safe_load(path.read_text())["interactions"]
    ]
    expected = max(bodies, key=lambda body: len(body.splitlines()))
    messages = [{"role": "user", "content": "Hi"}]
    with recorder().use_cassette(path):
        async with closing(ollama.AsyncClient(host=NOWHERE)) as client:
            chunks = [each async for each in await client.chat("llama3", messages, stream=True)]
    assert [each.message.content for each in chunks] == [
        json.loads(line)["message"]["content"] for line in expected.splitlines()
    ]
    body = {"model": "llama3", "messages": messages, "stream": True}
    with recorder().use_cassette(path):
        async with (
            httpx2.AsyncClient() as raw,
            raw.stream("POST", f"{NOWHERE}/api/chat", json=body) as response,
        ):
            pieces = [piece.decode() async for piece in response.aiter_raw()]
    assert pieces == expected.splitlines(keepends=True)


async def test_what_was_not_recorded_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "exchange.yaml"
    async with model() as url:
        with recorder(record="once").use_cassette(path):
            await in_python(url)
    with recorder().use_cassette(path):
        async with openai.AsyncOpenAI(
            base_url=f"{NOWHERE}/v1", api_key="none", max_retries=0
        ) as client:
            with pytest.raises(CannotOverwriteExistingCassetteException) as failed:
                await client.responses.create(model="gpt-x", input="Weather in Rome?")
    assert '+ "input": "Weather in Rome?"' in str(failed.value)
