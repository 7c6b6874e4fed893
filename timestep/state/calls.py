"""The calls of a run, found in its items: who made them, with which tool, which are answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from timestep.state import wire
from timestep.state.shape import Json


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its wire item, the agent that made it, and how its tool is looked up.

    ``key`` is the lookup key of a function tool, ``name`` the name of any other tool; ``handoff``
    marks a call that hands the conversation over.
    """

    id: str
    type: str
    item: Json
    agent: str
    key: Json | None = None
    name: str | None = None
    handoff: bool = False


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one run by id, in order, and the ids of those that have an output."""

    by_id: dict[str, Call]
    answered: frozenset[str]
    ambiguous: str | None = None

    @classmethod
    def of(cls, body: Json) -> Calls:
        """The calls of a portable run: its items, its response, its pending approvals."""
        by_id: dict[str, Call] = {}
        answered: set[str] = set()
        ambiguous: str | None = None
        for entry in _entries(body):
            item = entry["item"]
            output = wire.answered_call(item)
            if output is not None:
                answered.add(output[1])
                continue
            identifier = wire.call_id(item)
            if identifier is None:
                continue
            known = by_id.get(identifier)
            if known is None:
                by_id[identifier] = _call(identifier, entry)
            elif known.item is not item and not same_call(known.item, item):
                ambiguous = ambiguous or identifier
        return cls(by_id, frozenset(answered), ambiguous)

    def pending(self) -> Iterator[Call]:
        """The calls that have no output."""
        return (call for call in self.by_id.values() if call.id not in self.answered)


def lookup_key(item: Json) -> Json | None:
    """The lookup key a function call's own name and namespace give."""
    name = item.get("name")
    if not isinstance(name, str) or not name:
        return None
    namespace = item.get("namespace")
    if not isinstance(namespace, str) or not namespace:
        return {"kind": "bare", "name": name}
    if namespace == name:
        return {"kind": "deferred_top_level", "name": name}
    return {"kind": "namespaced", "namespace": namespace, "name": name}


def tool_key(entry: Json) -> Json | None:
    """The lookup key of a run item or interruption that calls a function tool."""
    key = entry.get("tool_key")
    return key if isinstance(key, dict) else lookup_key(entry["item"])


def tool_name(item: Json, name: str | None = None) -> str | None:
    """The name of the tool a call goes to, the SDK's own for a built-in tool."""
    own = name or item.get("name")
    if isinstance(own, str) and own:
        return own
    return wire.NATIVE_TOOL_NAMES.get(str(item.get("type")))


def _entries(body: Json) -> Iterator[Json]:
    yield from body["items"]
    response = body["response"]
    if response is not None:
        yield from response.get("items", ())
    nested = response.get("nested_runs", {}) if response is not None else {}
    inner = {
        wire.call_id(entry["item"]) for run in nested.values() for entry in run["interruptions"]
    }
    for entry in body["interruptions"]:
        if wire.call_id(entry["item"]) not in inner:
            yield entry


def _call(identifier: str, entry: Json) -> Call:
    item = entry["item"]
    kind = item["type"]
    if kind == "function_call":
        handoff = entry.get("type") == "handoff_call_item"
        return Call(identifier, kind, item, entry["agent"], key=tool_key(entry), handoff=handoff)
    name = tool_name(item, entry.get("tool_name"))
    return Call(identifier, kind, item, entry["agent"], name=name)


def same_call(left: Json, right: Json) -> bool:
    """Whether two wire items are the same call."""
    return all(
        left.get(key) == right.get(key)
        for key in ("type", "name", "namespace", "arguments", "input", "action", "operation")
    )
