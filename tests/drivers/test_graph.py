"""Graphs in either key case, read and built by the Python driver."""

from __future__ import annotations

from typing import Any

import pytest
from agents import RunContextWrapper

from conformance.drivers.python.effects import Ledger, rendered
from conformance.drivers.python.graph import read_graph
from conformance.drivers.python.stubs import build_agents

pytestmark = pytest.mark.anyio

TYPESCRIPT: dict[str, Any] = {
    "root": 0,
    "agents": [
        {
            "name": "root",
            "instructions": "$function",
            "tools": [
                {"type": "function", "name": "ask", "agentTool": 1, "needsApproval": "callable"},
                {"type": "function", "name": "lookup", "namespace": "crm", "strict": True},
                {"type": "hosted_tool", "name": "hosted_mcp", "providerData": {"type": "mcp"}},
                {
                    "type": "shell",
                    "name": "shell",
                    "environment": {"type": "container_reference", "containerId": "c"},
                },
            ],
            "handoffs": [{"kind": "handoff", "toolName": "to_expert", "agent": 1}],
            "mcpServers": [{"name": "docs", "tools": [{"name": "search", "inputSchema": {}}]}],
        },
        {"name": "expert", "identity": "expert#2", "tools": [], "handoffs": []},
        {"name": "expert", "identity": "expert", "tools": [], "handoffs": []},
    ],
}
PYTHON: dict[str, Any] = {
    "root": 0,
    "pending_owner": 0,
    "pending_tools": [
        {"type": "FunctionTool", "name": "known", "needs_approval": True},
        {"type": "FunctionTool", "name": "lost", "needs_approval": True},
        {"type": "FunctionTool", "name": "search", "mcp_tool_binding": ["docs", "search", 0]},
    ],
    "pending_handoffs": [
        {"kind": "handoff", "tool_name": "transfer_to_expert", "agent": 1},
        {"kind": "handoff", "tool_name": "elsewhere", "agent_name": "stranger"},
    ],
    "agents": [
        {
            "name": "root",
            "tools": [{"type": "FunctionTool", "name": "known"}],
            "handoffs": [{"kind": "agent", "agent": 1}],
            "mcp_servers": [{"name": "docs", "tools": []}],
            "mcp_tools": [
                {
                    "type": "FunctionTool",
                    "name": "search",
                    "needs_approval": True,
                    "mcp_tool_binding": ["docs", "search", 0],
                }
            ],
        },
        {"name": "expert", "tools": [], "handoffs": []},
    ],
}


async def test_what_typescript_wrote() -> None:
    graph = read_graph(TYPESCRIPT)
    root, keep = build_agents(graph)
    assert [tool.kind for tool in graph.agents[0].tools] == [
        "agent_tool",
        "function",
        "hosted_mcp",
        "shell",
    ]
    assert graph.agents[0].tools[0].needs_approval
    assert graph.agents[0].tools[3].environment == {
        "type": "container_reference",
        "container_id": "c",
    }
    tools = await root.get_all_tools(RunContextWrapper(None))
    assert [tool.name for tool in tools] == ["search", "ask", "lookup", "hosted_mcp", "shell"]
    assert root.instructions is None
    # Doubles of a name sort as their identities say.
    described = [agent.handoff_description or "" for agent in keep[1:]]
    assert described[1] < described[0]


async def test_what_the_pending_response_points_at_is_there() -> None:
    root, _keep = build_agents(read_graph(PYTHON))
    tools = await root.get_all_tools(RunContextWrapper(None))
    assert [tool.name for tool in tools] == ["search", "known", "lost"]
    names = [getattr(each, "tool_name", None) for each in root.handoffs]
    assert names == [None, "elsewhere"]


async def test_what_a_search_of_the_client_found_belongs_to_the_agent() -> None:
    search = {
        "type": "hosted_tool",
        "name": "tool_search",
        "providerData": {"type": "tool_search", "execution": "client"},
    }
    graph = read_graph({"agents": [{"name": "a", "tools": [search]}]})
    found = {"type": "function", "name": "lookup", "parameters": {"type": "object"}}
    inner = {"type": "namespace", "name": "crm", "description": "CRM", "tools": [found]}
    output = {"type": "tool_search_output_item", "agent": "a", "item": {"tools": [inner, found]}}
    root, _keep = build_agents(graph, {"items": [output]})
    tools = await root.get_all_tools(RunContextWrapper(None))
    names = [getattr(tool, "qualified_name", tool.name) for tool in tools]
    assert names == ["tool_search", "crm.lookup", "lookup"]


@pytest.mark.parametrize("graph", [{}, {"agents": []}, {"agents": [{"name": "a"}], "root": 2}])
def test_a_graph_without_agents_is_refused(graph: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="graph"):
        read_graph(graph)


@pytest.mark.parametrize(
    ("template", "arguments", "text"),
    [
        ("sunny in {city}", {"city": "Oslo"}, "sunny in Oslo"),
        ("{a} and {b}", {"a": "{b}", "b": 1}, "{b} and 1"),
        ("{list} {none}", {"list": [1, "ø", None]}, '[1,"ø",null] {none}'),
        ('{"temp": {t}}', {"t": 3}, '{"temp": 3}'),
    ],
)
def test_a_template_takes_arguments(template: str, arguments: Any, text: str) -> None:
    assert rendered(template, arguments) == text


def test_the_ledger_cannot_be_changed_from_outside() -> None:
    ledger = Ledger()
    ledger.add("a", {"x": 1})
    ledger.entries.clear()
    assert ledger.entries == [{"tool": "a", "arguments": {"x": 1}}]
