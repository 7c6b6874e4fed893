"""From a native openai-agents snapshot to the portable document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from timestep.state import (
    decisions,
    document,
    generate,
    guardrails,
    items,
    ledger,
    residue,
    response,
    snapshot,
    usage,
    wire,
)
from timestep.state.calls import Calls, lookup_key
from timestep.state.document import Converted

Json = dict[str, Any]

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
    notes = Notes()
    body, taken = read_run(kept, "", notes)
    facts: Json = {
        "format": document.FORMAT,
        "version": document.VERSION,
        "writer": writer(kept["$schemaVersion"]),
        **body,
        "decisions": document.sorted_set(taken),
    }
    if notes.cannot_cross:
        facts["cannot_cross"] = notes.cannot_cross
    known = {**notes.calls, id(facts): notes.calls[id(body)]}
    facts["residue"] = {"python": {"patch": difference(facts, kept, known)}}
    document.validate(facts)
    return Converted(facts, tuple(lossy))


def difference(facts: Json, kept: Json, known: dict[int, Calls]) -> list[residue.Operation]:
    """The patch from the snapshot the core gives to the real one."""
    generated = generate.generate(facts, known)
    patch = residue.diff(generated, kept)
    exact = all(
        generated.get(key) != value or residue.same(generated[key], value)
        for key, value in kept.items()
        if key not in _SHARED
    )
    if exact and (not residue.moves(patch) or residue.apply(generated, patch) == kept):
        return patch
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


@dataclass
class Notes:
    """What is found on the way that binds a run to Python, once for each reason.

    ``calls`` are the calls of each run read so far, by the identity of the run.
    """

    cannot_cross: list[Json] = field(default_factory=list)
    calls: dict[int, Calls] = field(default_factory=dict)

    def bind(self, code: str, pointer: str, message: str) -> None:
        """Note a reason why the run cannot cross."""
        if all(entry["code"] != code for entry in self.cannot_cross):
            self.cannot_cross.append({"code": code, "pointer": pointer, "message": message})


def read_run(source: Json, at: str, notes: Notes) -> tuple[Json, list[Json]]:
    """The facts of one run, root or nested, and the decisions taken in it and below it."""
    context = source["context"]
    keys = response.keys(source)
    history = _list(source.get("generated_items"))
    entries, indexes = _items(history, keys, f"{at}/generated_items", notes)
    interrupted = _step(source) == "next_step_interruption"
    body: Json = {
        "status": "completed",
        "current_turn": source["current_turn"],
        "max_turns": source["max_turns"],
        "current_agent": source["current_agent"]["name"],
        "input": _input(source["original_input"], f"{at}/original_input", notes),
    }
    pending = _wire_items(source.get("pending_input"), f"{at}/pending_input", notes)
    if pending:
        body["pending_input"] = pending
    body["items"] = entries
    taken: list[Json] = []
    body["response"] = _response(source, entries, indexes, keys, at, notes, taken)
    body["interruptions"] = _interruptions(source, at, notes) if interrupted else []
    body["responses"] = [
        _model_response(entry, f"{at}/model_responses/{index}", notes)
        for index, entry in enumerate(_list(source.get("model_responses")))
    ]
    body["usage"] = usage.to_portable(context.get("usage"))
    body.update(_context(context))
    body["tool_use"] = _tool_use(source.get("tool_use_tracker"))
    body["guardrails"] = guardrails.to_portable(source)
    body.update(_settings(source))
    calls = notes.calls[id(body)] = Calls.of(body)
    own = decisions.read(context, calls)
    _mark_executed(entries, own, calls, _object(context.get("tool_invocations")), context)
    answered = calls.answered | _answered_in_session(source)
    body["status"] = _status(source, body, answered, at, notes)
    if body["status"] == "completed":
        output = _final_output(body)
        if output is not _NOTHING:
            body["final_output"] = output
    _bind(source, body, calls, answered, at, notes)
    return body, [*own, *taken]


def _step(source: Json) -> Any:
    return _object(source.get("current_step")).get("type")


def _items(
    history: list[Any], keys: Mapping[str, Json], at: str, notes: Notes
) -> tuple[list[Json], list[int]]:
    entries: list[Json] = []
    indexes: list[int] = []
    for index, entry in enumerate(history):
        if isinstance(entry, dict) and entry.get("type") == items.APPROVAL:
            _identity(entry.get("agent"), f"{at}/{index}/agent", notes)
            continue
        item = items.to_portable(entry, keys)
        if item is None:
            notes.bind("unsupported-item", f"{at}/{index}", "an item of no portable form")
            continue
        for name in ("agent", "source_agent", "target_agent"):
            _identity(entry.get(name), f"{at}/{index}/{name}", notes)
        entries.append(item)
        indexes.append(index)
    return entries, indexes


def _identity(reference: Any, at: str, notes: Notes) -> None:
    if isinstance(reference, dict) and "identity" in reference:
        name = reference.get("identity")
        notes.bind("duplicate-agent", at, f"two agents share a name; this one is {name!r}")


def _wire_items(value: Any, at: str, notes: Notes) -> list[Json]:
    found: list[Json] = []
    for index, item in enumerate(_list(value)):
        if wire.is_portable(item):
            found.append(wire.to_portable(item))
        else:
            notes.bind("unsupported-item", f"{at}/{index}", "an item of no portable form")
    return found


def _input(value: str | list[Any], at: str, notes: Notes) -> str | list[Json]:
    return value if isinstance(value, str) else _wire_items(value, at, notes)


def _response(
    source: Json,
    entries: list[Json],
    indexes: list[int],
    keys: Mapping[str, Json],
    at: str,
    notes: Notes,
    taken: list[Json],
) -> Json | None:
    processed = source.get("last_processed_response")
    if not processed:
        return None
    history = _list(source.get("generated_items"))
    portable = response.to_portable(processed, history, entries, indexes, keys)
    at = f"{at}/last_processed_response/functions"
    runs: Json = {}
    for index, function in enumerate(_list(processed.get("functions"))):
        inner = _object(function).get("agent_run_state")
        identifier = _object(_object(function).get("tool_call")).get("call_id")
        if isinstance(inner, dict) and isinstance(identifier, str) and identifier:
            place = f"{at}/{index}/agent_run_state"
            snapshot.check_run(inner, place)
            runs[identifier], below = read_run(inner, place, notes)
            taken += below
    if runs:
        portable["nested_runs"] = runs
    return portable


def _interruptions(source: Json, at: str, notes: Notes) -> list[Json]:
    step = source["current_step"]
    data = _object(step.get("data"))
    listed = data.get("interruptions", step.get("interruptions"))
    found: list[Json] = []
    for index, entry in enumerate(_list(listed)):
        place = f"{at}/current_step/data/interruptions/{index}"
        pending = items.interruption(entry)
        if pending is None:
            notes.bind("unsupported-approval", place, "an approval of no portable form")
        else:
            _identity(_object(entry).get("agent"), f"{place}/agent", notes)
            found.append(pending)
    return found


def _model_response(entry: Any, at: str, notes: Notes) -> Json:
    entry = _object(entry)
    found: Json = {
        "output": _wire_items(entry.get("output"), f"{at}/output", notes),
        "usage": usage.to_portable(entry.get("usage")),
    }
    for key in ("response_id", "request_id"):
        if isinstance(entry.get(key), str):
            found[key] = entry[key]
    return found


def _context(context: Json) -> Json:
    data, meta = context.get("context"), context.get("context_meta")
    portable: Json = {"context": data if isinstance(data, dict) else None}
    if _object(meta).get("omitted") or not (data is None or isinstance(data, dict)):
        portable["context_type"] = "omitted"
        portable["context"] = None
    elif _object(meta).get("requires_deserializer"):
        portable["context_type"] = "typed"
    else:
        portable["context_type"] = "none" if data is None else "mapping"
    if context.get("tool_input") is not None:
        portable["tool_input"] = context["tool_input"]
    return portable


def _tool_use(tracker: Any) -> Json:
    return {
        agent: [name for name in tools if isinstance(name, str)]
        for agent, tools in _object(tracker).items()
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
    trace = _object(source.get("trace"))
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
    session = _list(source.get("session_items"))
    if len(session) == len(_list(source.get("generated_items"))):
        return frozenset()
    answers = (
        wire.answered_call(raw)
        for entry in session
        if isinstance(raw := _object(entry).get("raw_item"), dict)
    )
    return frozenset(answer[1] for answer in answers if answer is not None)


def _mark_executed(
    entries: list[Json], own: list[Json], calls: Calls, ledger: Json, context: Json
) -> None:
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
            if mark is None or _object(mark).get("completed") is True:
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


def _status(source: Json, body: Json, answered: frozenset[str], at: str, notes: Notes) -> str:
    step = _step(source)
    if step == "next_step_interruption":
        return "interrupted"
    if step == "next_step_run_again":
        return "run_again"
    if not (body["current_turn"] or body["responses"] or response.members(body)):
        return "not_started"
    open_calls = response.unanswered(_last_calls(body), answered)
    if open_calls:
        message = f"no current step, but call {open_calls[0]!r} has no output"
        notes.bind("step-missing", f"{at}/current_step", message)
    return "completed"


def _last_calls(body: Json) -> Iterator[Json]:
    if body["response"] is not None:
        return (entry["item"] for entry in response.members(body))
    return iter(body["responses"][-1]["output"] if body["responses"] else ())


_NOTHING = object()


def _final_output(body: Json) -> Any:
    for entry in reversed(body["items"]):
        if entry["type"] == "message_output_item":
            return _text_of(entry["item"])
        if entry["type"] == "tool_call_output_item":
            return entry["output"] if "output" in entry else entry["item"].get("output")
        if entry["type"] in ("tool_call_item", "handoff_call_item"):
            break
    return _NOTHING


def _text_of(message: Json) -> Any:
    parts = [
        part["text"]
        for part in _list(message.get("content"))
        if isinstance(part, dict)
        and part.get("type") == "output_text"
        and isinstance(part.get("text"), str)
    ]
    return "".join(parts) if parts else _NOTHING


def _bind(
    source: Json, body: Json, calls: Calls, answered: frozenset[str], at: str, notes: Notes
) -> None:
    """Note what binds this run to Python."""
    _identity(source["current_agent"], f"{at}/current_agent", notes)
    data = _object(_object(source.get("current_step")).get("data"))
    if data.get("response_accepted"):
        message = "the response was accepted but not processed"
        notes.bind("response-accepted", f"{at}/current_step/data/response_accepted", message)
    if source.get("pending_session_write") is not None:
        message = "a session write is not acknowledged"
        notes.bind("pending-session-write", f"{at}/pending_session_write", message)
    if source.get("terminal_unrecoverable") is not None:
        message = "the final output was accepted but not persisted"
        notes.bind("terminal-unrecoverable", f"{at}/terminal_unrecoverable", message)
    if source.get("sandbox") is not None:
        notes.bind("sandbox-state", f"{at}/sandbox", "the run holds a sandbox")
    if calls.ambiguous is not None:
        message = f"call id {calls.ambiguous!r} names two different calls"
        notes.bind("ambiguous-call", f"{at}/generated_items", message)
    nested = _object(body["response"]).get("nested_runs", {})
    current = {wire.call_id(entry["item"]) for entry in response.members(body)}
    for identifier, mark in _object(source["context"].get("tool_invocations")).items():
        mark = _object(mark)
        if identifier not in calls.by_id and _is_filtered_handoff(identifier, mark, body):
            continue
        lost = mark.get("executed") and not mark.get("completed") and identifier not in answered
        uncommitted = identifier in current and identifier not in calls.answered
        if identifier not in nested and (lost or (mark.get("completed") and uncommitted)):
            place = f"{at}/context/tool_invocations{document.pointer([identifier])}"
            message = f"call {identifier!r} was started and its output was never committed"
            notes.bind("call-in-flight", place, message)


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


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
