"""From the portable document to a native openai-agents snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from timestep.state import crossing, decisions, document, ledger, patch
from timestep.state.calls import Calls
from timestep.state.document import Converted
from timestep.state.generate import Run, assign, generate, nested_runs, runs_of
from timestep.state.shape import Json

if TYPE_CHECKING:
    from agents import Agent


_OWNED_APPROVALS: Final = 18
_HOSTED_APPROVALS: Final = 14
_LEDGER: Final = 15
"""The minor schema versions that brought approvals by agent, by hosted server, and the ledger."""


def to_native(
    portable: Mapping[str, Any], agent: Agent[Any] | None = None, *, context: Any = None
) -> Converted:
    """The snapshot openai-agents loads, from a document of either language.

    A document with a residue of Python comes back byte for byte, with the decisions another
    writer added. Any other is taken over: checked, put right, and written as openai-agents 0.24
    writes it. With ``agent`` the live agents are checked and pending handoffs get their names.
    ``context`` is the run's context where the snapshot does not hold its data.

    Raises ``DocumentError``, ``CrossingError`` and ``GraphError``.
    """
    document.validate(portable)
    facts = document.core(portable)
    live = None
    if agent is not None:
        from timestep.state import graph

        live = graph.Graph.of(agent)
    own = portable.get("residue", {}).get("python")
    if own is not None:
        if live is not None:
            graph.check(facts, live, crossing=False)
        snapshot, lossy = _restore(facts, own)
        return Converted(snapshot, tuple(lossy))
    crossing.check(facts, has_context=context is not None)
    if live is not None:
        graph.check(facts, live, crossing=True)
    snapshot = generate(crossing.prepare(facts, live))
    if isinstance(context, Mapping) and facts["context_type"] == "omitted":
        snapshot["context"] = {**snapshot["context"], "context": dict(context)}
    return Converted(snapshot, tuple(_lossy(portable)))


def _restore(facts: Json, own: Json) -> tuple[Json, list[str]]:
    """The snapshot the patch was taken from, with the decisions added since recorded in it."""
    before = own.get("decisions")
    if before is None:
        return patch.apply(generate(facts, own=True), own["patch"]), []
    snapshot = patch.apply(generate({**facts, "decisions": before}, own=True), own["patch"])
    added = [decision for decision in facts["decisions"] if decision not in before]
    if not added:
        return snapshot, []
    lossy: list[str] = []
    runs = runs_of(facts)
    assigned = assign(added, runs)
    minor = int(snapshot["$schemaVersion"].rpartition(".")[2])
    by_id = {id(run.body): run for run in runs}
    snapshot = _record(snapshot, facts, by_id, assigned, minor)
    if minor < _OWNED_APPROVALS:
        lossy = [
            f"/decisions/{facts['decisions'].index(decision)}"
            for decision in added
            if decision["scope"] == "always" and decision["tool"]["kind"] == "function"
        ]
    return snapshot, lossy


def _record(
    snapshot: Json, body: Json, runs: dict[int, Run], assigned: dict[int, list[Json]], minor: int
) -> Json:
    """The snapshot with the decisions of each run recorded in that run's context."""
    taken = assigned[id(body)]
    if taken:
        calls = runs[id(body)].calls
        context = dict(snapshot["context"])
        decisions.record(context, _as_of(minor, taken, calls), calls)
        _name_owners(context, snapshot)
        if minor >= _LEDGER:
            _bind_calls(context, taken, calls)
        snapshot = {**snapshot, "context": context}
    nested = nested_runs(body)
    if not any(assigned[identifier] for identifier in assigned if identifier != id(body)):
        return snapshot
    processed = snapshot["last_processed_response"]
    functions = []
    for function in processed["functions"]:
        inner = nested.get(function.get("tool_call", {}).get("call_id"))
        if inner is not None and "agent_run_state" in function:
            state = _record(function["agent_run_state"], inner, runs, assigned, minor)
            function = {**function, "agent_run_state": state}
        functions.append(function)
    return {**snapshot, "last_processed_response": {**processed, "functions": functions}}


def _as_of(minor: int, taken: list[Json], calls: Calls) -> list[Json]:
    """The decisions in the form a snapshot of an older schema can hold.

    Before approvals had owners, only a decision about one call is honoured; one that covers every
    call becomes one for each call that waits.
    """
    return [held for decision in taken for held in _held(minor, decision, calls)]


def _held(minor: int, decision: Json, calls: Calls) -> Iterator[Json]:
    tool = decision["tool"]
    if tool["kind"] == "function" and minor < _OWNED_APPROVALS:
        name = decisions.approval_key(tool["key"])
    elif tool["kind"] == "mcp" and minor < _HOSTED_APPROVALS:
        name = tool["name"]
    else:
        yield decision
        return
    by_name = {**decision, "tool": {"kind": "function_name", "name": name}}
    if decision["scope"] == "call":
        yield by_name
        return
    for call in calls.pending():
        if decisions.tool_of(call) == tool:
            yield {**by_name, "scope": "call", "call_id": call.id}


def _name_owners(context: Json, snapshot: Json) -> None:
    """Give the owners of new records the identity that tells agents of one name apart."""
    step = snapshot.get("current_step") or {}
    identities: dict[str, Json] = {}
    for entry in step.get("data", {}).get("interruptions", []):
        reference = entry.get("agent")
        if isinstance(reference, dict) and "identity" in reference:
            identities.setdefault(reference["name"], reference)
    if identities and "function_tool_approvals" in context:
        known = snapshot["context"].get("function_tool_approvals", [])
        context["function_tool_approvals"] = [
            entry
            if entry in known or entry["agent"]["name"] not in identities
            else {**entry, "agent": identities[entry["agent"]["name"]]}
            for entry in context["function_tool_approvals"]
        ]


def _bind_calls(context: Json, taken: list[Json], calls: Calls) -> None:
    """The SDK binds a call id when it is decided, and ignores a decision about an unbound one."""
    bound = context.get("tool_invocations") or {}
    decided = {decision.get("call_id") for decision in taken}
    missing = {
        identifier: call
        for identifier, call in calls.by_id.items()
        if identifier in decided and identifier not in bound
    }
    if missing:
        fresh = ledger.entries(Calls(missing, calls.answered), lambda _: False)
        context["tool_invocations"] = {**bound, **fresh}


def _lossy(portable: Mapping[str, Any]) -> Iterator[str]:
    """What of the document Python has no place for."""
    if portable["context_type"] == "typed":
        yield "/context"
    for language, foreign in portable.get("residue", {}).items():
        if foreign["patch"]:
            yield f"/residue/{language}"
