"""Running an agent with the official SDK, and draining what it streams."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack, overload
from weakref import WeakValueDictionary

from timestep.errors import InterruptionException

if TYPE_CHECKING:
    from agents import (
        Agent,
        ModelProvider,
        MultiProvider,
        RunConfig,
        RunErrorHandlers,
        RunHooks,
        RunResult,
        RunResultStreaming,
        RunState,
        Session,
        StreamEvent,
        TResponseInputItem,
    )

TContext = TypeVar("TContext")
TResult = TypeVar("TResult", bound="RunResult | RunResultStreaming")

EventHandler = Callable[["StreamEvent"], Awaitable[None] | None]
"""Called with every stream event, in order; may be async."""

# Streamed results that raise when drained. Keyed by id: the SDK's results are not hashable.
_raise_when_drained: WeakValueDictionary[int, RunResultStreaming] = WeakValueDictionary()


# Closes the provider made for a streamed run, by the id of its result.
_closing: dict[int, asyncio.Task[None]] = {}


class RunAgentOptions(TypedDict, Generic[TContext], total=False):
    """The keyword options of `run_agent`, which documents them."""

    model_provider: ModelProvider | None
    run_config: RunConfig | None
    context: TContext | None
    max_turns: int | EllipsisType | None
    hooks: RunHooks[TContext] | None
    conversation_id: str | None
    previous_response_id: str | None
    auto_previous_response_id: bool
    error_handlers: RunErrorHandlers[TContext] | None
    raise_on_interruption: bool


@overload
async def run_agent(
    agent: Agent[TContext],
    input: str | list[TResponseInputItem] | RunState[TContext],
    session: Session | None = None,
    stream: Literal[False] = False,
    **options: Unpack[RunAgentOptions[TContext]],
) -> RunResult: ...


@overload
async def run_agent(
    agent: Agent[TContext],
    input: str | list[TResponseInputItem] | RunState[TContext],
    session: Session | None = None,
    *,
    stream: Literal[True],
    **options: Unpack[RunAgentOptions[TContext]],
) -> RunResultStreaming: ...


@overload
async def run_agent(
    agent: Agent[TContext],
    input: str | list[TResponseInputItem] | RunState[TContext],
    session: Session | None,
    stream: Literal[True],
    **options: Unpack[RunAgentOptions[TContext]],
) -> RunResultStreaming: ...


@overload
async def run_agent(
    agent: Agent[TContext],
    input: str | list[TResponseInputItem] | RunState[TContext],
    session: Session | None = None,
    stream: bool = False,
    **options: Unpack[RunAgentOptions[TContext]],
) -> RunResult | RunResultStreaming: ...


async def run_agent(
    agent: Agent[TContext],
    input: str | list[TResponseInputItem] | RunState[TContext],
    session: Session | None = None,
    stream: bool = False,
    *,
    model_provider: ModelProvider | None = None,
    run_config: RunConfig | None = None,
    context: TContext | None = None,
    max_turns: int | EllipsisType | None = ...,
    hooks: RunHooks[TContext] | None = None,
    conversation_id: str | None = None,
    previous_response_id: str | None = None,
    auto_previous_response_id: bool = False,
    error_handlers: RunErrorHandlers[TContext] | None = None,
    raise_on_interruption: bool = False,
) -> RunResult | RunResultStreaming:
    """A run of `agent` by the official SDK: its `RunResult`, or its `RunResultStreaming`.

    `input` is text, input items, or a run state to resume. With a session, input items come
    after its history, unless `run_config` has a `session_input_callback` of its own.

    `model_provider` wins over one set in `run_config`; everything else in `run_config` is left
    alone. With neither, names of models are looked up by a `MultiModelProvider` of this run,
    which is closed with it. `max_turns` is a number, or None for no limit. Left out, a new run
    has the SDK's default and a resumed one keeps the limit in its state.

    With `raise_on_interruption`, a run that stops for approvals raises `InterruptionException`;
    a streamed one does so when `consume_result` has drained it.
    """
    from agents import RunConfig, Runner, RunState
    from agents.run import RunOptions

    own_provider = None
    run_config = run_config or RunConfig()
    if model_provider is None and _has_default_provider(run_config):
        from timestep.models import MultiModelProvider

        model_provider = own_provider = MultiModelProvider()
    if model_provider is not None:
        run_config = replace(run_config, model_provider=model_provider)
    options: RunOptions[TContext] = {
        "context": context,
        "hooks": hooks,
        "run_config": run_config,
        "session": session,
        "conversation_id": conversation_id,
        "previous_response_id": previous_response_id,
        "auto_previous_response_id": auto_previous_response_id,
        "error_handlers": error_handlers,
    }
    if not isinstance(max_turns, EllipsisType):
        options["max_turns"] = max_turns
        if isinstance(input, RunState):
            # The SDK takes the limit of a resumed run from its state alone.
            from timestep.state.sdk import set_max_turns

            set_max_turns(input, max_turns)

    if stream:
        streamed = Runner.run_streamed(agent, input, **options)
        if own_provider is not None:
            _close_after(streamed, own_provider)
        if raise_on_interruption:
            _raise_when_drained[id(streamed)] = streamed
        return streamed
    try:
        result = await Runner.run(agent, input, **options)
    finally:
        if own_provider is not None:
            await own_provider.aclose()
    if raise_on_interruption:
        _raise_if_interrupted(result)
    return result


async def consume_result(result: TResult, *, on_event: EventHandler | None = None) -> TResult:
    """The same result, drained: every event seen, the session written, all background work done.

    A result that was not streamed is handed back as it is. `on_event` gets every event in order
    and is awaited where it is async. If it raises, it is called no more, the run is still
    drained to its end so that nothing is left half done, and then its error is raised.

    Raises the run's own error; an `ExceptionGroup` of both where `on_event` failed too; and
    `InterruptionException` for a run started with `raise_on_interruption`.
    """
    from agents import RunResultStreaming

    if not isinstance(result, RunResultStreaming):
        return result

    handler_error: Exception | None = None
    try:
        async with aclosing(result.stream_events()) as events:  # type: ignore[type-var]
            async for event in events:
                if on_event is None or handler_error is not None:
                    continue
                try:
                    handled = on_event(event)
                    if inspect.isawaitable(handled):
                        await handled
                except Exception as error:
                    handler_error = error
        # A run loop that fails before its first event is not always raised by stream_events.
        if result.run_loop_exception is not None:
            raise result.run_loop_exception
        if (closing := _closing.get(id(result))) is not None:
            await closing
    except Exception as error:
        if handler_error is None:
            raise
        raise ExceptionGroup("the run and on_event both failed", [error, handler_error]) from None
    if handler_error is not None:
        raise handler_error

    if _raise_when_drained.get(id(result)) is result:
        _raise_if_interrupted(result)
    return result


def _has_default_provider(run_config: RunConfig) -> bool:
    """Whether the provider is the one the SDK puts in where none is given."""
    from agents import MultiProvider

    given, default = run_config.model_provider, MultiProvider()
    return type(given) is MultiProvider and _parts(given) == _parts(default)


def _parts(provider: MultiProvider) -> dict[str, Any]:
    return {**vars(provider), "openai_provider": vars(provider.openai_provider)}


def _close_after(streamed: RunResultStreaming, provider: ModelProvider) -> None:
    """Closes the provider when the run has ended, however it ends."""

    async def close() -> None:
        if streamed.run_loop_task is not None:
            await asyncio.wait([streamed.run_loop_task])
        await provider.aclose()

    key = id(streamed)
    _closing[key] = asyncio.create_task(close())
    _closing[key].add_done_callback(lambda _: _closing.pop(key, None))


def _raise_if_interrupted(result: RunResult | RunResultStreaming) -> None:
    if result.interruptions:
        state: RunState[Any] = result.to_state()
        raise InterruptionException(interruptions=result.interruptions, state=state, result=result)
