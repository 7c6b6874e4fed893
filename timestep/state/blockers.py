"""Why a run can only go on in Python, found while its snapshot is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from timestep.state import document, ledger, response, wire
from timestep.state.calls import Calls, lookup_key
from timestep.state.shape import Json, as_object

_FIELDS: Final = {
    "pending_session_write": ("pending-session-write", "a session write is not acknowledged"),
    "terminal_unrecoverable": (
        "terminal-unrecoverable",
        "the final output was accepted but not persisted",
    ),
    "sandbox": ("sandbox-state", "the run holds a sandbox"),
}
"""Fields of a snapshot that bind the run wherever they are set."""


@dataclass
class Blockers:
    """The entries of ``cannot_cross``, one for each reason."""

    entries: list[Json] = field(default_factory=list)

    def add(self, code: str, pointer: str, message: str) -> None:
        """Note a reason; ``pointer`` is into the native snapshot."""
        if all(entry["code"] != code for entry in self.entries):
            self.entries.append({"code": code, "pointer": pointer, "message": message})

    def identity(self, reference: Any, at: str) -> None:
        """Note an agent reference that tells agents of one name apart."""
        if isinstance(reference, dict) and "identity" in reference:
            name = reference.get("identity")
            self.add("duplicate-agent", at, f"two agents share a name; this one is {name!r}")

    def run(
        self, source: Json, body: Json, calls: Calls, answered: frozenset[str], at: str
    ) -> None:
        """Note what binds one run; ``answered`` are the calls with an output anywhere."""
        self.identity(source["current_agent"], f"{at}/current_agent")
        data = as_object(as_object(source.get("current_step")).get("data"))
        if data.get("response_accepted"):
            message = "the response was accepted but not processed"
            self.add("response-accepted", f"{at}/current_step/data/response_accepted", message)
        for key, (code, message) in _FIELDS.items():
            if source.get(key) is not None:
                self.add(code, f"{at}/{key}", message)
        if calls.ambiguous is not None:
            message = f"call id {calls.ambiguous!r} names two different calls"
            self.add("ambiguous-call", f"{at}/generated_items", message)
        nested = as_object(body["response"]).get("nested_runs", {})
        current = {wire.call_id(entry["item"]) for entry in response.members(body)}
        for identifier, mark in as_object(source["context"].get("tool_invocations")).items():
            mark = as_object(mark)
            if identifier not in calls.by_id and _is_filtered_handoff(identifier, mark, body):
                continue
            lost = mark.get("executed") and not mark.get("completed") and identifier not in answered
            uncommitted = identifier in current and identifier not in calls.answered
            if identifier not in nested and (lost or (mark.get("completed") and uncommitted)):
                place = f"{at}/context/tool_invocations{document.pointer([identifier])}"
                message = f"call {identifier!r} was started and its output was never committed"
                self.add("call-in-flight", place, message)


def _is_filtered_handoff(identifier: str, mark: Json, body: Json) -> bool:
    """Whether the call is a handoff that was made and then filtered out of the history.

    One in the last response was made only where the run stands between two turns.
    """
    made = body["responses"] if body["status"] == "run_again" else body["responses"][:-1]
    for answer in made:
        for item in answer["output"]:
            if item.get("type") == "function_call" and item["call_id"] == identifier:
                key = lookup_key(item)
                scope = ledger.scope_of("function_call", item, key, None, handoff=True)
                return scope == mark.get("approval_scope")
    return False
