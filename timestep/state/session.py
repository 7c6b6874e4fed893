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

    They keep the approvals that the history loses once their calls have run: each where the output
    of its call would have been, had it not waited.
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
    asked: dict[str, int] = {}
    waiting: list[str] = []
    for entry in history:
        if entry["type"] == "tool_call_item":
            identifier = wire.call_id(entry["raw_item"])
            if identifier is not None:
                asked[identifier] = len(asked)
                if identifier in decided:
                    waiting.append(identifier)
        elif waiting:
            answered = wire.answered_call(entry["raw_item"])
            identifier = "" if answered is None else answered[1]
            before = len(asked) if identifier in waiting else asked.get(identifier, 0)
            while waiting and asked[waiting[0]] < before:
                kept.append(_approval(waiting.pop(0), calls))
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
