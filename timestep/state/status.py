"""Where a run stands: what its current step says, and what it ended with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from timestep.state import response
from timestep.state.blockers import Blockers
from timestep.state.shape import Json, as_list, as_object

NOTHING: Final = object()
"""Stands for a final output the snapshot does not tell."""


def step(source: Json) -> Any:
    """The type of a snapshot's current step."""
    return as_object(source.get("current_step")).get("type")


def status(source: Json, body: Json, answered: frozenset[str], at: str, blockers: Blockers) -> str:
    """The portable status; a step that is missing while calls are unanswered binds the run."""
    kind = step(source)
    if kind == "next_step_interruption":
        return "interrupted"
    if kind == "next_step_run_again":
        return "run_again"
    if not (body["current_turn"] or body["responses"] or response.members(body)):
        return "not_started"
    open_calls = response.unanswered(_last_calls(body), answered)
    if open_calls:
        message = f"no current step, but call {open_calls[0]!r} has no output"
        blockers.add("step-missing", f"{at}/current_step", message)
    return "completed"


def _last_calls(body: Json) -> Iterator[Json]:
    if body["response"] is not None:
        return (entry["item"] for entry in response.members(body))
    return iter(body["responses"][-1]["output"] if body["responses"] else ())


def final_output(body: Json) -> Any:
    """What a completed run ended with: its last message's text or its last tool's output."""
    for entry in reversed(body["items"]):
        if entry["type"] == "message_output_item":
            return _text_of(entry["item"])
        if entry["type"] == "tool_call_output_item":
            return entry["output"] if "output" in entry else entry["item"].get("output")
        if entry["type"] in ("tool_call_item", "handoff_call_item"):
            break
    return NOTHING


def _text_of(message: Json) -> Any:
    parts = [
        part["text"]
        for part in as_list(message.get("content"))
        if isinstance(part, dict)
        and part.get("type") == "output_text"
        and isinstance(part.get("text"), str)
    ]
    return "".join(parts) if parts else NOTHING
