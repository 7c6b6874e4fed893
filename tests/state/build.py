"""Small documents, wire items and agents the tests of the codec are made of."""

from __future__ import annotations

from typing import Any

from agents import Agent, FunctionTool, Handoff, function_tool, handoff

Json = dict[str, Any]

AGENT = "assistant"


def call(
    call_id: str = "call_1", name: str = "get_weather", arguments: str = '{"city":"Oslo"}'
) -> Json:
    """A function call."""
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def output(call_id: str, text: str = "sunny") -> Json:
    """The output of a function call."""
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def message(text: str = "Hello.", **more: Any) -> Json:
    """A message of the assistant."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
        **more,
    }


def item(kind: str, wire: Json, agent: str = AGENT, **more: Any) -> Json:
    """A portable run item."""
    return {"type": kind, "item": wire, "agent": agent, **more}


def usage(**counts: Any) -> Json:
    """Portable usage."""
    return {
        "requests": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": {},
        "output_tokens_details": {},
        "entries": [],
        **counts,
    }


def run(*wires: Json, agent: str = AGENT, **more: Any) -> Json:
    """A portable run that waits for decisions on function calls."""
    items = [item("tool_call_item", wire, agent) for wire in wires]
    body: Json = {
        "status": "interrupted",
        "current_turn": 1,
        "max_turns": 10,
        "current_agent": agent,
        "input": "Weather in Oslo?",
        "items": items,
        "response": {
            "start": 0,
            "count": len(items),
            "tools_used": [wire["name"] for wire in wires],
        },
        "interruptions": [
            {"item": wire, "agent": agent, "tool_name": wire["name"]} for wire in wires
        ],
        "responses": [{"output": list(wires), "usage": usage(), "response_id": "resp_1"}],
        "usage": usage(),
        "context": None,
        "context_type": "none",
        "tool_use": {agent: [wire["name"] for wire in wires]},
        "guardrails": {"input": [], "output": [], "tool_input": [], "tool_output": []},
        "session": {"persisted_items": 0},
    }
    return {**body, **more}


def document(*wires: Json, **more: Any) -> Json:
    """A portable document as the TypeScript port writes one, without residue."""
    writer = {
        "port": "@timestep-ai/timestep",
        "port_version": "0.1.0",
        "sdk": "@openai/agents",
        "sdk_version": "0.20.0",
        "sdk_schema": "1.22",
        "language": "typescript",
    }
    return {
        "format": "timestep.run_state",
        "version": "1",
        "writer": writer,
        **run(*(wires or (call(),))),
        "decisions": [],
        **more,
    }


def decision(
    call_id: str | None = "call_1", verdict: str = "approve", tool: Json | None = None, **more: Any
) -> Json:
    """A decision, about one call or, without a call id, about every call."""
    made: Json = {"tool": tool or function("get_weather"), "scope": "call", "decision": verdict}
    if call_id is None:
        made["scope"] = "always"
    else:
        made["call_id"] = call_id
    return {**made, **more}


def function(name: str, agent: str = AGENT) -> Json:
    """What a decision about a function tool is about."""
    return {"kind": "function", "agent": agent, "key": {"kind": "bare", "name": name}}


def tool(name: str = "get_weather", **more: Any) -> FunctionTool:
    """A live tool that asks for approval."""

    def run_tool(city: str = "") -> str:
        return f"sunny in {city}"

    return function_tool(run_tool, name_override=name, needs_approval=True, **more)


def agent(
    name: str = AGENT, *tools: Any, handoffs: tuple[Agent[Any] | Handoff[Any, Any], ...] = ()
) -> Agent[Any]:
    """A live agent, with the weather tool where none is given."""
    return Agent(name=name, tools=list(tools or (tool(),)), handoffs=list(handoffs))


__all__ = [
    "agent",
    "call",
    "decision",
    "document",
    "function",
    "handoff",
    "item",
    "message",
    "output",
    "run",
    "tool",
    "usage",
]
