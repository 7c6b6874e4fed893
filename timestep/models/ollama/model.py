"""A model of Ollama behind the SDK's `Model` interface."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from agents import (
    Model,
    ModelResponse,
    ModelRetryAdvice,
    ModelRetryNormalizedError,
    generation_span,
)

from timestep.errors import OllamaError
from timestep.models.ollama import client as transport
from timestep.models.ollama.messages import call_ids
from timestep.models.ollama.request import Request, StructuredOutput, build_request
from timestep.models.ollama.response import Answer, CallIds, new_id, to_items, to_usage, unfence
from timestep.models.ollama.stream import EventWriter

if TYPE_CHECKING:
    from agents import (
        AgentOutputSchemaBase,
        GenerationSpanData,
        Handoff,
        ModelRetryAdviceRequest,
        ModelSettings,
        ModelTracing,
        Span,
        Tool,
        TResponseInputItem,
        TResponseStreamEvent,
    )
    from ollama import AsyncClient
    from openai.types.responses import ResponsePromptParam

logger = logging.getLogger("timestep.models.ollama")


class OllamaModel(Model):
    """The model `model` of a server, asked over Ollama's native chat API.

    `ollama_client` is an `ollama.AsyncClient` of release 0.6, or a function that gives one when
    it is needed. `cloud` says that the model runs at ollama.com, which does not enforce output
    schemas. The rest is as in `OllamaModelProvider`.

    A setting the chat API cannot honour is logged as a warning, once for each model object.
    """

    def __init__(
        self,
        model: str,
        ollama_client: AsyncClient | Callable[[], AsyncClient],
        *,
        cloud: bool = False,
        structured_output: StructuredOutput = "auto",
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self.model = model
        self._get_client = ollama_client if callable(ollama_client) else lambda: ollama_client
        self._cloud = cloud
        self._structured_output = structured_output
        self._new_id = new_id
        self._warned: set[str] = set()

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: ResponsePromptParam | None = None,
    ) -> ModelResponse:
        """The whole answer.

        Raises `ModelError` for what cannot be asked, `OllamaError` where the server fails, and
        the SDK's `ModelBehaviorError` where the length limit left nothing to see.
        """
        request = self._request(
            system_instructions, input, model_settings, tools, output_schema, handoffs
        )
        self._warn_unused(previous_response_id, conversation_id, prompt)
        ids = CallIds(call_ids(input), self._new_id)
        with self._span(request, model_settings, tracing) as span:
            answer, counts = Answer(), list[Mapping[str, Any]]()
            for payload in request.attempts:
                answer = Answer(thinking=answer.thinking)
                answer.add(await self._ask(request, payload), ids)
                answer.check()
                counts.append(answer.done or {})
                if _is_final(answer, request):
                    break
            _unfence(answer, request)
            _trace(span, answer, counts, tracing)
        return ModelResponse(
            output=to_items(answer, self.model),
            usage=to_usage(*counts),
            response_id=None,
            raw_usage=_raw_usage(counts) if model_settings.preserve_raw_usage else None,
        )

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: ResponsePromptParam | None = None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """The answer as events of the Responses API, the last ``response.completed``.

        Raises what `get_response` raises; a server that refuses does so before any event. The
        connection is closed when the iterator is.
        """
        request = self._request(
            system_instructions, input, model_settings, tools, output_schema, handoffs
        )
        self._warn_unused(previous_response_id, conversation_id, prompt)
        ids = CallIds(call_ids(input), self._new_id)
        writer = EventWriter(
            self.model, model_settings, hold_text=request.unfence or len(request.attempts) > 1
        )
        with self._span(request, model_settings, tracing) as span:
            answer, counts = Answer(), list[Mapping[str, Any]]()
            for payload in request.attempts:
                answer = Answer(thinking=answer.thinking)
                async with aclosing(self._stream(request, payload)) as chunks:
                    async for chunk in chunks:
                        for event in writer.add(answer.add(chunk, ids)):
                            yield event
                answer.check()
                counts.append(answer.done or {})
                if _is_final(answer, request):
                    break
            _unfence(answer, request)
            _trace(span, answer, counts, tracing)
            for event in writer.finish(answer, to_usage(*counts)):
                yield event

    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        """Whether asking again may help. The server keeps nothing, so asking twice is safe."""
        error = request.error
        if not isinstance(error, OllamaError):
            return None
        return ModelRetryAdvice(
            suggested=error.retryable,
            replay_safety="safe",
            reason=str(error),
            normalized=ModelRetryNormalizedError(
                status_code=error.status,
                error_code=error.code,
                message=error.message,
                is_network_error=error.code in ("ollama-unreachable", "ollama-stream-ended"),
            ),
        )

    def _request(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
    ) -> Request:
        request = build_request(
            self.model,
            system_instructions,
            input,
            settings,
            tools,
            output_schema,
            handoffs,
            structured_output=self._structured_output,
            cloud=self._cloud,
        )
        for warning in request.warnings:
            self._warn(warning)
        return request

    async def _ask(self, request: Request, payload: Mapping[str, Any]) -> dict[str, Any]:
        return await transport.chat(
            self._get_client(),
            {**payload, "stream": False},
            headers=request.headers,
            query=request.query,
        )

    def _stream(
        self, request: Request, payload: Mapping[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        return transport.stream(
            self._get_client(),
            {**payload, "stream": True},
            headers=request.headers,
            query=request.query,
        )

    @contextmanager
    def _span(
        self, request: Request, settings: ModelSettings, tracing: ModelTracing
    ) -> Iterator[Span[GenerationSpanData]]:
        config = settings.to_traceable_dict()
        if not tracing.include_data():
            config.pop("metadata", None)
        with generation_span(
            model=self.model,
            model_config=config,
            input=request.attempts[0]["messages"] if tracing.include_data() else None,
            disabled=tracing.is_disabled(),
        ) as span:
            try:
                yield span
            except Exception as error:
                told = str(error) if tracing.include_data() else type(error).__name__
                span.set_error({"message": "The model did not answer", "data": {"error": told}})
                raise

    def _warn_unused(
        self,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> None:
        given = {
            "previous_response_id": previous_response_id,
            "conversation_id": conversation_id,
            "prompt": prompt,
        }
        for name, value in given.items():
            if value is not None:
                self._warn(f"{name} is ignored; Ollama keeps nothing between requests")

    def _warn(self, warning: str) -> None:
        if warning not in self._warned:
            self._warned.add(warning)
            logger.warning("%s: %s", self.model, warning)


def _is_final(answer: Answer, request: Request) -> bool:
    """Whether the answer has calls, or a text that fits the schema."""
    if answer.calls or request.schema is None:
        return True
    from agents import ModelBehaviorError

    try:
        request.schema.validate_json(answer.text)
    except ModelBehaviorError:
        return False
    return True


def _unfence(answer: Answer, request: Request) -> None:
    if request.unfence and not answer.calls:
        answer.content = unfence(answer.content)


def _trace(
    span: Span[GenerationSpanData],
    answer: Answer,
    counts: list[Mapping[str, Any]],
    tracing: ModelTracing,
) -> None:
    usage = to_usage(*counts)
    span.span_data.usage = {
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if tracing.include_data():
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.thinking:
            message["thinking"] = answer.thinking
        if answer.calls:
            message["tool_calls"] = [
                {"id": call.call_id, "name": call.name, "arguments": call.arguments}
                for call in answer.calls
            ]
        span.span_data.output = [message]


def _raw_usage(counts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts and durations as the server gave them, of the last request."""
    return {
        name: value for name, value in counts[-1].items() if name.endswith(("_count", "_duration"))
    }
