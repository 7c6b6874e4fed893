"""What a round trip in one language has to keep: everything but three kinds of secret.

A portable run state never holds tracing API keys, tool configurations of MCP servers or raw
provider response bodies (docs/run-state.md, Residue), so both sides are compared without them.
"""

from __future__ import annotations

import json
from typing import Any

_RESPONSES = ("modelResponses", "lastModelResponse")
_NESTED = "pendingAgentToolRuns"
_LABELS = frozenset({"type", "server_label"})


def kept(state: Any) -> Any:
    """`state` without what is never stored, numbers as canonical JSON writes them."""
    if isinstance(state, dict):
        return {key: _member(key, value) for key, value in state.items() if not _secret(key)}
    if isinstance(state, list):
        return [kept(value) for value in state]
    if isinstance(state, float) and state.is_integer() and abs(state) < 1e21:
        return int(state)
    return state


def same(left: Any, right: Any) -> bool:
    """Whether two snapshots are byte-identical after canonical JSON, secrets aside."""
    return _text(kept(left)) == _text(kept(right))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _secret(key: str) -> bool:
    return key == "tracing_api_key"


def _member(key: str, value: Any) -> Any:
    if key in _RESPONSES:
        several = value if isinstance(value, list) else [value]
        bare = [
            {name: kept(part) for name, part in each.items() if name != "providerData"}
            if isinstance(each, dict)
            else each
            for each in several
        ]
        return bare if isinstance(value, list) else bare[0]
    if key == "mcp_tool" and isinstance(value, dict):
        return {name: kept(part) for name, part in value.items() if name != "tool_config"}
    if key == "mcpTool" and isinstance(value, dict):
        data = value.get("providerData")
        labels = {name: data[name] for name in _LABELS & data.keys()} if data else data
        return {**kept(value), "providerData": labels}
    if key == _NESTED and isinstance(value, dict):
        return {name: _nested(text) for name, text in value.items()}
    return kept(value)


def _nested(text: Any) -> Any:
    """A nested run that TypeScript keeps as a JSON text, its keys in their order."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return text
    return json.dumps(kept(value), ensure_ascii=False, separators=(",", ":"))
