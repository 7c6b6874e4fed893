"""An answer of the chat API, as output items and usage of the SDK."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timestep.errors import OllamaError

if TYPE_CHECKING:
    from agents import Usage
    from openai.types.responses import (
        ResponseFunctionToolCall,
        ResponseOutputItem,
        ResponseOutputMessage,
        ResponseReasoningItem,
    )
    from openai.types.responses.response_output_text import Logprob

PLACEHOLDER_ID = "__fake_id__"
"""The SDK's id for items that have none; its OpenAI models leave it out again."""

_FENCE = re.compile(r"\s*```[\w-]*[^\S\n]*\n(.*?)\s*```\s*", re.DOTALL)


def new_id() -> str:
    """24 random hexadecimal digits."""
    return secrets.token_hex(12)


class CallIds:
    """The ids of one response's calls, unique in the run.

    Both SDKs take a call whose id they have seen for a replay and do not run it. So the server's
    id is kept only where it is new; `new_id` makes the digits of the others.
    """

    def __init__(self, used: set[str], new_id: Callable[[], str] = new_id) -> None:
        self._used = set(used)
        self._new_id = new_id

    def take(self, given: object) -> str:
        """The server's id, or a new one."""
        call_id = given if isinstance(given, str) else ""
        while not call_id or call_id in self._used:
            call_id = f"call_{self._new_id()}"
        self._used.add(call_id)
        return call_id


@dataclass(frozen=True)
class Call:
    """A call of the model: ``arguments`` is compact JSON."""

    call_id: str
    name: str
    arguments: str


@dataclass
class Answer:
    """What the model has thought, said and called so far."""

    thinking: str = ""
    content: str = ""
    calls: list[Call] = field(default_factory=list)
    logprobs: list[Logprob] = field(default_factory=list)
    done: Mapping[str, Any] | None = None
    """The object that ended the answer, which alone has counts and the reason."""

    @property
    def text(self) -> str:
        """The content, but for white space in front of calls."""
        return "" if self.calls and not self.content.strip() else self.content

    def add(self, chunk: Mapping[str, Any], ids: CallIds) -> Answer:
        """The part of the answer that `chunk` adds, added."""
        message = chunk.get("message") or {}
        part = Answer(
            thinking=message.get("thinking") or "",
            content=message.get("content") or "",
            calls=[_call(call, ids) for call in message.get("tool_calls") or []],
            logprobs=[_logprob(each) for each in chunk.get("logprobs") or []],
            done=chunk if chunk.get("done") else None,
        )
        self.thinking += part.thinking
        self.content += part.content
        self.calls += part.calls
        self.logprobs += part.logprobs
        self.done = part.done or self.done
        return part

    def check(self) -> None:
        """Raises for an answer that is none.

        `OllamaError` where the server did not finish or only loaded the model;
        `ModelBehaviorError`, as of the SDK's own chat model, where the length limit left nothing
        to see.
        """
        from agents import ModelBehaviorError

        if self.done is None:
            raise OllamaError(
                "The answer is not complete: the server did not say it was done.",
                code="ollama-stream-ended",
                retryable=True,
            )
        reason = self.done.get("done_reason")
        if reason in ("load", "unload"):
            raise OllamaError(
                f"The server only {reason}ed the model and answered nothing.",
                code="ollama-not-run",
                body=dict(self.done),
            )
        if reason == "length" and not self.text and not self.calls:
            raise ModelBehaviorError(
                "The model reached its length limit before any text or call (done_reason 'length')."
            )


def to_items(answer: Answer, model: str) -> list[ResponseOutputItem]:
    """The items of an answer: reasoning, message, calls, each where there is one."""
    items: list[ResponseOutputItem] = []
    if answer.thinking:
        items.append(reasoning_item(answer.thinking, model))
    if answer.text:
        items.append(message_item(answer.text, answer.logprobs, model))
    return [*items, *(call_item(call, model) for call in answer.calls)]


def reasoning_item(text: str, model: str) -> ResponseReasoningItem:
    from openai.types.responses import ResponseReasoningItem

    return ResponseReasoningItem.model_validate(
        {
            "id": PLACEHOLDER_ID,
            "type": "reasoning",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": text}],
            "provider_data": {"model": model},
        }
    )


def message_item(text: str, logprobs: Sequence[Logprob], model: str) -> ResponseOutputMessage:
    from openai.types.responses import ResponseOutputMessage

    part = {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": [each.model_dump() for each in logprobs],
    }
    return ResponseOutputMessage.model_validate(
        {
            "id": PLACEHOLDER_ID,
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
            "provider_data": {"model": model},
        }
    )


def call_item(call: Call, model: str) -> ResponseFunctionToolCall:
    from openai.types.responses import ResponseFunctionToolCall

    return ResponseFunctionToolCall.model_validate(
        {
            "id": PLACEHOLDER_ID,
            "type": "function_call",
            "call_id": call.call_id,
            "name": call.name,
            "arguments": call.arguments,
            "provider_data": {"model": model},
        }
    )


def to_usage(*answers: Mapping[str, Any]) -> Usage:
    """The usage of one or more requests. A count the server left out is zero, never a guess."""
    from agents import Usage
    from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

    read = sum(_count(answer, "prompt_eval_count") for answer in answers)
    written = sum(_count(answer, "eval_count") for answer in answers)
    cached = sum(_count(answer, "prompt_eval_cached_count") for answer in answers)
    return Usage(
        requests=len(answers),
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        input_tokens_details=InputTokensDetails.model_validate(
            {"cached_tokens": cached, "cache_write_tokens": 0}
        ),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
    )


def unfence(text: str) -> str:
    """The text without one code fence around all of it."""
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def _count(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) else 0


def _call(call: Mapping[str, Any], ids: CallIds) -> Call:
    function = call.get("function") or {}
    return Call(
        call_id=ids.take(call.get("id")),
        name=str(function.get("name") or ""),
        arguments=_arguments(function.get("arguments")),
    )


def _arguments(value: Any) -> str:
    """Arguments as compact JSON of an object: some models give null, or JSON in a string."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value) if value.strip() else {}
        except ValueError:
            parsed = None
        value = parsed if isinstance(parsed, dict) else {"value": value}
    elif value is None:
        value = {}
    elif not isinstance(value, dict):
        value = {"value": value}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _logprob(entry: Mapping[str, Any]) -> Logprob:
    from openai.types.responses.response_output_text import Logprob

    top = [_token(each) for each in entry.get("top_logprobs") or []]
    return Logprob.model_validate({**_token(entry), "top_logprobs": top})


def _token(entry: Mapping[str, Any]) -> dict[str, Any]:
    token = str(entry.get("token") or "")
    given = entry.get("bytes")
    return {
        "token": token,
        "bytes": [*token.encode()] if given is None else given,
        "logprob": entry.get("logprob") or 0.0,
    }
