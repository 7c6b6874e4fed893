"""A request of the chat API, built from what the SDK asks of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from timestep.errors import ModelError
from timestep.models.ollama.messages import to_messages
from timestep.models.ollama.tools import to_tools

if TYPE_CHECKING:
    from agents import AgentOutputSchemaBase, Handoff, ModelSettings, Tool, TResponseInputItem

StructuredOutput = Literal["auto", "always", "prompt"]
"""How an output schema reaches the model.

``always`` sends it as ``format``, which constrains decoding and can keep a model from calling
tools. ``prompt`` puts it into the system text only. ``auto`` does the first without tools; with
tools it does the second, and asks once more, with ``format`` and without tools, where an answer
does not validate. A model in Ollama's cloud, which does not enforce ``format``, has ``prompt``.
"""

OPTIONS = frozenset(
    {
        "draft_num_predict",
        "frequency_penalty",
        "main_gpu",
        "min_p",
        "num_batch",
        "num_ctx",
        "num_gpu",
        "num_keep",
        "num_predict",
        "num_thread",
        "presence_penalty",
        "repeat_last_n",
        "repeat_penalty",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
        "use_mmap",
    }
)
"""The names the server takes in ``options`` (Ollama 0.33); it ignores others without a word."""

FIELDS = frozenset(
    {"format", "keep_alive", "logprobs", "shift", "think", "top_logprobs", "truncate"}
)
"""The names a request may set beside ``options``."""

# Settings of the SDK that are options under the same or another name.
_AS_OPTION = {
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_tokens": "num_predict",
}

# The level of `think` for each reasoning effort, as Ollama's own OpenAI API has it.
_THINK: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}

_TRUNCATE = {"auto": True, "disabled": False}

_SCHEMA_PROMPT = "Answer with JSON only, without a code fence, that matches this JSON Schema:\n"


@dataclass(frozen=True)
class Request:
    """One request: its body, and what is known about the answer it asks for.

    ``attempts`` are bodies without ``stream``: the first is sent, the next where an answer ends
    without calls and does not validate. ``schema`` is the output schema, None for text;
    ``unfence`` says that a code fence around the answer is no part of it. ``warnings`` name
    settings the chat API cannot honour.
    """

    attempts: tuple[dict[str, Any], ...]
    headers: dict[str, str]
    query: dict[str, object] | None = None
    schema: AgentOutputSchemaBase | None = None
    unfence: bool = False
    warnings: tuple[str, ...] = ()


@dataclass
class _Extra:
    options: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    structured_output: StructuredOutput | None = None


def build_request(
    model: str,
    system_instructions: str | None,
    input: str | Sequence[TResponseInputItem],
    settings: ModelSettings,
    tools: Sequence[Tool],
    output_schema: AgentOutputSchemaBase | None,
    handoffs: Sequence[Handoff[Any, Any]],
    *,
    structured_output: StructuredOutput = "auto",
    cloud: bool = False,
) -> Request:
    """The request for one answer of `model`. Pure.

    A setting that is not given is not sent, so the model's own defaults hold; settings in
    ``extra_args`` and ``extra_body`` win over those of the SDK.

    Raises `ModelError` for input, tools and settings the chat API has no place for.
    """
    extra = _extra(settings)
    warnings: list[str] = []
    offered = _choose(to_tools(tools, handoffs), settings.tool_choice, warnings)
    if settings.parallel_tool_calls is False and offered:
        warnings.append("parallel_tool_calls=False cannot be set; every call is passed on")

    schema = None if output_schema is None or output_schema.is_plain_text() else output_schema
    mode = "prompt" if cloud else extra.structured_output or structured_output
    prompted = schema is not None and (mode == "prompt" or (mode == "auto" and bool(offered)))
    if schema is not None and prompted:
        system_instructions = _with_schema(system_instructions, schema.json_schema())

    payload: dict[str, Any] = {
        "model": model,
        "messages": to_messages(system_instructions, input),
    }
    if offered:
        payload["tools"] = offered
    if schema is not None and not prompted:
        payload["format"] = schema.json_schema()
    payload.update(_fields(settings))
    payload.update(extra.fields)
    if options := {**_options(settings), **extra.options}:
        payload["options"] = options

    attempts = [payload]
    if schema is not None and prompted and mode == "auto" and "format" not in payload:
        without_tools = {key: value for key, value in payload.items() if key != "tools"}
        attempts.append({**without_tools, "format": schema.json_schema()})
    return Request(
        attempts=tuple(attempts),
        headers=_headers(settings),
        query=dict(settings.extra_query) if settings.extra_query else None,
        schema=schema,
        unfence=schema is not None and mode == "prompt",
        warnings=tuple(warnings),
    )


def _choose(
    tools: list[dict[str, Any]], choice: object, warnings: list[str]
) -> list[dict[str, Any]]:
    """The tools to send for a choice. The server knows none, so leaving tools out is all we can."""
    if choice is None or choice == "auto":
        return tools
    if choice == "none":
        return []
    if choice == "required":
        warnings.append('tool_choice="required" cannot be forced; the model may answer in text')
        return tools
    chosen = [tool for tool in tools if tool["function"]["name"] == choice]
    if not chosen:
        raise ModelError(
            f"tool_choice {choice!r} is no function tool or handoff of the agent.",
            code="unsupported-setting",
        )
    warnings.append(f"tool_choice={choice!r} cannot be forced; only this tool is offered")
    return chosen


def _options(settings: ModelSettings) -> dict[str, Any]:
    values = {option: getattr(settings, name) for name, option in _AS_OPTION.items()}
    return {option: value for option, value in values.items() if value is not None}


def _fields(settings: ModelSettings) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    effort = settings.reasoning.effort if settings.reasoning is not None else None
    if effort is not None:
        if effort not in _THINK:
            raise ModelError(
                f"Ollama has no reasoning effort {effort!r}.", code="unsupported-setting"
            )
        fields["think"] = _THINK[effort]
    if settings.truncation is not None:
        fields["truncate"] = _TRUNCATE[settings.truncation]
    if settings.top_logprobs is not None:
        fields["logprobs"] = True
        fields["top_logprobs"] = settings.top_logprobs
    return fields


def _extra(settings: ModelSettings) -> _Extra:
    extra = _Extra()
    for name, value in _given(settings):
        if name == "options" and isinstance(value, Mapping):
            extra.options.update(value)
        elif name in OPTIONS:
            extra.options[name] = value
        elif name in FIELDS:
            extra.fields[name] = value
        elif name == "structured_output" and value in ("auto", "always", "prompt"):
            extra.structured_output = value
        else:
            raise ModelError(
                f"Ollama has no setting {name!r} like this.", code="unsupported-setting"
            )
    return extra


def _given(settings: ModelSettings) -> Iterator[tuple[str, Any]]:
    for source in (settings.extra_args, settings.extra_body):
        if isinstance(source, Mapping):
            yield from source.items()


def _headers(settings: ModelSettings) -> dict[str, str]:
    """The extra headers. A value that is no text is the SDK's sign to leave a header out."""
    headers = settings.extra_headers or {}
    return {name: value for name, value in headers.items() if isinstance(value, str)}


def _with_schema(system_instructions: str | None, schema: Mapping[str, Any]) -> str:
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return "\n\n".join([*filter(None, [system_instructions]), _SCHEMA_PROMPT + text])
