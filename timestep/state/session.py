"""The items of a run as openai-agents keeps them for a session, beside those the model sees."""

from __future__ import annotations

from collections.abc import Iterable

from timestep.state import items as run_items
from timestep.state import wire
from timestep.state.calls import Calls
from timestep.state.shape import Json


def items(
    history: list[Json], calls: Calls, decisions: Iterable[Json]
) -> tuple[list[Json], list[int]]:
    """The session items of a native history, and the places of the history in them.

    They keep the approvals that the history loses once their calls have run: each stands before
    the first output of the calls that waited with it.
    """
    decided = {
        decision["call_id"]
        for decision in decisions
        if decision["scope"] == "call" and decision["call_id"] in calls.answered
    }
    if not decided:
        return history, list(range(len(history)))
    kept: list[Json] = []
    places: list[int] = []
    waiting: dict[str, Json] = {}
    for entry in history:
        answered = wire.answered_call(entry["raw_item"])
        if answered is not None and answered[1] in waiting:
            kept += waiting.values()
            waiting = {}
        elif entry["type"] == "tool_call_item":
            identifier = wire.call_id(entry["raw_item"])
            if identifier is not None and identifier in decided:
                waiting[identifier] = _approval(identifier, calls)
        places.append(len(kept))
        kept.append(entry)
    return kept, places


def _approval(identifier: str, calls: Calls) -> Json:
    call = calls.by_id[identifier]
    pending: Json = {"item": call.item, "agent": call.agent}
    if call.key is not None:
        pending["tool_key"] = call.key
    if call.name is not None:
        pending["tool_name"] = call.name
    return run_items.approval(pending, own=True)
