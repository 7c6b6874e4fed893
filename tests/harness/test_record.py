"""Recording from a live service: a cassette server stands in for OpenAI and Ollama."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance import record
from conformance.harness import cassette, schemas, script
from conformance.harness.server import CassetteServer
from conformance.harness.upstream import services

pytestmark = pytest.mark.anyio

SCRIPT = {
    "at": "2026-11-25",
    "turns": [
        [{"type": "message", "text": "Sunny 🌦"}],
        {"api": "ollama", "output": ["Cold ", "here 🌦"]},
    ],
}

COMMAND = """
import asyncio, ollama, openai
async def main():
    async with openai.AsyncOpenAI(max_retries=0) as client:
        stream = await client.responses.create(model="gpt-x", input="Oslo?", stream=True)
        print("".join([e.delta async for e in stream if e.type == "response.output_text.delta"]))
    ollama.chat("llama3", [{"role": "user", "content": "Oslo?"}], stream=False)
asyncio.run(main())
"""


@asynccontextmanager
async def live(monkeypatch: pytest.MonkeyPatch, *, key: str = "live-key") -> AsyncIterator[Any]:
    """Services that give the answers of the script, and the player that saw the requests."""
    async with CassetteServer() as server:
        opened = server.open("live", cassette.parse("live", script.expand("live", SCRIPT)))
        monkeypatch.setenv("OPENAI_API_KEY", key)
        monkeypatch.setenv("OPENAI_BASE_URL", opened.base_url)
        monkeypatch.setenv("OLLAMA_HOST", opened.base_url.removesuffix("/v1"))
        yield opened.player


async def recorded(path: Path) -> dict[str, Any]:
    """A file that a command recorded."""
    assert await record.to_file(path, [sys.executable, "-c", COMMAND]) == 0
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    return data


async def test_what_a_command_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new.yaml"
    async with live(monkeypatch) as player:
        data = await recorded(path)
    asked = [each for each in player.requests if each.path != "/api/version"]
    assert [each.authorization for each in asked] == ["Bearer live-key", None]
    assert schemas.problem("cassette", data) is None
    assert "live-key" not in path.read_text()
    streamed, whole = (each["response"]["body"] for each in data["interactions"])
    assert len(streamed["chunks"]) > 1
    assert sum(streamed["chunks"]) == len(streamed["string"].encode())
    assert json.loads(whole["string"])["message"]["content"] == "Cold here 🌦"
    assert "chunks" not in whole
    headers = [each["response"]["headers"] for each in data["interactions"]]
    assert set().union(*headers) <= {"content-type", "x-request-id"}


async def test_a_cassette_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new.yaml"
    async with live(monkeypatch):
        data = await recorded(path)
    data["interactions"][0]["turn"] = 1
    data["recorded"]["from"] = "openai"
    older = json.loads(json.dumps(data))
    older["interactions"][0]["response"]["body"] = {"string": "old"}
    path.write_text(yaml.safe_dump(older))
    async with live(monkeypatch):
        assert await record.rerecord(path, older, services()) == 0
    anew = yaml.safe_load(path.read_text())
    for one, other in zip(anew["interactions"], data["interactions"], strict=True):
        # Where the pieces of a stream are cut is the network's.
        one["response"]["body"].pop("chunks", None)
        other["response"]["body"].pop("chunks", None)
        one["request"]["uri"] = other["request"]["uri"]
    assert anew["interactions"] == data["interactions"]


async def test_without_a_service_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert await record.to_file(tmp_path / "new.yaml", [sys.executable, "-c", COMMAND]) == 0
    assert capsys.readouterr().out == (
        "not recorded: no OPENAI_API_KEY, no Ollama at http://127.0.0.1:9\n"
    )
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    shutil.copy(schemas.ROOT / "cassettes" / "weather.yaml", tmp_path)
    assert await record.anew([]) == 0
    assert "all 1 cassettes are made from scripts" in capsys.readouterr().out


async def test_a_secret_in_an_answer_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SCRIPT["turns"][0][0], "text", "sk-" + "a" * 32)  # type: ignore[index]
    path = tmp_path / "new.yaml"
    async with live(monkeypatch):
        assert await record.to_file(path, [sys.executable, "-c", COMMAND]) == 1
    assert not path.exists()
    assert "holds an API key" in capsys.readouterr().out


def test_the_key_of_ollama_goes_to_ollama_com_only() -> None:
    env = {"OLLAMA_API_KEY": "secret", "OLLAMA_HOST": "https://ollama.com"}
    assert "authorization" in services(env)["ollama"].headers()
    assert "secret" not in repr(services(env))
    env["OLLAMA_HOST"] = "http://elsewhere:11434"
    assert "authorization" not in services(env)["ollama"].headers()
