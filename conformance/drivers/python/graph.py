"""An agent graph as data: who is in it, with which tools and handoffs.

The `graph` argument of `state.convert` comes in the case of the language that wrote it
(`needs_approval` or `needsApproval`, `FunctionTool` or `function`). Reading it gives one neutral
form, from which `stubs` builds agents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Row = Mapping[str, Any]

_HOSTED_KINDS = {
    "mcp": "hosted_mcp",
    "web_search": "web_search",
    "web_search_preview": "web_search",
    "file_search": "file_search",
    "code_interpreter": "code_interpreter",
    "image_generation": "image_generation",
    "tool_search": "tool_search",
    "programmatic_tool_calling": "programmatic",
}
_PYTHON_KINDS = {
    "HostedMCPTool": "hosted_mcp",
    "WebSearchTool": "web_search",
    "FileSearchTool": "file_search",
    "CodeInterpreterTool": "code_interpreter",
    "ImageGenerationTool": "image_generation",
    "LocalShellTool": "local_shell",
    "ComputerTool": "computer",
    "ToolSearchTool": "tool_search",
    "ProgrammaticToolCallingTool": "programmatic",
    "CustomTool": "custom",
    "SandboxApplyPatchTool": "custom",
    "ApplyPatchTool": "apply_patch",
    "ShellTool": "shell",
}
_TYPESCRIPT_KINDS = {"computer": "computer", "shell": "shell", "apply_patch": "apply_patch"}


@dataclass(frozen=True)
class ToolRow:
    """One tool of an agent; `config` is the wire configuration of a hosted tool."""

    kind: str
    name: str
    description: str = ""
    parameters: Row | None = None
    strict: bool = True
    needs_approval: bool = False
    enabled: bool = True
    defer_loading: bool = False
    allowed_callers: list[str] | None = None
    output_schema: Row | None = None
    namespace: str | None = None
    namespace_description: str | None = None
    config: Row = field(default_factory=dict)
    agent: int | None = None
    environment: Row | None = None
    execution: str | None = None
    format: Row | None = None
    client_search: bool = False

    @property
    def twin(self) -> tuple[str, str, str | None, Any]:
        """What makes two rows the same tool."""
        return (self.kind, self.name, self.namespace, self.config.get("server_label"))


@dataclass(frozen=True)
class HandoffRow:
    """One handoff; `tool_name` is None for an agent that is listed as it is."""

    agent: int | None
    agent_name: str | None = None
    tool_name: str | None = None
    tool_description: str | None = None
    enabled: bool = True


@dataclass(frozen=True)
class McpTool:
    """A tool of a local MCP server under the server's own name for it."""

    name: str
    parameters: Row | None
    needs_approval: bool


@dataclass(frozen=True)
class McpServerRow:
    """A local MCP server and its tools."""

    name: str
    tools: tuple[McpTool, ...]


@dataclass(frozen=True)
class AgentRow:
    """One agent of the graph."""

    name: str
    sandbox: bool
    instructions: str | None
    model: str | None
    handoff_description: str | None
    output_schema: Row | None
    plain_output: bool
    prefix_mcp_names: bool
    tools: tuple[ToolRow, ...]
    handoffs: tuple[HandoffRow, ...]
    mcp_servers: tuple[McpServerRow, ...]


@dataclass(frozen=True)
class Graph:
    """Agents by number and the number of the one a run starts at."""

    root: int
    agents: tuple[AgentRow, ...]


def _get(row: Row, name: str, default: Any = None) -> Any:
    """Value of a field in either key case."""
    if name in row:
        return row[name]
    head, *rest = name.split("_")
    return row.get(head + "".join(part.title() for part in rest), default)


def _flag(value: Any, *, default: bool) -> bool:
    if isinstance(value, bool):
        return value
    return default if value is None else True


def _text(value: Any) -> str | None:
    # A leading `$` marks what cannot be written down, such as `$callable`.
    return value if isinstance(value, str) and not value.startswith("$") else None


def _mapping(value: Any) -> Row | None:
    return value if isinstance(value, Mapping) else None


def _config(row: Row) -> Row:
    return _mapping(row.get("tool_config")) or _mapping(row.get("providerData")) or {}


def _snake(value: Any) -> Any:
    """The same value with every key in snake case."""
    if isinstance(value, list):
        return [_snake(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {
        re.sub("([A-Z])", lambda match: "_" + match[1].lower(), key): _snake(each)
        for key, each in value.items()
    }


def _kind(row: Row) -> str:
    tool_type = str(row.get("type"))
    if tool_type in _PYTHON_KINDS:
        return _PYTHON_KINDS[tool_type]
    if tool_type in _TYPESCRIPT_KINDS:
        return _TYPESCRIPT_KINDS[tool_type]
    hosted = _HOSTED_KINDS.get(str(_config(row).get("type")))
    if tool_type == "hosted_tool":
        return hosted or _HOSTED_KINDS.get(str(row.get("name")), "hosted")
    if hosted == "hosted_mcp":
        return hosted
    return "agent_tool" if isinstance(_get(row, "agent_tool"), int) else "function"


def read_tool(row: Row) -> ToolRow:
    """A tool row in either case as neutral data."""
    config = _config(row)
    callers = _get(row, "allowed_callers")
    agent = _get(row, "agent_tool")
    return ToolRow(
        kind=_kind(row),
        name=str(row.get("name") or ""),
        description=str(row.get("description") or ""),
        parameters=_mapping(row.get("params_json_schema")) or _mapping(row.get("parameters")),
        strict=_flag(_get(row, "strict_json_schema", row.get("strict")), default=True),
        needs_approval=_flag(_get(row, "needs_approval"), default=False),
        enabled=_flag(_get(row, "is_enabled"), default=True),
        defer_loading=_flag(_get(row, "defer_loading"), default=False),
        allowed_callers=list(callers) if isinstance(callers, list) else None,
        output_schema=_mapping(row.get("output_json_schema")) or _mapping(row.get("outputSchema")),
        namespace=_get(row, "namespace"),
        namespace_description=_get(row, "namespace_description"),
        config=config,
        agent=agent if isinstance(agent, int) else None,
        environment=_mapping(_snake(row.get("environment"))),
        execution=row.get("execution") or config.get("execution"),
        format=_mapping(row.get("format")) or _mapping(config.get("format")),
        client_search="clientToolSearchExecutor" in (row.get("has") or [])
        or "client" in (row.get("execution"), config.get("execution")),
    )


def found_rows(tools: list[Row], namespace: Row | None = None) -> Iterator[ToolRow]:
    """The function tools of a tool search's output, which is written in wire form."""
    for tool in tools:
        if isinstance(tool.get("tools"), list):
            yield from found_rows(tool["tools"], tool)
        elif tool.get("type") == "function" and tool.get("name"):
            place = namespace or {}
            yield read_tool(
                {
                    **tool,
                    "needs_approval": True,
                    "namespace": place.get("name"),
                    "namespace_description": place.get("description"),
                }
            )


def _read_handoff(row: Row) -> HandoffRow:
    agent = row.get("agent")
    plain = row.get("kind") == "agent"
    return HandoffRow(
        agent=agent if isinstance(agent, int) else None,
        agent_name=_text(_get(row, "agent_name")),
        tool_name=None if plain else _text(_get(row, "tool_name")),
        tool_description=_text(_get(row, "tool_description")),
        enabled=_flag(_get(row, "is_enabled"), default=True),
    )


def _mcp_servers(row: Row) -> tuple[McpServerRow, ...]:
    """The agent's MCP servers, with the tools that were really listed where the row tells."""
    servers = [server for server in _get(row, "mcp_servers") or [] if isinstance(server, Mapping)]
    names = [str(server.get("name") or "server") for server in servers]
    listed = _get(row, "mcp_tools")
    tools: list[list[McpTool]] = [[] for _ in servers]
    if listed is None:
        for server, into in zip(servers, tools, strict=True):
            into.extend(
                McpTool(str(tool["name"]), _mapping(tool.get("inputSchema")), True)
                for tool in server.get("tools") or []
                if tool.get("name")
            )
    for tool in listed or []:
        binding = _get(tool, "mcp_tool_binding") or _get(tool, "mcp_binding") or []
        name = str(binding[1]) if len(binding) > 1 else str(tool.get("name"))
        index = binding[2] if len(binding) > 2 else None
        if not isinstance(index, int) or index >= len(tools):
            known = [i for i, server in enumerate(names) if binding and server == binding[0]]
            index = known[0] if known else 0
            if not tools:
                names.append(str(binding[0]) if binding else "server")
                tools.append([])
        approval = _flag(_get(tool, "needs_approval"), default=False)
        parameters = _mapping(tool.get("params_json_schema")) or _mapping(tool.get("parameters"))
        tools[index].append(McpTool(name, parameters, approval))
    return tuple(McpServerRow(name, tuple(into)) for name, into in zip(names, tools, strict=True))


def _output(row: Row) -> tuple[Row | None, bool]:
    output = _mapping(_get(row, "output_type"))
    if output is None:
        return None, False
    schema = _mapping(output.get("json_schema"))
    if schema is not None and _mapping(schema.get("schema")) is not None:
        schema = schema["schema"]
    return schema or {"type": "object", "properties": {}}, bool(output.get("plain_text"))


def _read_agent(row: Row, *, doubles: bool, number: int) -> AgentRow:
    identity = _text(row.get("identity"))
    description = _text(_get(row, "handoff_description"))
    if doubles:
        # Both SDKs number doubles of a name in the order of their sorted signatures, which hold
        # the handoff description: this one sorts them as the identities of the row say.
        match = re.search(r"#(\d+)$", identity or "")
        description = f"{int(match.group(1)) if match else 0:06d} double {number:04d}"
    schema, plain = _output(row)
    config = _mapping(_get(row, "mcp_config")) or {}
    return AgentRow(
        name=str(row.get("name")),
        sandbox=row.get("class") == "SandboxAgent",
        instructions=_text(row.get("instructions")),
        model=_text(row.get("model")),
        handoff_description=description,
        output_schema=schema,
        plain_output=plain,
        prefix_mcp_names=_get(config, "include_server_in_tool_names") is True,
        tools=tuple(read_tool(tool) for tool in row.get("tools") or []),
        handoffs=tuple(_read_handoff(handoff) for handoff in row.get("handoffs") or []),
        mcp_servers=_mcp_servers(row),
    )


def _with_pending(agent: AgentRow, graph: Row, agents: list[AgentRow]) -> AgentRow:
    """Adds what the pending response points at, wherever the agent got it from."""
    served = {(server.name, tool.name) for server in agent.mcp_servers for tool in server.tools}
    have = {tool.twin for tool in agent.tools}
    more = []
    for row in _get(graph, "pending_tools") or []:
        tool = read_tool(row)
        binding = _get(row, "mcp_tool_binding") or []
        if tool.twin not in have and tuple(binding[:2]) not in served:
            more.append(tool)
    known = {handoff.tool_name or _default_tool_name(agents, handoff) for handoff in agent.handoffs}
    handoffs = [_read_handoff(row) for row in _get(graph, "pending_handoffs") or []]
    return replace(
        agent,
        tools=(*agent.tools, *more),
        handoffs=(*agent.handoffs, *(h for h in handoffs if h.tool_name not in known)),
    )


def _default_tool_name(agents: list[AgentRow], handoff: HandoffRow) -> str:
    name = handoff.agent_name
    if handoff.agent is not None and handoff.agent < len(agents):
        name = agents[handoff.agent].name
    return "transfer_to_" + re.sub(r"[^a-z0-9]", "_", (name or "").lower())


def read_graph(graph: Row) -> Graph:
    """A graph in either key case as neutral data. Raises `ValueError` where it has no agents."""
    rows = graph.get("agents")
    if not isinstance(rows, list) or not rows:
        raise ValueError("a graph needs a non-empty list of agents")
    names = [row.get("name") for row in rows]
    agents = [
        _read_agent(row, doubles=names.count(row.get("name")) > 1, number=number)
        for number, row in enumerate(rows)
    ]
    owner = _get(graph, "pending_owner")
    if isinstance(owner, int) and 0 <= owner < len(agents):
        agents[owner] = _with_pending(agents[owner], graph, agents)
    root = graph.get("root", 0)
    if not isinstance(root, int) or not 0 <= root < len(agents):
        raise ValueError("the graph's root is not the number of one of its agents")
    return Graph(root=root, agents=tuple(agents))
