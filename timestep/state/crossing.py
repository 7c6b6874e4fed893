"""Taking over a run that TypeScript wrote: what is refused, and what is put right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from timestep.errors import CrossingError
from timestep.state import decisions, response, wire
from timestep.state.calls import Calls, same_call
from timestep.state.generate import nested_runs
from timestep.state.graph import AgentView, Graph
from timestep.state.shape import Json

_BY_NAME: Final = frozenset({"function_name", "native"})
"""What a decision is known by only a name for; older snapshots keep every kind of tool so."""

_MESSAGE_PARTS: Final = frozenset({"output_text", "refusal"})
"""Parts of an assistant message that openai-agents restores; it drops a message with others."""


def check(document: Json, *, has_context: bool) -> None:
    """Refuse a run that Python must not go on with.

    Raises ``CrossingError``, in the order of ``docs/run-state.md``: a completed run, what binds
    the run to its language, then what Python has no form for.
    """
    bound = document.get("cannot_cross", [])
    lost = any(entry["code"] == "step-missing" for entry in bound)
    if document["status"] == "completed" and not lost:
        raise CrossingError("the run is completed", code="run-completed", pointer="/status")
    if bound:
        first = bound[0]
        raise _refusal(first["code"], first["message"], first["pointer"])
    for body, at in _runs(document, ""):
        _check_calls(body, at)
        _check_items(body, at)
    _check_decisions(document)
    for body, at in _runs(document, ""):
        if body["context_type"] == "omitted" and not has_context:
            message = "the context's data is not in the snapshot"
            raise CrossingError(message, code="context-omitted", pointer=f"{at}/context")


def prepare(document: Json, live: Graph | None) -> Json:
    """The document as Python takes it over.

    Decisions known by name get the tool of their call, handoff calls that TypeScript left out of
    the history come back, and pending handoffs get the name they have in the live graph.
    """
    document = {**document, "decisions": _owned(document)}
    return _prepare(document, live)


def _runs(body: Json, at: str) -> Iterator[tuple[Json, str]]:
    yield body, at
    for identifier, nested in nested_runs(body).items():
        yield from _runs(nested, f"{at}/response/nested_runs/{identifier}")


def _refusal(code: str, message: str, pointer: str) -> CrossingError:
    if code not in CrossingError.codes:
        message = f"{code}: {message}"
        code = "unsupported-item"
    return CrossingError(message, code=code, pointer=pointer)


def _check_calls(body: Json, at: str) -> None:
    for index, entry in enumerate(body["interruptions"]):
        if entry["item"].get("type") == "computer_call":
            raise CrossingError(
                "openai-agents has no approval of computer calls",
                code="unsupported-approval",
                pointer=f"{at}/interruptions/{index}",
            )
    _check_ids(body, at)
    for item in _stray_calls(body):
        if not _is_handoff(body, item):
            raise CrossingError(
                f"call {item['call_id']!r} of the last response was passed over; "
                "Python would run it",
                code="unknown-call",
                pointer=f"{at}/responses/{len(body['responses']) - 1}/output",
            )


def _check_ids(body: Json, at: str) -> None:
    """Refuse a call id that names different calls: openai-agents binds an id to one call."""
    calls = Calls.of(body)
    twice = calls.ambiguous
    for answer in body["responses"]:
        for item in answer["output"]:
            known = calls.by_id.get(wire.call_id(item) or "")
            if known is not None and not same_call(known.item, item):
                twice = twice or known.id
    if twice is not None:
        raise CrossingError(
            f"call id {twice!r} names two different calls",
            code="ambiguous-call",
            pointer=f"{at}/responses",
        )


def _stray_calls(body: Json) -> list[Json]:
    """Calls of the last response that are neither in the history's response nor answered."""
    if body["status"] != "interrupted" or not body["responses"]:
        return []
    answered = Calls.of(body).answered
    members = {wire.call_id(entry["item"]) for entry in response.members(body)}
    return [
        item
        for item in body["responses"][-1]["output"]
        if (identifier := wire.call_id(item)) is not None
        and item["type"] != "mcp_approval_request"
        and identifier not in members
        and identifier not in answered
    ]


def _is_handoff(body: Json, item: Json) -> bool:
    return item["call_id"] in (body["response"] or {}).get("handoffs", {})


def _check_items(body: Json, at: str) -> None:
    for index, entry in enumerate(body["items"]):
        _check_message(entry["item"], f"{at}/items/{index}/item")
    for index, answer in enumerate(body["responses"]):
        for place, item in enumerate(answer["output"]):
            _check_message(item, f"{at}/responses/{index}/output/{place}")


def _check_message(item: Json, at: str) -> None:
    if item.get("type") != "message" or item.get("role") != "assistant":
        return
    for part in item["content"] if isinstance(item["content"], list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _MESSAGE_PARTS:
            raise CrossingError(
                f"openai-agents has no {kind} in an assistant message",
                code="unsupported-item",
                pointer=at,
            )


def _check_decisions(document: Json) -> None:
    known = {identifier for body, _ in _runs(document, "") for identifier in Calls.of(body).by_id}
    for index, decision in enumerate(document["decisions"]):
        if decision["tool"]["kind"] == "function_name" and (
            decision["scope"] == "always" or decision["call_id"] not in known
        ):
            raise CrossingError(
                f"the decision about {decision['tool']['name']!r} names no agent",
                code="ambiguous-approval",
                pointer=f"/decisions/{index}",
            )


def _owned(document: Json) -> list[Json]:
    """The decisions, those known by name with the tool of their call."""
    found = {
        identifier: call
        for body, _ in _runs(document, "")
        for identifier, call in Calls.of(body).by_id.items()
    }
    return [
        {**decision, "tool": decisions.tool_of(found[decision["call_id"]])}
        if decision["tool"]["kind"] in _BY_NAME and decision.get("call_id") in found
        else decision
        for decision in document["decisions"]
    ]


def _prepare(body: Json, live: Graph | None) -> Json:
    body = _with_keys(_with_stray_handoffs(body))
    agent = None if live is None else live.agents.get(body["current_agent"])
    if agent is not None:
        body = _with_live_handoffs(body, agent)
    nested = nested_runs(body)
    if nested:
        runs = {identifier: _prepare(inner, live) for identifier, inner in nested.items()}
        body = {**body, "response": {**body["response"], "nested_runs": runs}}
    return body


def _with_keys(body: Json) -> Json:
    """Calls with the lookup key that only their pending approval tells."""
    keys = {
        wire.call_id(entry["item"]): entry["tool_key"]
        for entry in body["interruptions"]
        if "tool_key" in entry
    }
    if not keys:
        return body

    def keyed(entries: list[Json]) -> list[Json]:
        return [
            {**entry, "tool_key": keys[identifier]}
            if entry["type"] == "tool_call_item"
            and (identifier := wire.call_id(entry["item"])) in keys
            else entry
            for entry in entries
        ]

    processed = body["response"]
    if processed is not None and "items" in processed:
        processed = {**processed, "items": keyed(processed["items"])}
    return {**body, "items": keyed(body["items"]), "response": processed}


def _with_stray_handoffs(body: Json) -> Json:
    """TypeScript keeps only the first of several handoff calls in its history."""
    stray = [
        {"type": "handoff_call_item", "item": item, "agent": body["current_agent"]}
        for item in _stray_calls(body)
    ]
    if not stray:
        return body
    processed = body["response"]
    if "items" in processed:
        return {**body, "response": {**processed, "items": [*processed["items"], *stray]}}
    end = processed["start"] + processed["count"]
    return {
        **body,
        "items": [*body["items"][:end], *stray, *body["items"][end:]],
        "response": {**processed, "count": processed["count"] + len(stray)},
    }


def _with_live_handoffs(body: Json, agent: AgentView) -> Json:
    """Pending handoffs under the tool names of the live agent, in the raw calls too."""
    renamed: dict[str, str] = {}
    answered = Calls.of(body).answered
    known = (body["response"] or {}).get("handoffs", {})
    for entry in response.members(body):
        item = entry["item"]
        if entry["type"] != "handoff_call_item" or item["call_id"] in answered:
            continue
        meant = known.get(item["call_id"], {})
        name = agent.handoff_to(meant.get("tool_name", item["name"]), meant.get("target_agent"))
        if name is not None and (name != item["name"] or name != meant.get("tool_name", name)):
            renamed[item["call_id"]] = name
    if not renamed:
        return body

    def rename(item: Json) -> Json:
        name = renamed.get(item.get("call_id", ""))
        return item if name is None or item["type"] != "function_call" else {**item, "name": name}

    def renamed_entries(entries: list[Json]) -> list[Json]:
        return [{**entry, "item": rename(entry["item"])} for entry in entries]

    processed = {
        **body["response"],
        "handoffs": {
            **known,
            **{
                identifier: {**known.get(identifier, {}), "tool_name": name}
                for identifier, name in renamed.items()
            },
        },
    }
    if "items" in processed:
        processed["items"] = renamed_entries(processed["items"])
    *earlier, last = body["responses"]
    return {
        **body,
        "items": renamed_entries(body["items"]),
        "response": processed,
        "responses": [*earlier, {**last, "output": [rename(item) for item in last["output"]]}],
    }
