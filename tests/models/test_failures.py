"""Refusals and broken connections, as one typed error."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from agents import Agent, ModelRetrySettings, ModelSettings, RunConfig, Runner, retry_policies
from agents.retry import ModelRetryAdviceRequest

from tests.models.ask import asker
from tests.models.server import Reply, chunk, failed, ollama_server, streamed, whole
from timestep import OllamaError, OllamaModelProvider

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "text", "retryable"),
    [
        (400, "registry.ollama.ai/library/gemma3:1b does not support tools", False),
        (401, "unauthorized", False),
        (403, "this model requires a subscription", False),
        (404, "model 'x' not found", False),
        (429, "you have reached your session usage limit", True),
        (500, "error parsing tool call: raw='{' err=unexpected end", True),
        (500, "model runner has unexpectedly stopped", False),
        (502, "bad gateway", True),
        (503, "server busy, please try again", True),
    ],
)
async def test_a_refusal_keeps_status_and_text(
    status: int, text: str, retryable: bool, stream: bool
) -> None:
    async with asker(failed(status, text)) as model:
        with pytest.raises(OllamaError) as raised:
            await (model.stream() if stream else model.ask())
    error = raised.value
    assert (error.code, error.status, error.message) == ("ollama-refused", status, text)
    assert error.retryable is retryable
    assert error.body == {"error": text}


@pytest.mark.parametrize(
    ("reply", "message", "body"),
    [
        (
            failed(401, {"error": {"message": "Unauthorized", "type": "api_error"}}),
            "Unauthorized",
            {"error": {"message": "Unauthorized", "type": "api_error"}},
        ),
        (Reply([b"<h1>Bad</h1>\n"], 502, "text/html"), "<h1>Bad</h1>", "<h1>Bad</h1>\n"),
        (Reply([b""], 500), "HTTP status 500", ""),
        (
            failed(401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect"}),
            "unauthorized",
            {"error": "unauthorized", "signin_url": "https://ollama.com/connect"},
        ),
    ],
)
async def test_other_forms_of_errors(reply: Reply, message: str, body: Any) -> None:
    async with asker(reply) as model:
        with pytest.raises(OllamaError) as raised:
            await model.ask()
    assert (raised.value.message, raised.value.body) == (message, body)


@pytest.mark.parametrize("stream", [False, True])
async def test_no_server_is_a_question(stream: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    async with asker(base_url=f"http://ada:secret@{address}", api_key="secret") as model:
        with pytest.raises(OllamaError, match=f"Is Ollama running at http://{address}") as raised:
            await (model.stream() if stream else model.ask())
    assert (raised.value.code, raised.value.status) == ("ollama-unreachable", None)
    assert raised.value.retryable
    assert "secret" not in str(raised.value)


async def test_a_connection_that_breaks_is_an_early_end() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asker(base_url=url) as model:
            for ask in (model.ask, model.stream):
                with pytest.raises(OllamaError) as raised:
                    await ask()
                assert (raised.value.code, raised.value.retryable) == ("ollama-stream-ended", True)


async def test_an_error_in_a_whole_answer_is_an_error() -> None:
    async with asker(failed(200, "boom")) as model:
        with pytest.raises(OllamaError, match="boom") as raised:
            await model.ask()
    assert raised.value.code == "ollama-stream-failed"


def test_the_runner_is_advised_whether_to_ask_again() -> None:
    model = OllamaModelProvider().get_model("llama3")

    def advice(error: Exception) -> Any:
        return model.get_retry_advice(ModelRetryAdviceRequest(error=error, attempt=1, stream=False))

    busy = advice(OllamaError("busy", status=503, retryable=True))
    assert (busy.suggested, busy.replay_safety) == (True, "safe")
    assert busy.normalized.status_code == 503
    assert advice(OllamaError("gone", status=404)).suggested is False
    away = advice(OllamaError("away", code="ollama-unreachable", retryable=True))
    assert away.normalized.is_network_error
    assert advice(ValueError("no")) is None


async def test_the_runner_asks_again_where_it_is_told_to() -> None:
    settings = ModelSettings(
        retry=ModelRetrySettings(
            max_retries=1,
            backoff={"initial_delay": 0, "jitter": False},
            policy=retry_policies.provider_suggested(),
        )
    )
    agent = Agent(name="A", model="llama3", model_settings=settings)
    async with ollama_server(failed(503, "busy"), whole("Hi"), failed(404, "gone")) as server:
        provider = OllamaModelProvider(base_url=server.url)
        config = RunConfig(model_provider=provider)
        assert (await Runner.run(agent, "Hi", run_config=config)).final_output == "Hi"
        with pytest.raises(OllamaError, match="gone"):
            await Runner.run(agent, "Hi", run_config=config)
        await provider.aclose()


async def test_a_streamed_run_raises_the_error() -> None:
    line = {"error": "boom"}
    async with ollama_server(streamed(chunk("a"), line)) as server:
        provider = OllamaModelProvider(base_url=server.url)
        result = Runner.run_streamed(
            Agent(name="A", model="llama3"), "Hi", run_config=RunConfig(model_provider=provider)
        )
        with pytest.raises(OllamaError, match="boom"):
            async for _ in result.stream_events():
                pass
        await provider.aclose()
