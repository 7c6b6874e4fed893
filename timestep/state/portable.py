"""From a native openai-agents snapshot to the portable document."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

from timestep.state import (
    decisions,
    document,
    generate,
    guardrails,
    items,
    patch,
    response,
    snapshot,
    status,
    usage,
    wire,
)
from timestep.state.blockers import Blockers
from timestep.state.calls import Calls
from timestep.state.document import Converted
from timestep.state.shape import Json, as_list, as_object

_SHARED = frozenset(
    {
        "original_input",
        "model_responses",
        "last_model_response",
        "generated_items",
        "session_items",
        "last_processed_response",
    }
)
"""Fields made of the snapshot's own parts, where plain equality cannot take true for 1."""

_LOCAL_OUTPUTS = frozenset(wire.CALL_OF_OUTPUT) - {"mcp_approval_response"}


def to_portable(snapshot_json: Mapping[str, Any]) -> Converted:
    """The portable document of a snapshot that openai-agents wrote, of any schema 1.0 to 1.21.

    Pure. ``lossy`` names what is never stored: tracing API keys and MCP tool configurations.
    Whatever binds the run to Python stands in the document's ``cannot_cross``.

    Raises ``DocumentError`` (``malformed``) and ``SnapshotError`` (``foreign-writer``,
    ``unknown-schema``).
    """
    source = snapshot.check(snapshot_json)
    kept, lossy = snapshot.without_secrets(source)
    blockers = Blockers()
    known: dict[int, Calls] = {}
    body, taken = read_run(kept, "", blockers, known)
    facts: Json = {
        "format": document.FORMAT,
        "version": document.VERSION,
        "writer": writer(kept["$schemaVersion"]),
        **body,
        "decisions": document.sorted_set(taken),
    }
    if blockers.entries:
        facts["cannot_cross"] = blockers.entries
    known[id(facts)] = known[id(body)]
    facts["residue"] = {"python": {"patch": difference(facts, kept, known)}}
    document.validate(facts)
    return Converted(facts, tuple(lossy))


def difference(facts: Json, kept: Json, known: dict[int, Calls]) -> list[patch.Operation]:
    """The patch from the snapshot the core gives to the real one."""
    generated = generate.generate(facts, known, own=True)
    operations = patch.diff(generated, kept)
    exact = all(
        generated.get(key) != value or patch.same(generated[key], value)
        for key, value in kept.items()
        if key not in _SHARED
    )
    if exact and (not patch.moves(operations) or patch.apply(generated, operations) == kept):
        return operations
    return [{"op": "replace", "path": "", "value": kept}]


@cache
def writer(schema: str) -> Json:
    """Who writes: this port, and the SDK that is installed."""
    return {
        "port": "timestep",
        "port_version": _version("timestep"),
        "sdk": "openai-agents",
        "sdk_version": _version("openai-agents"),
        "sdk_schema": schema,
        "language": "python",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def read_run(
    source: Json, at: str, blockers: Blockers, known: dict[int, Calls]
) -> tuple[Json, list[Json]]:
    """The facts of one run, root or nested, and the decisions taken in it and below it.

    The run's calls are added to ``known``, under the identity of its facts.
    """
    context = source["context"]
    keys = response.keys(source)
    history = as_list(source.get("generated_items"))
    entries, indexes = _items(history, keys, f"{at}/generated_items", blockers)
    interrupted = status.step(source) == "next_step_interruption"
    body: Json = {
        "status": "completed",
        "current_turn": source["current_turn"],
        "max_turns": source["max_turns"],
        "current_agent": source["current_agent"]["name"],
        "input": _input(source["original_input"], f"{at}/original_input", blockers),
    }
    pending = _wire_items(source.get("pending_input"), f"{at}/pending_input", blockers)
    if pending:
        body["pending_input"] = pending
    body["items"] = entries
    taken: list[Json] = []
    body["response"] = _response(source, entries, indexes, keys, at, blockers, known, taken)
    body["interruptions"] = _interruptions(source, at, blockers) if interrupted else []
    body["responses"] = [
        _model_response(entry, f"{at}/model_responses/{index}", blockers)
        for index, entry in enumerate(as_list(source.get("model_responses")))
    ]
    body["usage"] = usage.to_portable(context.get("usage"))
    body.update(_context(context))
    body["tool_use"] = _tool_use(source.get("tool_use_tracker"))
    body["guardrails"] = guardrails.to_portable(source)
    body.update(_settings(source))
    calls = known[id(body)] = Calls.of(body)
    own = decisions.read(context, calls)
    _mark_executed(entries, own, calls, as_object(context.get("tool_invocations")))
    answered = calls.answered | _answered_in_session(source)
    body["status"] = status.status(source, body, answered, at, blockers)
    if body["status"] == "completed":
        output = status.final_output(body)
        if output is not status.NOTHING:
            body["final_output"] = output
    blockers.run(source, body, calls, answered, at)
    return body, [*own, *taken]


def _items(
    history: list[Any], keys: Mapping[str, Json], at: str, blockers: Blockers
) -> tuple[list[Json], list[int]]:
    entries: list[Json] = []
    indexes: list[int] = []
    for index, entry in enumerate(history):
        if isinstance(entry, dict) and entry.get("type") == items.APPROVAL:
            blockers.identity(entry.get("agent"), f"{at}/{index}/agent")
            continue
        item = items.to_portable(entry, keys)
        if item is None:
            blockers.add("unsupported-item", f"{at}/{index}", "an item of no portable form")
            continue
        for name in ("agent", "source_agent", "target_agent"):
            blockers.identity(entry.get(name), f"{at}/{index}/{name}")
        entries.append(item)
        indexes.append(index)
    return entries, indexes


def _wire_items(value: Any, at: str, blockers: Blockers) -> list[Json]:
    found: list[Json] = []
    for index, item in enumerate(as_list(value)):
        if wire.is_portable(item):
            found.append(wire.to_portable(item))
        else:
            blockers.add("unsupported-item", f"{at}/{index}", "an item of no portable form")
    return found


def _input(value: str | list[Any], at: str, blockers: Blockers) -> str | list[Json]:
    return value if isinstance(value, str) else _wire_items(value, at, blockers)


def _response(
    source: Json,
    entries: list[Json],
    indexes: list[int],
    keys: Mapping[str, Json],
    at: str,
    blockers: Blockers,
    known: dict[int, Calls],
    taken: list[Json],
) -> Json | None:
    processed = source.get("last_processed_response")
    if not processed:
        return None
    history = as_list(source.get("generated_items"))
    portable = response.to_portable(processed, history, entries, indexes, keys)
    at = f"{at}/last_processed_response/functions"
    runs: Json = {}
    for index, function in enumerate(as_list(processed.get("functions"))):
        inner = as_object(function).get("agent_run_state")
        identifier = as_object(as_object(function).get("tool_call")).get("call_id")
        if isinstance(inner, dict) and isinstance(identifier, str) and identifier:
            place = f"{at}/{index}/agent_run_state"
            snapshot.check_run(inner, place)
            runs[identifier], below = read_run(inner, place, blockers, known)
            taken += below
    if runs:
        portable["nested_runs"] = runs
    return portable


def _interruptions(source: Json, at: str, blockers: Blockers) -> list[Json]:
    step = source["current_step"]
    data = as_object(step.get("data"))
    listed = data.get("interruptions", step.get("interruptions"))
    found: list[Json] = []
    for index, entry in enumerate(as_list(listed)):
        place = f"{at}/current_step/data/interruptions/{index}"
        pending = items.interruption(entry)
        if pending is None:
            blockers.add("unsupported-approval", place, "an approval of no portable form")
        else:
            blockers.identity(as_object(entry).get("agent"), f"{place}/agent")
            found.append(pending)
    return found


def _model_response(entry: Any, at: str, blockers: Blockers) -> Json:
    entry = as_object(entry)
    found: Json = {
        "output": _wire_items(entry.get("output"), f"{at}/output", blockers),
        "usage": usage.to_portable(entry.get("usage")),
    }
    for key in ("response_id", "request_id"):
        if isinstance(entry.get(key), str):
            found[key] = entry[key]
    return found


def _context(context: Json) -> Json:
    data, meta = context.get("context"), context.get("context_meta")
    portable: Json = {"context": data if isinstance(data, dict) else None}
    if as_object(meta).get("omitted") or not (data is None or isinstance(data, dict)):
        portable["context_type"] = "omitted"
        portable["context"] = None
    elif as_object(meta).get("requires_deserializer"):
        portable["context_type"] = "typed"
    else:
        portable["context_type"] = "none" if data is None else "mapping"
    if context.get("tool_input") is not None:
        portable["tool_input"] = context["tool_input"]
    return portable


def _tool_use(tracker: Any) -> Json:
    return {
        agent: [name for name in tools if isinstance(name, str)]
        for agent, tools in as_object(tracker).items()
        if isinstance(tools, list)
    }


def _settings(source: Json) -> Json:
    settings: Json = {}
    conversation = {
        key: source[key]
        for key in ("conversation_id", "previous_response_id")
        if isinstance(source.get(key), str)
    }
    if conversation:
        settings["conversation"] = conversation
    if source.get("reasoning_item_id_policy") in ("preserve", "omit"):
        settings["reasoning_item_id_policy"] = source["reasoning_item_id_policy"]
    persisted = source.get("current_turn_persisted_item_count")
    counted = isinstance(persisted, int) and not isinstance(persisted, bool) and persisted > 0
    settings["session"] = {"persisted_items": persisted if counted else 0}
    trace = as_object(source.get("trace"))
    if isinstance(trace.get("id"), str) and trace["id"] != "no-op":
        name = trace.get("workflow_name")
        settings["trace"] = {
            "id": trace["id"],
            "workflow_name": name if isinstance(name, str) else generate.WORKFLOW_NAME,
        }
        if isinstance(trace.get("group_id"), str):
            settings["trace"]["group_id"] = trace["group_id"]
        if isinstance(trace.get("metadata"), dict):
            settings["trace"]["metadata"] = trace["metadata"]
    return settings


def _answered_in_session(source: Json) -> frozenset[str]:
    """Answers the model no longer sees, because a handoff filtered them out of the history."""
    session = as_list(source.get("session_items"))
    if len(session) == len(as_list(source.get("generated_items"))):
        return frozenset()
    answers = (
        wire.answered_call(raw)
        for entry in session
        if isinstance(raw := as_object(entry).get("raw_item"), dict)
    )
    return frozenset(answer[1] for answer in answers if answer is not None)


def _mark_executed(entries: list[Json], own: list[Json], calls: Calls, ledger: Json) -> None:
    """Mark the outputs of tools that really ran.

    That is, of calls that were not rejected, and are no handoffs that were passed over.
    """
    idle = {identifier for identifier, call in calls.by_id.items() if call.handoff}
    idle |= _rejected(own, calls) if own else frozenset()
    for entry in entries:
        if entry["type"] != "tool_call_output_item":
            continue
        item = entry["item"]
        if item.get("type") in _LOCAL_OUTPUTS and item.get("call_id") not in idle:
            mark = ledger.get(item.get("call_id"))
            if mark is None or as_object(mark).get("completed") is True:
                entry["executed"] = True


def _rejected(own: list[Json], calls: Calls) -> frozenset[str]:
    exact = {entry["call_id"]: entry["decision"] for entry in own if entry["scope"] == "call"}
    sticky = [
        entry["tool"]
        for entry in own
        if entry["scope"] == "always" and entry["decision"] == "reject"
    ]
    covered = {
        identifier
        for identifier, call in calls.by_id.items()
        if sticky and identifier not in exact and decisions.tool_of(call) in sticky
    }
    return frozenset(covered | {key for key, value in exact.items() if value == "reject"})
