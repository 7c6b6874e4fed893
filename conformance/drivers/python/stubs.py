"""Stub agents: a graph's agents with everything a snapshot can point at, and no behaviour.

They are what `state.convert` loads a snapshot into where there is no live graph. No tool of theirs
ever runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import agents as sdk
from agents.mcp import MCPServer
from agents.sandbox import SandboxAgent
from mcp import types as mcp_types

from .graph import AgentRow, Graph, HandoffRow, McpServerRow, ToolRow, found_rows
from .output import JsonOutput

if TYPE_CHECKING:
    from agents import AgentBase, RunContextWrapper, Tool

Agent = sdk.Agent[Any]

_OPEN_SCHEMA = {"type": "object", "properties": {}, "additionalProperties": True}


class StubMcpServer(MCPServer):
    """A local MCP server that lists its tools and serves none."""

    def __init__(self, row: McpServerRow) -> None:
        approvals = {tool.name: tool.needs_approval for tool in row.tools}
        super().__init__(require_approval=cast(Any, approvals or None))
        self._row = row

    @property
    def name(self) -> str:
        return self._row.name

    async def connect(self) -> None: ...

    async def cleanup(self) -> None: ...

    async def list_tools(
        self,
        run_context: RunContextWrapper[Any] | None = None,
        agent: AgentBase | None = None,
    ) -> list[mcp_types.Tool]:
        return [
            mcp_types.Tool.model_validate(
                {"name": tool.name, "inputSchema": dict(tool.parameters or {"type": "object"})}
            )
            for tool in self._row.tools
        ]

    async def call_tool(
        self,
        tool_name: str,
        arguments: dict[str, Any] | None,
        meta: dict[str, Any] | None = None,
    ) -> mcp_types.CallToolResult:
        raise NotImplementedError("a stub serves no tool")

    async def list_prompts(self) -> mcp_types.ListPromptsResult:
        return mcp_types.ListPromptsResult(prompts=[])

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None
    ) -> mcp_types.GetPromptResult:
        raise NotImplementedError("a stub has no prompts")


class StubComputer(sdk.Computer):
    """A computer that does nothing."""

    environment = cast(Any, "browser")
    dimensions = cast(Any, (1, 1))

    def screenshot(self) -> str:
        return ""

    def click(self, x: int, y: int, button: Any) -> None: ...
    def double_click(self, x: int, y: int) -> None: ...
    def scroll(self, x: int, y: int, scroll_x: int, scroll_y: int) -> None: ...
    def type(self, text: str) -> None: ...
    def wait(self) -> None: ...
    def move(self, x: int, y: int) -> None: ...
    def keypress(self, keys: list[str]) -> None: ...
    def drag(self, path: list[tuple[int, int]]) -> None: ...


class StubEditor:
    """An editor that changes nothing."""

    def create_file(self, operation: Any) -> None: ...
    def update_file(self, operation: Any) -> None: ...
    def delete_file(self, operation: Any) -> None: ...


async def _invoke(*_: Any) -> str:
    raise NotImplementedError("a stub tool never runs")


def _function(row: ToolRow, agents: list[Agent]) -> Tool:
    if row.agent is not None and row.agent < len(agents):
        tool = agents[row.agent].as_tool(
            row.name, row.description, needs_approval=row.needs_approval, is_enabled=row.enabled
        )
    else:
        tool = sdk.FunctionTool(
            name=row.name,
            description=row.description,
            params_json_schema=dict(row.parameters or _OPEN_SCHEMA),
            on_invoke_tool=_invoke,
            strict_json_schema=False,
            is_enabled=row.enabled,
            needs_approval=row.needs_approval,
            defer_loading=row.defer_loading,
            allowed_callers=cast(Any, row.allowed_callers),
        )
        tool.output_json_schema = dict(row.output_schema) if row.output_schema else None
    if row.namespace:
        (tool,) = sdk.tool_namespace(
            name=row.namespace,
            description=row.namespace_description or row.namespace,
            tools=[tool],
        )
    if row.agent is None:
        # Last of all: a strict tool has its recorded schema rewritten when it is made or copied.
        tool.strict_json_schema = row.strict
    return tool


def _shell(row: ToolRow) -> Tool:
    environment = cast(Any, dict(row.environment)) if row.environment else None
    hosted = environment is not None and environment.get("type") not in (None, "local")
    return sdk.ShellTool(
        executor=None if hosted else lambda *_: "",
        name=row.name or "shell",
        needs_approval=False if hosted else row.needs_approval,
        environment=environment,
        allowed_callers=cast(Any, row.allowed_callers),
    )


def build_tool(row: ToolRow, agents: list[Agent]) -> Tool:
    """The SDK tool a row describes."""
    config = cast(Any, dict(row.config))
    match row.kind:
        case "hosted_mcp":
            return sdk.HostedMCPTool(tool_config=config)
        case "web_search":
            return sdk.WebSearchTool()
        case "file_search":
            return sdk.FileSearchTool(vector_store_ids=config.get("vector_store_ids") or ["vs"])
        case "code_interpreter":
            container: Any = config.get("container") or {"type": "auto"}
            return sdk.CodeInterpreterTool(
                tool_config={"type": "code_interpreter", "container": container}
            )
        case "image_generation":
            return sdk.ImageGenerationTool(
                tool_config=config or cast(Any, {"type": "image_generation"})
            )
        case "local_shell":
            return sdk.LocalShellTool(executor=lambda *_: "")
        case "computer":
            return sdk.ComputerTool(computer=StubComputer())
        case "tool_search":
            return sdk.ToolSearchTool(execution=cast(Any, row.execution))
        case "programmatic":
            return sdk.ProgrammaticToolCallingTool()
        case "custom":
            return sdk.CustomTool(
                name=row.name,
                description=row.description,
                on_invoke_tool=_invoke,
                format=row.format,
                needs_approval=row.needs_approval,
                defer_loading=row.defer_loading,
                allowed_callers=cast(Any, row.allowed_callers),
            )
        case "apply_patch":
            return sdk.ApplyPatchTool(
                editor=cast(Any, StubEditor()),
                name=row.name or "apply_patch",
                needs_approval=row.needs_approval,
                allowed_callers=cast(Any, row.allowed_callers),
            )
        case "shell":
            return _shell(row)
        case _:
            return _function(row, agents)


def _agent(row: AgentRow) -> Agent:
    fields: dict[str, Any] = {"name": row.name}
    for name in ("instructions", "model", "handoff_description"):
        if getattr(row, name) is not None:
            fields[name] = getattr(row, name)
    if row.output_schema is not None:
        fields["output_type"] = JsonOutput(row.output_schema, strict=False, plain=row.plain_output)
    return SandboxAgent(**fields) if row.sandbox else sdk.Agent(**fields)


def _handoff(row: HandoffRow, agents: list[Agent], extra: list[Agent]) -> Any:
    target = agents[row.agent] if row.agent is not None and row.agent < len(agents) else None
    if target is None:
        target = next((agent for agent in agents if agent.name == row.agent_name), None)
    if target is None:
        target = sdk.Agent(name=row.agent_name or "target")
        extra.append(target)
    if row.tool_name is None and row.agent_name is None:
        return target
    made = sdk.handoff(
        target,
        tool_name_override=row.tool_name,
        tool_description_override=row.tool_description,
        is_enabled=row.enabled,
    )
    made.agent_name = row.agent_name or target.name
    return made


def _found_tools(row: AgentRow, document: Mapping[str, Any]) -> Iterator[Tool]:
    """The function tools that searches of the client handed to an agent.

    This SDK runs no such search: there the tools belong to the agent from the start.
    """
    have = {(tool.namespace, tool.name) for tool in row.tools}
    if not any(tool.client_search for tool in row.tools):
        return
    for entry in document.get("items") or []:
        if entry.get("type") != "tool_search_output_item" or entry.get("agent") != row.name:
            continue
        for found in found_rows(entry["item"].get("tools") or []):
            if (found.namespace, found.name) not in have:
                have.add((found.namespace, found.name))
                yield _function(found, [])


def build_agents(
    graph: Graph, document: Mapping[str, Any] | None = None
) -> tuple[Agent, list[Agent]]:
    """The starting agent, and every agent of the graph.

    `document` is what will be loaded: what its tool searches found is in it. Handoffs hold their
    targets weakly: keep the list as long as the starting agent is in use.
    """
    agents = [_agent(row) for row in graph.agents]
    extra: list[Agent] = []
    for row, agent in zip(graph.agents, agents, strict=True):
        agent.tools = [
            *(build_tool(tool, agents) for tool in row.tools),
            *_found_tools(row, document or {}),
        ]
        agent.handoffs = [_handoff(handoff, agents, extra) for handoff in row.handoffs]
        agent.mcp_servers = [StubMcpServer(server) for server in row.mcp_servers]
        if row.prefix_mcp_names:
            agent.mcp_config = {"include_server_in_tool_names": True}
    return agents[graph.root], [*agents, *extra]
