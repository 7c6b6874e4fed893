"""The operations that run agents: start, advance, decide, input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents import RunResultStreaming, StreamEvent
from agents.exceptions import AgentsException
from openai import OpenAIError

from timestep import InterruptionException, ModelError, consume_result, run_agent

from .case import Case
from .outcome import call_id, failed, finished, position
from .protocol import Failure, required

_OPTIONS = (
    "max_turns",
    "context",
    "conversation_id",
    "previous_response_id",
    "auto_previous_response_id",
    "raise_on_interruption",
)


async def _run(case: Case, given: Any, args: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: args[name] for name in _OPTIONS if name in args}
    one_turn = args.get("until") == "turn"
    try:
        result = await run_agent(
            case.agent,
            given,
            case.session,
            # Only a streamed run of this SDK can be stopped between two turns.
            stream=bool(args.get("stream")) or one_turn,
            model_provider=case.provider,
            run_config=case.run_config,
            **options,
        )

        def stop(event: StreamEvent) -> None:
            # The agent is announced before the turn begins: stopped then, it would never begin.
            begun = event.type != "agent_updated_stream_event"
            if one_turn and begun and isinstance(result, RunResultStreaming):
                result.cancel(mode="after_turn")

        await consume_result(result, on_event=stop)
    except InterruptionException as error:
        case.state = error.state
        case.turn = position(error.state)["current_turn"]
        raise
    except (AgentsException, ModelError, OpenAIError) as error:
        return failed(error, case.turn)
    case.state = result.to_state()
    outcome = finished(result, case.state)
    case.turn = outcome["turn"]
    return outcome


async def start(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`run.start`: a new run of the root agent."""
    case.turn = 0
    return await _run(case, required(args, "input", (str, list)), args)


async def advance(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`run.advance`: the run goes on from where it is."""
    return await _run(case, case.paused(), args)


async def decide(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`run.decide`: a decision about one waiting call, or about every call of its tool."""
    state = case.paused()
    wanted = required(args, "call_id", str)
    waiting = [item for item in state.get_interruptions() if call_id(item) == wanted]
    if not waiting:
        raise Failure("protocol", "unknown-call", f"no call {wanted!r} waits for a decision")
    always = bool(args.get("always"))
    if required(args, "decision", str) == "approve":
        state.approve(waiting[0], always_approve=always)
    else:
        state.reject(waiting[0], always_reject=always, rejection_message=args.get("message"))
    return {}


async def add_input(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`run.input`: input for the next request to the model."""
    case.paused().add_input(list(required(args, "items", list)))
    return {}
