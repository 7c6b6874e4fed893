"""What a trace says of a request, with the data of it and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agents import GenerationSpanData, ModelSettings, ModelTracing, trace
from agents.tracing import TracingProcessor, get_trace_provider, set_trace_provider
from agents.tracing.provider import DefaultTraceProvider

from tests.models.ask import asker
from tests.models.server import DONE, called, chunk, failed, streamed, whole
from timestep import OllamaError

pytestmark = pytest.mark.anyio


class Spans(TracingProcessor):
    """Keeps the spans of requests."""

    def __init__(self) -> None:
        self.ended: list[Any] = []

    def on_span_end(self, span: Any) -> None:
        if isinstance(span.span_data, GenerationSpanData):
            self.ended.append(span)

    def on_trace_start(self, trace: Any) -> None: ...
    def on_trace_end(self, trace: Any) -> None: ...
    def on_span_start(self, span: Any) -> None: ...
    def shutdown(self) -> None: ...
    def force_flush(self) -> None: ...


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    monkeypatch.delenv("OPENAI_AGENTS_DISABLE_TRACING")
    before, spans = get_trace_provider(), Spans()
    provider = DefaultTraceProvider()
    provider.register_processor(spans)
    set_trace_provider(provider)
    yield spans
    set_trace_provider(before)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tracing", [ModelTracing.ENABLED, ModelTracing.ENABLED_WITHOUT_DATA])
async def test_a_request_is_a_generation(spans: Spans, stream: bool, tracing: ModelTracing) -> None:
    call = called("f", {"x": 1}, id="call_a")
    reply = streamed(chunk("Hi", thinking="Hm"), chunk(tool_calls=[call]) | DONE)
    if not stream:
        reply = whole("Hi", thinking="Hm", tool_calls=[call])
    settings = ModelSettings(temperature=0, metadata={"user": "ada"})
    async with asker(reply) as model:
        with trace("test"):
            ask = model.stream if stream else model.ask
            await ask("Hello", tracing=tracing, model_settings=settings)
    (span,) = spans.ended
    data = span.span_data
    assert (data.model, data.model_config["temperature"]) == ("llama3", 0)
    assert data.usage == {
        "requests": 1,
        "input_tokens": 5,
        "output_tokens": 3,
        "total_tokens": 8,
    }
    if tracing.include_data():
        assert data.input == [{"role": "user", "content": "Hello"}]
        (message,) = data.output
        assert (message["content"], message["thinking"]) == ("Hi", "Hm")
        assert message["tool_calls"] == [{"id": "call_a", "name": "f", "arguments": '{"x":1}'}]
    else:
        assert (data.input, data.output) == (None, None)
        assert "metadata" not in data.model_config


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_told_without_data_where_data_may_not_be(
    spans: Spans, stream: bool
) -> None:
    async with asker(failed(400, "Hello is bad"), failed(400, "Hello is bad")) as model:
        ask = model.stream if stream else model.ask
        for tracing in (ModelTracing.ENABLED, ModelTracing.ENABLED_WITHOUT_DATA):
            with trace("test"), pytest.raises(OllamaError):
                await ask(tracing=tracing)
    told, hidden = (str(span.error) for span in spans.ended)
    assert "Hello is bad" in told
    assert "Hello" not in hidden
    assert "OllamaError" in hidden


async def test_a_disabled_trace_has_no_span(spans: Spans) -> None:
    async with asker(whole("Hi")) as model:
        with trace("test"):
            await model.ask(tracing=ModelTracing.DISABLED)
    assert spans.ended == []
