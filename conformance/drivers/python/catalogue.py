"""Agents of the catalogue, made from data (schemas/agents.schema.json)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import agents as sdk
from agents.extensions.handoff_filters import remove_all_tools
from agents.mcp import MCPServerStdio

from .effects import Ledger
from .output import JsonOutput
from .tools import build_tool

Agent = sdk.Agent[Any]
Row = Mapping[str, Any]

MCP_SERVER = Path(__file__).resolve().parents[2] / "fixtures" / "mcp" / "server.py"


class LedgerMcpServer(MCPServerStdio):
    """The local MCP server of the catalogue; its calls are effects too."""

    def __init__(self, row: Row, ledger: Ledger) -> None:
        super().__init__(
            params={"command": sys.executable, "args": [str(MCP_SERVER)]},
            name=row["name"],
            cache_tools_list=True,
            client_session_timeout_seconds=30,
            require_approval=row.get("require_approval", False),
        )
        self._ledger = ledger

    async def call_tool(
        self,
        tool_name: str,
        arguments: dict[str, Any] | None,
        meta: dict[str, Any] | None = None,
    ) -> Any:
        self._ledger.add(tool_name, arguments or {})
        return await super().call_tool(tool_name, arguments, meta)


def _guardrail_output(row: Row, text: str) -> sdk.GuardrailFunctionOutput:
    mark = row.get("tripwire_on")
    return sdk.GuardrailFunctionOutput(
        output_info=row.get("info"), tripwire_triggered=mark is not None and mark in text
    )


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _input_guardrail(row: Row) -> sdk.InputGuardrail[Any]:
    def check(_context: Any, _agent: Any, given: Any) -> sdk.GuardrailFunctionOutput:
        return _guardrail_output(row, _text_of(given))

    # Before the model, so that the requests it sees do not depend on who is faster.
    return sdk.InputGuardrail(check, name=row["name"], run_in_parallel=False)


def _output_guardrail(row: Row) -> sdk.OutputGuardrail[Any]:
    def check(_context: Any, _agent: Any, output: Any) -> sdk.GuardrailFunctionOutput:
        return _guardrail_output(row, _text_of(output))

    return sdk.OutputGuardrail(check, name=row["name"])


def _agent(row: Row) -> Agent:
    fields: dict[str, Any] = {}
    for name in (
        "instructions",
        "handoff_description",
        "tool_use_behavior",
        "reset_tool_choice",
    ):
        if name in row:
            fields[name] = row[name]
    if "model_settings" in row:
        fields["model_settings"] = sdk.ModelSettings(**row["model_settings"])
    if "output_type" in row:
        fields["output_type"] = JsonOutput(row["output_type"]["json_schema"])
    return sdk.Agent(
        name=row["name"],
        model=row["model"],
        input_guardrails=[_input_guardrail(each) for each in row.get("input_guardrails", [])],
        output_guardrails=[_output_guardrail(each) for each in row.get("output_guardrails", [])],
        **fields,
    )


def _handoff(row: str | Row, agents: Mapping[str, Agent]) -> Any:
    if isinstance(row, str):
        return agents[row]
    return sdk.handoff(
        agents[row["agent"]],
        tool_name_override=row.get("tool_name"),
        tool_description_override=row.get("tool_description"),
        input_filter=remove_all_tools if "input_filter" in row else None,
    )


class Catalogue:
    """The live agents of one catalogue file. Handoffs hold their targets weakly: keep it."""

    def __init__(self, graph: Row, ledger: Ledger) -> None:
        rows = graph["agents"]
        self.agents = {row.get("id", row["name"]): _agent(row) for row in rows}
        self.mcp_servers: list[LedgerMcpServer] = []
        for row in rows:
            agent = self.agents[row.get("id", row["name"])]
            agent.tools = [build_tool(tool, self.agents, ledger) for tool in row.get("tools", [])]
            agent.handoffs = [_handoff(each, self.agents) for each in row.get("handoffs", [])]
            servers = [LedgerMcpServer(each, ledger) for each in row.get("mcp_servers", [])]
            agent.mcp_servers = list(servers)
            self.mcp_servers.extend(servers)
        self.root = self.agents[graph["root"]]
