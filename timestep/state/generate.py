"""From the portable document to the snapshot openai-agents 0.24 writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from timestep.state import decisions as approvals
from timestep.state import guardrails, items, ledger, response, session, usage, wire
from timestep.state.calls import Call, Calls
from timestep.state.shape import Json
from timestep.state.snapshot import SCHEMA

WORKFLOW_NAME: Final = "Agent workflow"
"""The SDK's own name of a workflow that was given none."""

_CONTEXT_META: Final = {
    "none": ("none", "none", False, False),
    "mapping": ("mapping", "mapping", False, False),
    "typed": ("custom", "context_serializer", True, False),
    "omitted": ("custom", "omitted", True, True),
}


def generate(
    facts: Json, known: Mapping[int, Calls] = MappingProxyType({}), *, own: bool = False
) -> Json:
    """The whole snapshot of a document's core, in the SDK's key order.

    With ``own`` the run was made by this SDK, so what it always writes is taken for granted.
    Otherwise the run crosses, and only facts are written.

    Containers are new, wire items are shared with the document. What the core does not hold
    (descriptions and schemas of tools, where a tool comes from) is left out. ``known`` are calls
    found before, by the identity of their run.
    """
    runs = runs_of(facts, known)
    assigned = assign(facts["decisions"], runs)
    return _run(facts, {id(run.body): run for run in runs}, assigned, own)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the tree: its facts, its calls, and the agents that took part."""

    body: Json
    calls: Calls
    agents: frozenset[str]


def runs_of(body: Json, known: Mapping[int, Calls] = MappingProxyType({})) -> list[Run]:
    """The run and those nested in it, the outermost first."""
    agents = {entry["agent"] for entry in body["items"]} | {body["current_agent"]}
    found = [Run(body, known.get(id(body)) or Calls.of(body), frozenset(agents))]
    for nested in nested_runs(body).values():
        found += runs_of(nested, known)
    return found


def nested_runs(body: Json) -> Json:
    """The runs inside the agent-as-tool calls of a run, by call id."""
    nested: Json = (body["response"] or {}).get("nested_runs", {})
    return nested


def assign(taken: list[Json], runs: list[Run]) -> dict[int, list[Json]]:
    """The decisions of each run: openai-agents keeps them where the call is made.

    A decision about a call goes to the run that made it, one that covers every call to every run
    that could make one; the outermost run keeps what no run claims.
    """
    assigned: dict[int, list[Json]] = {id(run.body): [] for run in runs}
    for decision in taken:
        owners = [run for run in runs if _claims(run, decision)] if len(runs) > 1 else runs
        for run in owners or runs[:1]:
            assigned[id(run.body)].append(decision)
    return assigned


def _claims(run: Run, decision: Json) -> bool:
    if decision["scope"] == "call":
        return decision["call_id"] in run.calls.by_id
    tool = decision["tool"]
    if tool["kind"] == "function":
        return tool["agent"] in run.agents
    return any(approvals.tool_of(call) == tool for call in run.calls.by_id.values())


def _run(body: Json, runs: dict[int, Run], assigned: dict[int, list[Json]], own: bool) -> Json:
    calls = runs[id(body)].calls
    taken = assigned[id(body)]
    pending = [items.approval(entry, own=own) for entry in body["interruptions"]]
    history, owned = _history(body, pending, own)
    kept, indexes = session.items(history, calls, taken if own else ())
    responses = [_model_response(entry) for entry in body["responses"]]
    conversation = body.get("conversation", {})
    snapshot: Json = {
        "$schemaVersion": SCHEMA,
        "current_turn": body["current_turn"],
        "current_agent": {"name": body["current_agent"]},
        "original_input": body["input"],
        "pending_input": body.get("pending_input", []),
        "model_responses": responses,
        "context": _context(body, calls, taken),
        "tool_use_tracker": body["tool_use"],
        "max_turns": body["max_turns"],
        "no_active_agent_run": True,
        **guardrails.to_python(body["guardrails"]),
        "conversation_id": conversation.get("conversation_id"),
        "previous_response_id": conversation.get("previous_response_id"),
        "auto_previous_response_id": False,
        "generated_prompt_cache_key": None,
        "reasoning_item_id_policy": body.get("reasoning_item_id_policy"),
        "nested_history_owned_session_item_refs": [],
        "generated_session_item_indexes": indexes,
    }
    if owned is not None:
        snapshot["current_response_generated_item_ownership"] = owned
    snapshot["generated_items"] = history
    snapshot["session_items"] = kept
    snapshot["current_step"] = _step(body["status"], pending)
    snapshot["last_model_response"] = responses[-1] if responses else None
    snapshot["last_processed_response"] = (
        None
        if body["response"] is None
        else response.to_python(
            body, lambda inner: _run(inner, runs, assigned, own), pending, own=own
        )
    )
    snapshot["current_turn_persisted_item_count"] = body["session"]["persisted_items"]
    snapshot["trace"] = _trace(body.get("trace"))
    return snapshot


def _history(body: Json, pending: list[Json], own: bool) -> tuple[list[Json], Json | None]:
    """The history with the placeholders of this run's own approvals, and who owns its tail."""
    history = [items.to_python(entry, own=own) for entry in body["items"]]
    inner = {
        wire.call_id(entry["item"])
        for nested in nested_runs(body).values()
        for entry in nested["interruptions"]
    }
    waiting = [entry for entry in pending if wire.call_id(entry["raw_item"]) not in inner]
    processed = body["response"]
    if processed is None or "items" in processed:
        return [*history, *waiting], None
    end = processed["start"] + processed["count"]
    while end < len(history) and _comes_before_approvals(history[end]):
        end += 1
    history[end:end] = waiting
    if not waiting or len(waiting) != len(pending) or not processed["count"]:
        return history, None
    return history, {
        "start": processed["start"],
        "end": len(history),
        "interruptions": list(range(end, end + len(waiting))),
    }


def _comes_before_approvals(entry: Json) -> bool:
    """The SDK adds outputs of function tools before the approvals, all other outputs after."""
    return bool(
        entry["type"] == "tool_call_output_item"
        and entry["raw_item"].get("type") == "function_call_output"
    )


def _context(body: Json, calls: Calls, taken: list[Json]) -> Json:
    kind = body["context_type"]
    original, serialized, requires, omitted = _CONTEXT_META[kind]
    running = nested_runs(body)

    def is_running(call: Call) -> bool:
        return call.id in running

    context: Json = {
        "usage": usage.to_python(body["usage"]),
        "approvals": {},
        "tool_invocations": ledger.entries(calls, is_running),
        "context": {} if kind == "omitted" else body["context"],
        "context_meta": {
            "original_type": original,
            "serialized_via": serialized,
            "requires_deserializer": requires,
            "omitted": omitted,
        },
    }
    if "tool_input" in body:
        context["tool_input"] = body["tool_input"]
    approvals.record(context, taken, calls)
    return context


def _model_response(entry: Json) -> Json:
    return {
        "usage": usage.to_python(entry["usage"]),
        "output": [wire.to_python(item) for item in entry["output"]],
        "response_id": entry.get("response_id"),
        "request_id": entry.get("request_id"),
    }


def _step(status: str, pending: list[Json]) -> Json | None:
    if status == "run_again":
        return {"type": "next_step_run_again"}
    if status != "interrupted":
        return None
    return {
        "type": "next_step_interruption",
        "data": {
            "interruptions": pending,
            "response_accepted": False,
            "llm_end_hooks_started": True,
        },
    }


def _trace(trace: Json | None) -> Json | None:
    return None if trace is None else {"object": "trace", **trace}
