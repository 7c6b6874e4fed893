"""Asking an `OllamaModel` directly, without a runner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agents import FunctionTool, ModelResponse, ModelSettings, ModelTracing
from agents.models.interface import Model

from tests.models.server import OllamaServer, Reply, ollama_server
from timestep.models import OllamaModelProvider


def numbered() -> Any:
    """Call id digits that count up."""
    numbers: Iterator[int] = iter(range(1, 1000))
    return lambda: f"{next(numbers):024x}"


class Asker:
    """A model behind a server, asked for one answer at a time."""

    def __init__(self, model: Model, server: OllamaServer) -> None:
        self.model = model
        self.server = server

    async def ask(self, input: Any = "Hi", **options: Any) -> ModelResponse:
        """The whole answer."""
        return await self.model.get_response(**_arguments(input, options))

    def events(self, input: Any = "Hi", **options: Any) -> AsyncIterator[Any]:
        """The events of the streamed answer, as they come."""
        return self.model.stream_response(**_arguments(input, options))

    async def stream(self, input: Any = "Hi", **options: Any) -> list[Any]:
        """The events of the streamed answer."""
        return [event async for event in self.events(input, **options)]

    @property
    def body(self) -> Any:
        """The body of the only request."""
        (body,) = self.server.bodies
        return body


@asynccontextmanager
async def asker(*replies: Reply, model: str = "llama3", **options: Any) -> AsyncIterator[Asker]:
    """A model of a server that gives these replies."""
    async with ollama_server(*replies) as server:
        options = {"base_url": server.url, "new_id": numbered(), **options}
        provider = OllamaModelProvider(**options)
        yield Asker(provider.get_model(model), server)
        await provider.aclose()


def tool(name: str, schema: dict[str, Any] | None = None, description: str = "") -> FunctionTool:
    """A function tool that is never run."""

    async def never(context: Any, arguments: str) -> str:
        raise AssertionError("the tool was run")

    return FunctionTool(
        name=name,
        description=description,
        params_json_schema=schema or {"type": "object", "properties": {}},
        on_invoke_tool=never,
        strict_json_schema=False,
    )


def output(response: ModelResponse | Sequence[Any]) -> list[dict[str, Any]]:
    """The items of an answer, or of the last event, without what every item has."""
    items = response.output if isinstance(response, ModelResponse) else response[-1].response.output
    dumped = [item.model_dump(exclude_unset=True) for item in items]
    for item in dumped:
        assert item.pop("id") == "__fake_id__"
        assert item.pop("provider_data") == {"model": "llama3"}
    return dumped


def _arguments(input: Any, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "system_instructions": None,
        "input": input,
        "model_settings": ModelSettings(),
        "tools": [],
        "output_schema": None,
        "handoffs": [],
        "tracing": ModelTracing.DISABLED,
        "previous_response_id": None,
        "conversation_id": None,
        "prompt": None,
        **options,
    }
