"""Tools of the agents catalogue, made from data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import agents as sdk
from agents.tool_context import ToolContext

from .effects import Ledger, returned

Agent = sdk.Agent[Any]
Row = Mapping[str, Any]


def parameters_schema(parameters: Row | list[str]) -> dict[str, Any]:
    """The JSON Schema of a tool's parameters; a list names required texts."""
    if isinstance(parameters, Mapping):
        return dict(parameters)
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in parameters},
        "required": list(parameters),
        "additionalProperties": False,
    }


def _verdict(row: Row, text: str) -> sdk.ToolGuardrailFunctionOutput:
    info = row.get("info")
    if (mark := row.get("raise_on")) and mark in text:
        return sdk.ToolGuardrailFunctionOutput.raise_exception(info)
    if (mark := row.get("reject_on")) and mark in text:
        return sdk.ToolGuardrailFunctionOutput.reject_content(row.get("message", ""), info)
    return sdk.ToolGuardrailFunctionOutput.allow(info)


def _input_guardrail(row: Row) -> sdk.ToolInputGuardrail[Any]:
    def check(data: sdk.ToolInputGuardrailData) -> sdk.ToolGuardrailFunctionOutput:
        return _verdict(row, data.context.tool_arguments)

    return sdk.ToolInputGuardrail(check, name=row["name"])


def _output_guardrail(row: Row) -> sdk.ToolOutputGuardrail[Any]:
    def check(data: sdk.ToolOutputGuardrailData) -> sdk.ToolGuardrailFunctionOutput:
        output = data.output
        return _verdict(row, output if isinstance(output, str) else json.dumps(output, default=str))

    return sdk.ToolOutputGuardrail(check, name=row["name"])


def _function(row: Row, ledger: Ledger) -> sdk.Tool:
    name = row["name"]

    async def invoke(context: ToolContext[Any]) -> Any:
        text = context.tool_arguments
        given = json.loads(text) if text else {}
        ledger.add(name, given)
        if "delay_ms" in row:
            await asyncio.sleep(row["delay_ms"] / 1000)
        if "fails" in row:
            raise RuntimeError(row["fails"])
        return returned(row["returns"], given)

    def failed(_context: Any, error: Exception) -> str:
        return f"{name} failed: {error}"

    tool = sdk.function_tool(
        invoke,
        name_override=name,
        description_override=row["description"],
        failure_error_function=failed,
        needs_approval=row.get("needs_approval", False),
        defer_loading=row.get("defer_loading", False),
        allowed_callers=row.get("allowed_callers"),
        tool_input_guardrails=[_input_guardrail(each) for each in row.get("input_guardrails", [])],
        tool_output_guardrails=[
            _output_guardrail(each) for each in row.get("output_guardrails", [])
        ],
    )
    tool.params_json_schema = parameters_schema(row["parameters"])
    if "namespace" in row:
        (tool,) = sdk.tool_namespace(**row["namespace"], tools=[tool])
    return tool


def _custom(row: Row, ledger: Ledger) -> sdk.Tool:
    def invoke(_context: Any, text: str) -> str:
        ledger.add(row["name"], text)
        return str(row["returns"])

    return sdk.CustomTool(
        name=row["name"],
        description=row["description"],
        on_invoke_tool=cast(Any, invoke),
        needs_approval=row.get("needs_approval", False),
    )


def _shell(row: Row, ledger: Ledger) -> sdk.Tool:
    def run(request: sdk.ShellCommandRequest) -> sdk.ShellResult:
        ledger.add("shell", {"commands": list(request.data.action.commands)})
        outcome = sdk.ShellCallOutcome(type="exit", exit_code=0)
        return sdk.ShellResult(
            output=[sdk.ShellCommandOutput(stdout=row["returns"], stderr="", outcome=outcome)]
        )

    return sdk.ShellTool(executor=run, needs_approval=row.get("needs_approval", False))


def _local_shell(row: Row, ledger: Ledger) -> sdk.Tool:
    def run(request: sdk.LocalShellCommandRequest) -> str:
        ledger.add("local_shell", {"command": list(request.data.action.command)})
        return str(row["returns"])

    return sdk.LocalShellTool(executor=run)


class _Editor:
    def __init__(self, row: Row, ledger: Ledger) -> None:
        self._row = row
        self._ledger = ledger

    def _apply(self, operation: sdk.ApplyPatchOperation) -> sdk.ApplyPatchResult:
        done = {"type": operation.type, "path": operation.path, "diff": operation.diff}
        self._ledger.add("apply_patch", {k: v for k, v in done.items() if v is not None})
        return sdk.ApplyPatchResult(status="completed", output=self._row["returns"])

    create_file = update_file = delete_file = _apply


def _apply_patch(row: Row, ledger: Ledger) -> sdk.Tool:
    return sdk.ApplyPatchTool(
        editor=_Editor(row, ledger), needs_approval=row.get("needs_approval", False)
    )


class _Computer(sdk.AsyncComputer):
    environment = cast(Any, "browser")
    dimensions = cast(Any, (1024, 768))

    def __init__(self, row: Row, ledger: Ledger) -> None:
        self._row = row
        self._ledger = ledger

    def _act(self, kind: str, **details: Any) -> None:
        self._ledger.add("computer", {"type": kind, **details})

    async def screenshot(self) -> str:
        return str(self._row["returns"])

    async def click(self, x: int, y: int, button: Any) -> None:
        self._act("click", x=x, y=y, button=button)

    async def double_click(self, x: int, y: int) -> None:
        self._act("double_click", x=x, y=y)

    async def scroll(self, x: int, y: int, scroll_x: int, scroll_y: int) -> None:
        self._act("scroll", x=x, y=y, scroll_x=scroll_x, scroll_y=scroll_y)

    async def type(self, text: str) -> None:
        self._act("type", text=text)

    async def wait(self) -> None:
        self._act("wait")

    async def move(self, x: int, y: int) -> None:
        self._act("move", x=x, y=y)

    async def keypress(self, keys: list[str]) -> None:
        self._act("keypress", keys=list(keys))

    async def drag(self, path: list[tuple[int, int]]) -> None:
        self._act("drag", path=[list(point) for point in path])


def _computer(row: Row, ledger: Ledger) -> sdk.Tool:
    # This SDK has no approval of computer actions.
    return sdk.ComputerTool(computer=_Computer(row, ledger))


def _hosted_mcp(row: Row, _ledger: Ledger) -> sdk.Tool:
    config = {key: value for key, value in row.items() if key != "kind"}
    return sdk.HostedMCPTool(tool_config=cast(Any, {"type": "mcp", **config}))


_MAKERS: dict[str, Callable[[Row, Ledger], sdk.Tool]] = {
    "function": _function,
    "custom": _custom,
    "shell": _shell,
    "local_shell": _local_shell,
    "apply_patch": _apply_patch,
    "computer": _computer,
    "hosted_mcp": _hosted_mcp,
    "web_search": lambda _row, _ledger: sdk.WebSearchTool(),
    "file_search": lambda row, _ledger: sdk.FileSearchTool(
        vector_store_ids=list(row["vector_store_ids"])
    ),
    "code_interpreter": lambda _row, _ledger: sdk.CodeInterpreterTool(
        tool_config={"type": "code_interpreter", "container": {"type": "auto"}}
    ),
    "image_generation": lambda _row, _ledger: sdk.ImageGenerationTool(
        tool_config={"type": "image_generation"}
    ),
    "tool_search": lambda _row, _ledger: sdk.ToolSearchTool(),
    "programmatic": lambda _row, _ledger: sdk.ProgrammaticToolCallingTool(),
}


def build_tool(row: Row, agents: Mapping[str, Agent], ledger: Ledger) -> sdk.Tool:
    """The SDK tool of a catalogue row. Raises `KeyError` for a kind nobody knows."""
    if row["kind"] == "agent_tool":
        return agents[row["agent"]].as_tool(
            row["name"], row["description"], needs_approval=row.get("needs_approval", False)
        )
    return _MAKERS[row["kind"]](row, ledger)
