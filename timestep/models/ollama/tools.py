"""Tools and handoffs as ``tools`` of a request, their schemas in the words the server keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from timestep.errors import ModelError

if TYPE_CHECKING:
    from agents import Handoff, Tool

# Keywords whose value is a schema, a list of schemas, or names with a schema each.
_ONE = frozenset({"items", "additionalProperties", "not", "contains", "if", "then", "else"})
_MANY = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})
_DEFINITIONS = frozenset({"$defs", "definitions"})


def to_tools(tools: Sequence[Tool], handoffs: Sequence[Handoff[Any, Any]]) -> list[dict[str, Any]]:
    """Every function tool and every handoff, in this order.

    Raises `ModelError`: ``unsupported-tool`` for a tool that runs at OpenAI or is no function,
    ``tool-conflict`` where two have one name.
    """
    from agents import FunctionTool

    functions: list[dict[str, Any]] = []
    for tool in tools:
        if not isinstance(tool, FunctionTool):
            raise ModelError(
                f"An Ollama model takes function tools and handoffs, not {tool.name!r} "
                f"({type(tool).__name__}).",
                code="unsupported-tool",
            )
        functions.append(_function(tool.name, tool.description, tool.params_json_schema))
    for handoff in handoffs:
        functions.append(
            _function(handoff.tool_name, handoff.tool_description, handoff.input_json_schema)
        )
    seen: set[str] = set()
    for function in functions:
        name = function["function"]["name"]
        if name in seen:
            raise ModelError(f"Two tools or handoffs have the name {name!r}.", code="tool-conflict")
        seen.add(name)
    return functions


def inline(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema with local references put in place, for a server that drops ``$ref``.

    ``oneOf`` becomes ``anyOf`` and ``const`` an ``enum`` of one. Where a reference leads back
    into itself only its ``type`` stays.
    """
    inlined = _Inliner(schema).schema(schema, ())
    return inlined if isinstance(inlined, dict) else {}


def _function(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    schema = inline(parameters) or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


class _Inliner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def schema(self, node: Any, within: tuple[str, ...]) -> Any:
        """`node` without references; `within` are those that led here."""
        if not isinstance(node, Mapping):
            return node
        reference = node.get("$ref")
        target = self._resolve(reference)
        if isinstance(reference, str) and target is not None:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            if reference in within:
                kept = {key: target[key] for key in ("type", "description") if key in target}
                return {**kept, **self.schema(beside, within)}
            return self.schema({**target, **beside}, (*within, reference))

        result: dict[str, Any] = {}
        for key, value in node.items():
            if key in _DEFINITIONS:
                continue
            if key == "oneOf" and "anyOf" not in node:
                result["anyOf"] = self._many(value, within)
            elif key == "const" and "enum" not in node:
                result["enum"] = [value]
            elif key in _MANY:
                result[key] = self._many(value, within)
            elif key in _ONE:
                result[key] = self.schema(value, within)
            elif key in _NAMED and isinstance(value, Mapping):
                result[key] = {name: self.schema(each, within) for name, each in value.items()}
            else:
                result[key] = value
        return result

    def _many(self, nodes: Any, within: tuple[str, ...]) -> Any:
        return [self.schema(node, within) for node in nodes] if isinstance(nodes, list) else nodes

    def _resolve(self, reference: object) -> Mapping[str, Any] | None:
        """The target of a local reference (RFC 6901 in a fragment); None for any other."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        target: Any = self._root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, Mapping) else None
        return target if isinstance(target, Mapping) else None
