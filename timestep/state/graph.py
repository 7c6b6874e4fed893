"""What a run may find in the live agents: their names, tools and handoffs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from timestep.errors import GraphError
from timestep.state import calls, ledger, response
from timestep.state.calls import Calls
from timestep.state.generate import nested_runs
from timestep.state.shape import Json

if TYPE_CHECKING:
    from agents import Agent

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentView:
    """One live agent, as far as a run can name its parts.

    ``handoffs`` maps tool names to names of agents, ``functions`` lookup keys to the agent behind
    an agent-as-tool (else ``None``), ``kinds`` are the call types its other tools answer,
    ``labels`` the hosted MCP servers and ``servers`` the local ones.
    """

    name: str
    handoffs: dict[str, str]
    functions: dict[Key, Agent[Any] | None]
    kinds: frozenset[str]
    labels: frozenset[str]
    servers: frozenset[str]

    def handoff_to(self, tool_name: str, target: str | None) -> str | None:
        """The tool name of the handoff a run means, ``None`` where the agent has none.

        By the recorded target, by the exact tool name, or by the name without case and
        separators, because the SDKs derive different names from the same agent.
        """
        if target is not None:
            if self.handoffs.get(tool_name) == target:
                return tool_name
            for name, agent in self.handoffs.items():
                if agent == target:
                    return name
        if tool_name in self.handoffs:
            return tool_name
        wanted = _bare(tool_name)
        return next((name for name in self.handoffs if _bare(name) == wanted), None)


@dataclass(frozen=True, slots=True)
class Graph:
    """The agents reachable from one, by name; ``doubles`` are names two of them share."""

    agents: dict[str, AgentView]
    doubles: frozenset[str]

    @classmethod
    def of(cls, agent: Agent[Any]) -> Graph:
        """The agents reachable from ``agent`` through handoffs and agent tools."""
        from timestep.state import sdk

        agents: dict[str, AgentView] = {}
        doubles: set[str] = set()
        for found in sdk.reachable(agent):
            if found.name in agents:
                doubles.add(found.name)
            else:
                agents[found.name] = sdk.view(found)
        return cls(agents, frozenset(doubles))


def check(document: Json, graph: Graph, *, crossing: bool) -> None:
    """Check that the live agents have what a document names.

    Raises ``GraphError``: ``agent-missing``, ``handoff-missing``, ``tool-missing``, and where the
    run crosses ``ambiguous-agent``.
    """
    for name, pointer in _names(document):
        if name not in graph.agents:
            raise GraphError(
                f"no agent is named {name!r}; there are {', '.join(sorted(graph.agents))}",
                code="agent-missing",
                pointer=pointer,
            )
        if crossing and name in graph.doubles:
            raise GraphError(
                f"two agents are named {name!r}", code="ambiguous-agent", pointer=pointer
            )
    _check_run(document, graph, "")


def _names(document: Json) -> Iterator[tuple[str, str]]:
    yield from _run_names(document, "")
    for index, decision in enumerate(document["decisions"]):
        if decision["tool"]["kind"] == "function":
            yield decision["tool"]["agent"], f"/decisions/{index}/tool/agent"


def _run_names(body: Json, at: str) -> Iterator[tuple[str, str]]:
    yield body["current_agent"], f"{at}/current_agent"
    for field in ("items", "interruptions"):
        for index, entry in enumerate(body[field]):
            for key in ("agent", "source_agent", "target_agent"):
                if key in entry:
                    yield entry[key], f"{at}/{field}/{index}/{key}"
    for identifier, nested in nested_runs(body).items():
        yield from _run_names(nested, f"{at}/response/nested_runs/{identifier}")


def _check_run(body: Json, graph: Graph, at: str) -> None:
    view = graph.agents.get(body["current_agent"])
    if view is None or body["status"] != "interrupted":
        return
    answered = Calls.of(body).answered
    bindings = (body["response"] or {}).get("mcp_bindings", {})
    for entry in response.members(body):
        item = entry["item"]
        identifier = item.get("call_id") or item.get("id")
        if identifier in answered:
            continue
        place = f"{at}/response"
        if entry["type"] == "handoff_call_item":
            _check_handoff(body, view, item, place)
        elif entry["type"] == "tool_call_item" and item.get("type") == "function_call":
            _check_function(view, entry, bindings, place)
        elif entry["type"] == "tool_call_item":
            _check_kind(view, item, place)
        elif entry["type"] == "mcp_approval_request_item":
            _check_label(view, item.get("server_label"), place)
    for identifier, nested in nested_runs(body).items():
        inner = _agent_behind(body, view, identifier)
        if inner is not None:
            place = f"{at}/response/nested_runs/{identifier}"
            _check_run(nested, Graph.of(inner), place)


def _check_handoff(body: Json, view: AgentView, item: Json, at: str) -> None:
    known = (body["response"] or {}).get("handoffs", {}).get(item["call_id"], {})
    name = known.get("tool_name", item["name"])
    if view.handoff_to(name, known.get("target_agent")) is None:
        raise GraphError(
            f"agent {view.name!r} has no handoff {name!r}", code="handoff-missing", pointer=at
        )


def _check_function(view: AgentView, entry: Json, bindings: Json, at: str) -> None:
    item = entry["item"]
    key = calls.tool_key(entry)
    if key is None or tuple(ledger.key_parts(key)) in view.functions:
        return
    binding = bindings.get(item["call_id"])
    if binding is not None and binding["server"] not in view.servers:
        raise _tool_missing(view, f"MCP server {binding['server']!r}", at)
    if not view.servers and "apply_patch_call" not in view.kinds:
        raise _tool_missing(view, f"function tool {item['name']!r}", at)


def _check_kind(view: AgentView, item: Json, at: str) -> None:
    kind = item.get("type")
    if kind in ("shell_call", "apply_patch_call", "computer_call", "local_shell_call"):
        if kind not in view.kinds:
            raise _tool_missing(view, f"tool for a {kind}", at)
    elif kind == "custom_tool_call" and f"{kind}:{item.get('name')}" not in view.kinds:
        raise _tool_missing(view, f"custom tool {item.get('name')!r}", at)


def _check_label(view: AgentView, label: Any, at: str) -> None:
    if label not in view.labels:
        raise _tool_missing(view, f"hosted MCP server {label!r}", at)


def _tool_missing(view: AgentView, what: str, at: str) -> GraphError:
    return GraphError(f"agent {view.name!r} has no {what}", code="tool-missing", pointer=at)


def _agent_behind(body: Json, view: AgentView, identifier: str) -> Agent[Any] | None:
    call = Calls.of(body).by_id.get(identifier)
    if call is None or call.key is None:
        return None
    return view.functions.get(tuple(ledger.key_parts(call.key)))


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
