"""A streamed answer as the events of the Responses API, which the SDK's runner reads.

The order is that of the SDK's own chat model: created; reasoning; message; calls; completed. A
call comes whole in Ollama, so nothing is lost by sending calls last, and every item has the
place in the stream that it has in the final output.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from timestep.models.ollama.response import (
    PLACEHOLDER_ID,
    Answer,
    Call,
    call_item,
    message_item,
    reasoning_item,
    to_items,
)

if TYPE_CHECKING:
    from agents import ModelSettings, TResponseStreamEvent, Usage
    from openai.types.responses import Response
    from openai.types.responses.response_output_text import Logprob


class EventWriter:
    """The events of one response, numbered.

    With `hold_text`, text is not sent as it comes but once, when the answer is whole: it may
    still be replaced, or lose a code fence.
    """

    def __init__(self, model: str, settings: ModelSettings, *, hold_text: bool = False) -> None:
        self._model = model
        self._settings = settings
        self._hold_text = hold_text
        self._started = False
        self._sequence = 0
        self._thinking = ""
        self._waiting = ""
        self._waiting_logprobs: list[Logprob] = []
        self._reasoning_open = False
        self._reasoning_at: int | None = None
        self._message_at: int | None = None

    def add(self, part: Answer) -> Iterator[TResponseStreamEvent]:
        """The events for what a chunk added."""
        yield from self._start()
        if part.thinking:
            yield from self._reason(part.thinking)
        if not self._hold_text and (part.content or part.logprobs):
            yield from self._say(part.content, part.logprobs)

    def finish(self, answer: Answer, usage: Usage) -> Iterator[TResponseStreamEvent]:
        """The rest of the events: held text, calls, and the whole response."""
        from openai.types.responses import ResponseCompletedEvent, ResponseUsage

        yield from self._start()
        if answer.text and self._message_at is None:
            self._waiting = ""
            logprobs = answer.logprobs if self._hold_text else []
            yield from self._say(answer.text, logprobs, even_blank=True)
        yield from self._end_reasoning()
        yield from self._end_message(answer)
        opened = (self._reasoning_at, self._message_at)
        for index, call in enumerate(answer.calls, len(opened) - opened.count(None)):
            yield from self._call(call, index)

        response = self._response()
        response.output = to_items(answer, self._model)
        if self._reasoning_at == 1:
            response.output[:2] = reversed(response.output[:2])
        response.status = "completed"
        response.usage = ResponseUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            input_tokens_details=usage.input_tokens_details,
            output_tokens_details=usage.output_tokens_details,
        )
        yield ResponseCompletedEvent(
            response=response, type="response.completed", sequence_number=self._next()
        )

    def _start(self) -> Iterator[TResponseStreamEvent]:
        from openai.types.responses import ResponseCreatedEvent

        if not self._started:
            self._started = True
            yield ResponseCreatedEvent(
                response=self._response(), type="response.created", sequence_number=self._next()
            )

    def _reason(self, delta: str) -> Iterator[TResponseStreamEvent]:
        from openai.types.responses import ResponseReasoningTextDeltaEvent

        if self._reasoning_at is None:
            self._reasoning_open = True
            self._reasoning_at = 0 if self._message_at is None else 1
            item = reasoning_item("", self._model)
            item.content = []
            yield self._added(item, self._reasoning_at)
        self._thinking += delta
        yield ResponseReasoningTextDeltaEvent(
            delta=delta,
            item_id=PLACEHOLDER_ID,
            output_index=self._reasoning_at,
            content_index=0,
            type="response.reasoning_text.delta",
            sequence_number=self._next(),
        )

    def _end_reasoning(self) -> Iterator[TResponseStreamEvent]:
        from openai.types.responses import ResponseReasoningTextDoneEvent

        if self._reasoning_at is None or not self._reasoning_open:
            return
        self._reasoning_open = False
        yield ResponseReasoningTextDoneEvent(
            text=self._thinking,
            item_id=PLACEHOLDER_ID,
            output_index=self._reasoning_at,
            content_index=0,
            type="response.reasoning_text.done",
            sequence_number=self._next(),
        )
        yield self._done(reasoning_item(self._thinking, self._model), self._reasoning_at)

    def _say(
        self, delta: str, logprobs: list[Logprob], *, even_blank: bool = False
    ) -> Iterator[TResponseStreamEvent]:
        """The events of text; white space waits, for in front of calls it is dropped."""
        from openai.types.responses import ResponseTextDeltaEvent

        self._waiting += delta
        self._waiting_logprobs += logprobs
        if not self._waiting or not (
            even_blank or self._message_at is not None or self._waiting.strip()
        ):
            return
        if self._message_at is None:
            yield from self._open_message()
        yield ResponseTextDeltaEvent.model_validate(
            {
                "delta": self._waiting,
                "logprobs": [each.model_dump() for each in self._waiting_logprobs],
                **self._place(),
                "type": "response.output_text.delta",
                "sequence_number": self._next(),
            }
        )
        self._waiting = ""
        self._waiting_logprobs = []

    def _open_message(self) -> Iterator[TResponseStreamEvent]:
        from openai.types.responses import ResponseContentPartAddedEvent

        yield from self._end_reasoning()
        self._message_at = 0 if self._reasoning_at is None else 1
        item = message_item("", [], self._model)
        empty = item.content[0]
        item.content = []
        item.status = "in_progress"
        yield self._added(item, self._message_at)
        yield ResponseContentPartAddedEvent.model_validate(
            {
                "part": empty.model_dump(),
                **self._place(),
                "type": "response.content_part.added",
                "sequence_number": self._next(),
            }
        )

    def _end_message(self, answer: Answer) -> Iterator[TResponseStreamEvent]:
        from openai.types.responses import ResponseContentPartDoneEvent

        if self._message_at is None:
            return
        item = message_item(answer.text, answer.logprobs, self._model)
        yield ResponseContentPartDoneEvent.model_validate(
            {
                "part": item.content[0].model_dump(),
                **self._place(),
                "type": "response.content_part.done",
                "sequence_number": self._next(),
            }
        )
        yield self._done(item, self._message_at)

    def _call(self, call: Call, index: int) -> Iterator[TResponseStreamEvent]:
        from openai.types.responses import (
            ResponseFunctionCallArgumentsDeltaEvent,
            ResponseFunctionCallArgumentsDoneEvent,
        )

        item = call_item(call, self._model)
        yield self._added(item.model_copy(update={"arguments": ""}), index)
        yield ResponseFunctionCallArgumentsDeltaEvent(
            delta=call.arguments,
            item_id=PLACEHOLDER_ID,
            output_index=index,
            type="response.function_call_arguments.delta",
            sequence_number=self._next(),
        )
        yield ResponseFunctionCallArgumentsDoneEvent(
            arguments=call.arguments,
            item_id=PLACEHOLDER_ID,
            output_index=index,
            type="response.function_call_arguments.done",
            sequence_number=self._next(),
        )
        yield self._done(item, index)

    def _place(self) -> dict[str, Any]:
        return {
            "item_id": PLACEHOLDER_ID,
            "output_index": self._message_at,
            "content_index": 0,
        }

    def _added(self, item: Any, index: int) -> TResponseStreamEvent:
        from openai.types.responses import ResponseOutputItemAddedEvent

        return ResponseOutputItemAddedEvent(
            item=item,
            output_index=index,
            type="response.output_item.added",
            sequence_number=self._next(),
        )

    def _done(self, item: Any, index: int) -> TResponseStreamEvent:
        from openai.types.responses import ResponseOutputItemDoneEvent

        return ResponseOutputItemDoneEvent(
            item=item,
            output_index=index,
            type="response.output_item.done",
            sequence_number=self._next(),
        )

    def _response(self) -> Response:
        from openai.types.responses import Response

        choice = self._settings.tool_choice
        return Response(
            id=PLACEHOLDER_ID,
            created_at=time.time(),
            model=self._model,
            object="response",
            output=[],
            tool_choice=choice if choice in ("none", "required") else "auto",  # type: ignore[arg-type]
            top_p=self._settings.top_p,
            temperature=self._settings.temperature,
            tools=[],
            parallel_tool_calls=self._settings.parallel_tool_calls is not False,
            reasoning=self._settings.reasoning,
        )

    def _next(self) -> int:
        number, self._sequence = self._sequence, self._sequence + 1
        return number
