"""What a save says in clear about the document it stores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from timestep.state.calls import Call, Calls, tool_key, tool_name
from timestep.state.canonical import canonical
from timestep.state.decisions import tool_of
from timestep.state.wire import answered_call, call_id
from timestep.store.base import Decision, Facts

Json = dict[str, Any]


def facts(document: Json, before: Json | None, models: Mapping[str, str]) -> Facts:
    """The facts of a document that follows `before`, with arguments in clear.

    `models` are the names of the models by agent, as far as they are known.
    """
    decided = {
        call.id: decision
        for call in _waiting(document)
        if (decision := _decision_on(call, document["decisions"])) is not None
    }
    asked_before = {} if before is None else {call.id: call for call in _waiting(before)}
    return Facts(
        agent=document["current_agent"],
        status=document["status"],
        turn=document["current_turn"],
        language=document["writer"]["language"],
        trace_id=document.get("trace", {}).get("id"),
        pending=[_pending(call) for call in _waiting(document) if call.id not in decided],
        decided={
            identifier: decision
            for identifier, call in asked_before.items()
            if (decision := _decision_on(call, document["decisions"])) is not None
        },
        calls=_answered_since(document, before),
        usage=_usage_since(document, before, models),
    )


def arguments_of(item: Json) -> str:
    """What the model gave a call: its arguments, or all of the item where it has none."""
    arguments = item.get("arguments")
    text = arguments if isinstance(arguments, str) else canonical(item)
    # What UTF-8 has no form for becomes what every decoder makes of it.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def digest_of(item: Json) -> str:
    """What a decision binds to: lower-case hexadecimal sha256 of the arguments."""
    return hashlib.sha256(arguments_of(item).encode()).hexdigest()


def _waiting(document: Json) -> list[Call]:
    """The calls that wait, those of nested runs included, one for each id."""
    calls: dict[str, Call] = {}
    for entry in document["interruptions"]:
        item = entry["item"]
        identifier = call_id(item)
        if identifier is None or identifier in calls:
            continue
        if item["type"] == "function_call":
            call = Call(identifier, item["type"], item, entry["agent"], key=tool_key(entry))
        else:
            name = tool_name(item, entry.get("tool_name"))
            call = Call(identifier, item["type"], item, entry["agent"], name=name)
        calls[identifier] = call
    return list(calls.values())


def _pending(call: Call) -> Json:
    return {
        "call_id": call.id,
        "agent": call.agent,
        "tool": _name_of(call),
        "kind": tool_of(call)["kind"],
        "arguments": arguments_of(call.item).encode(),
        "digest": digest_of(call.item),
    }


def _name_of(call: Call) -> str:
    """The tool as people know it."""
    if call.key is not None:
        name, owner = call.key["name"], call.key.get("namespace")
    else:
        name = call.name or call.item.get("name") or call.type
        owner = call.item.get("server_label")
    return f"{owner}.{name}" if owner else str(name)


def _decision_on(call: Call, decisions: Sequence[Json]) -> Decision | None:
    """What was decided about a call: one for the call itself goes before one for its tool."""
    tool = tool_of(call)
    always: Decision | None = None
    for decision in decisions:
        if decision["scope"] == "call":
            if decision["call_id"] == call.id:
                return "approve" if decision["decision"] == "approve" else "reject"
        elif decision["tool"] == tool:
            always = "approve" if decision["decision"] == "approve" else "reject"
    return always


def _runs(body: Json) -> Iterator[Json]:
    """A run and the unfinished ones inside it."""
    yield body
    for nested in ((body["response"] or {}).get("nested_runs") or {}).values():
        yield from _runs(nested)


def _outputs(document: Json) -> Iterator[tuple[str, Json, Json]]:
    """The call id, the entry and the run of every output of a tool."""
    for body in _runs(document):
        for entry in body["items"]:
            if entry["type"] == "tool_call_output_item":
                answered = answered_call(entry["item"])
                if answered is not None:
                    yield answered[1], entry, body


def _answered_since(document: Json, before: Json | None) -> list[Json]:
    known = set() if before is None else {identifier for identifier, _, _ in _outputs(before)}
    found: dict[str, Json] = {}
    calls: dict[int, Calls] = {}
    for identifier, entry, body in _outputs(document):
        if identifier in known or identifier in found:
            continue
        if id(body) not in calls:
            calls[id(body)] = Calls.of(body)
        call = calls[id(body)].by_id.get(identifier)
        found[identifier] = {
            "call_id": identifier,
            "agent": entry["agent"] if call is None else call.agent,
            "tool": "" if call is None else _name_of(call),
            "executed": entry.get("executed") is True,
        }
    return list(found.values())


def _usage_since(document: Json, before: Json | None, models: Mapping[str, str]) -> list[Json]:
    """The requests by the entries of the usage, or by the responses where those say more."""
    entries, responses = document["usage"]["entries"], document["responses"]
    by_response = len(responses) > len(entries)
    if by_response:
        done = 0 if before is None else len(before["responses"])
        counts = [response["usage"] for response in responses]
    else:
        done = 0 if before is None else len(before["usage"]["entries"])
        counts = entries
    # Requests of nested runs are among the entries, and nothing says which they are.
    agents = _agents_of(document, done) if len(responses) == len(counts) else {}
    only = next(iter(models.values())) if len(set(models.values())) == 1 else None
    return [
        {
            "request": request,
            "model": models.get(agents[request]) if request in agents else only,
            "input": int(usage["input_tokens"]),
            "output": int(usage["output_tokens"]),
            "total": int(usage["total_tokens"]),
            "cached": int(usage["input_tokens_details"].get("cached_tokens", 0)),
            "reasoning": int(usage["output_tokens_details"].get("reasoning_tokens", 0)),
        }
        for request, usage in enumerate(counts)
        if request >= done
    ]


def _agents_of(document: Json, start: int) -> dict[int, str]:
    """The agents that got the responses from `start` on, by what they put out."""
    new = document["responses"][start:]
    if not new:
        return {}
    entries = [*document["items"], *((document["response"] or {}).get("items") or ())]
    by_id = {
        identifier: entry["agent"]
        for entry in entries
        if not entry["type"].endswith("_output_item") or entry["type"] == "message_output_item"
        if (identifier := _identity(entry["item"])) is not None
    }
    found = {}
    for offset, response in enumerate(new):
        for item in response["output"]:
            identifier = _identity(item)
            if identifier is not None and identifier in by_id:
                found[start + offset] = by_id[identifier]
                break
    return found


def _identity(item: Json) -> str | None:
    for key in ("call_id", "id"):
        if isinstance(item.get(key), str) and item[key]:
            return str(item[key])
    return None
