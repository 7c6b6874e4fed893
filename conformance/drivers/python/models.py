"""The operations that ask a model without an agent: `model.call` and `model.route`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, cast

import agents as sdk
import jsonschema_rs
from agents.items import TResponseInputItem
from agents.models.interface import Model, ModelProvider, ModelTracing
from openai.types.shared import Reasoning

from timestep import MultiModelProvider, MultiModelProviderMap, OllamaModelProvider
from timestep.models.ollama.provider import resolve

from .ids import numbered
from .outcome import wire
from .output import JsonOutput
from .protocol import Failure, as_failure, required

Row = Mapping[str, Any]

_PLACEHOLDER = "__fake_id__"
_EVENTS = {
    "response.created": "started",
    "response.output_text.delta": "text",
    "response.completed": "completed",
}
_HOSTED: Mapping[str, Callable[[], sdk.Tool]] = {
    "web_search": sdk.WebSearchTool,
    "file_search": lambda: sdk.FileSearchTool(vector_store_ids=["vs_1"]),
}


async def call(args: Row) -> dict[str, Any]:
    """`model.call`: one answer of a model."""
    with _environment(args.get("env")), _warnings() as warnings:
        provider = _provider(args)
        try:
            reply = await _ask(provider.get_model(required(args, "model", str)), args)
        finally:
            await provider.aclose()
    return reply | ({"warnings": warnings} if warnings else {})


async def route(args: Row) -> dict[str, Any]:
    """`model.route`: the provider of a name, and what it is asked for."""
    own = MultiModelProviderMap()
    for prefix in args.get("providers", ()):
        own.add_provider(prefix, _Named(prefix))
    with _environment(args.get("env")):
        multi = MultiModelProvider(own)
        try:
            provider, model = multi.route(args["name"])
            multi.get_model(args["name"])
        finally:
            await multi.aclose()
        if isinstance(provider, _Named):
            return {"provider": provider.prefix, "model": provider.asked}
        if not isinstance(provider, OllamaModelProvider):
            return {"provider": "openai", "model": model}
        target = resolve(cast(str, model))
    told = {"host": target.host, "sends_key": target.api_key is not None}
    return {"provider": "ollama", "model": target.model, **told}


class _Named(ModelProvider):
    """A provider that the application added: it only notes what it is asked for."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.asked: str | None = None

    def get_model(self, model_name: str | None) -> Model:
        self.asked = model_name
        return cast(Model, None)


class _Schema(JsonOutput):
    """An output type that takes what fits its schema, as the SDK's own do."""

    def __init__(self, row: Row) -> None:
        super().__init__(row["schema"], strict=bool(row.get("strict", True)))
        self._name = str(row["name"])
        self._validator = jsonschema_rs.validator_for(dict(row["schema"]))

    def name(self) -> str:
        return self._name

    def validate_json(self, json_str: str) -> Any:
        try:
            value = json.loads(json_str)
        except ValueError as error:
            raise sdk.ModelBehaviorError(f"the output is no JSON: {error}") from error
        if not self._validator.is_valid(value):
            raise sdk.ModelBehaviorError("the output does not fit its schema")
        return value


def _provider(args: Row) -> MultiModelProvider:
    own = MultiModelProviderMap()
    ollama = OllamaModelProvider(
        api_key=args.get("api_key"),
        base_url=args.get("base_url"),
        structured_output=args.get("structured_output", "auto"),
        new_id=numbered(iter(args.get("ids", ()))),
    )
    own.add_provider("ollama", ollama)
    return MultiModelProvider(
        own,
        openai_api_key=args.get("api_key"),
        openai_base_url=args.get("base_url"),
        openai_use_responses=args.get("openai_use_responses"),
    )


async def _ask(model: Model, args: Row) -> dict[str, Any]:
    given = args["input"]
    asked: dict[str, Any] = {
        "system_instructions": args.get("instructions"),
        "input": given if isinstance(given, str) else cast(list[TResponseInputItem], list(given)),
        "model_settings": _settings(args.get("settings", {})),
        "tools": [*map(_tool, args.get("tools", ())), *map(_hosted, args.get("hosted_tools", ()))],
        "output_schema": _Schema(args["output_schema"]) if "output_schema" in args else None,
        "handoffs": [_handoff(each) for each in args.get("handoffs", ())],
        "tracing": ModelTracing.DISABLED,
        "previous_response_id": None,
        "conversation_id": None,
        "prompt": None,
    }
    if not args.get("stream"):
        response = await model.get_response(**asked)
        return {"output": _items(response.output), "usage": _usage(response.usage)}
    return await _stream(model, asked)


async def _stream(model: Model, asked: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"events": [], "deltas": []}
    completed: Any = None
    try:
        # A model is an async generator here, which the interface calls an iterator.
        async with aclosing(cast(Any, model.stream_response(**asked))) as events:
            async for event in events:
                kind = _EVENTS.get(event.type)
                if kind is not None and (kind != "text" or told["events"][-1:] != ["text"]):
                    told["events"].append(kind)
                if kind == "text":
                    told["deltas"].append(event.delta)
                if kind == "completed":
                    completed = event.response
    except Exception as error:
        failure = as_failure(error)
        failure.details["events"] = told["events"]
        raise failure from error
    if completed is None:
        raise Failure("implementation", "no-response", "the stream has no response.completed")
    usage = sdk.Usage()
    if completed.usage is not None:
        usage = sdk.Usage(
            input_tokens=completed.usage.input_tokens,
            output_tokens=completed.usage.output_tokens,
            total_tokens=completed.usage.total_tokens,
            input_tokens_details=completed.usage.input_tokens_details,
            output_tokens_details=completed.usage.output_tokens_details,
        )
    # The events tell no number of requests.
    counts = {key: value for key, value in _usage(usage).items() if key != "requests"}
    return {"output": _items(completed.output), "usage": counts, **told}


def _items(output: list[Any]) -> list[dict[str, Any]]:
    items = [wire(item) for item in output]
    for item in items:
        if item.get("id") == _PLACEHOLDER:
            del item["id"]
    return items


def _usage(usage: sdk.Usage) -> dict[str, Any]:
    return {
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "input_tokens_details": {"cached_tokens": usage.input_tokens_details.cached_tokens},
        "output_tokens_details": {"reasoning_tokens": usage.output_tokens_details.reasoning_tokens},
    }


def _settings(settings: Row) -> sdk.ModelSettings:
    fields = dict(settings)
    if "reasoning" in fields:
        fields["reasoning"] = Reasoning(**fields["reasoning"])
    return sdk.ModelSettings(**fields)


def _tool(row: Row) -> sdk.Tool:
    async def invoke(_context: Any, _arguments: str) -> str:
        raise Failure("driver", "tool-called", "a model does not run tools")

    return sdk.FunctionTool(
        name=row["name"],
        description=row["description"],
        params_json_schema=dict(row["parameters"]),
        on_invoke_tool=invoke,
        strict_json_schema=bool(row.get("strict", False)),
    )


def _hosted(kind: str) -> sdk.Tool:
    if kind not in _HOSTED:
        raise Failure("protocol", "bad-request", f"hosted_tools knows no {kind!r}")
    return _HOSTED[kind]()


def _handoff(row: Row) -> sdk.Handoff[Any, Any]:
    return sdk.handoff(
        sdk.Agent(name=row["agent"]),
        tool_name_override=row.get("tool_name"),
        tool_description_override=row.get("description"),
    )


@contextmanager
def _environment(values: Row | None) -> Iterator[None]:
    """These variables, or none where the value is None; afterwards as before."""
    before = {name: os.environ.get(name) for name in values or {}}
    _set_environment(values or {})
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Row) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the port logs as a warning meanwhile."""
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("timestep.models")
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)
