"""What "the same" means: partial expectations, effects, and requests after named rules.

Two requests are compared as JSON values, so the order of keys and 1 against 1.0 never count.
Everything else that may differ is a rule below; each says which SDK behaviour it stands for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .case import ExtraRule
from .cassette import canonical
from .errors import CaseError

Json = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A documented difference.

    `scope` is `always`, `ports` (only between requests of different ports) or `optional` (only
    for a case that names it). `apply` changes its own copy of the request body.
    """

    name: str
    scope: str
    why: str
    apply: Callable[[Json], None]


def _items(body: Json, *kinds: str) -> Iterator[Json]:
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("type") in kinds:
            yield item


def _tool_messages(body: Json) -> Iterator[Json]:
    """Outputs in a request of Ollama's chat API."""
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "tool":
            yield message


def _handoff_spacing(body: Json) -> None:
    outputs = [(item, "output") for item in _items(body, "function_call_output")]
    outputs += [(message, "content") for message in _tool_messages(body)]
    for item, key in outputs:
        try:
            value = json.loads(item[key])
        except (KeyError, TypeError, ValueError):
            continue
        if isinstance(value, dict) and set(value) == {"assistant"}:
            item[key] = canonical(value)


def _drop(*kinds: str, key: str, value: Any = ...) -> Callable[[Json], None]:
    def apply(body: Json) -> None:
        for item in _items(body, *kinds):
            if key in item and (value is ... or item[key] == value):
                del item[key]

    return apply


def _stream_false(body: Json) -> None:
    if body.get("stream") is False:
        del body["stream"]


def _tool_schemas(body: Json) -> None:
    for tool in body.get("tools") or ():
        for each in tool.get("tools") or [tool]:
            _strip_schema(each.get("parameters"))
    _strip_schema((body.get("text") or {}).get("format", {}).get("schema"))


def _strip_schema(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    schema.pop("$schema", None)
    if isinstance(schema.get("title"), str):
        del schema["title"]
    for key in ("properties", "$defs", "definitions"):
        for each in (schema.get(key) or {}).values():
            _strip_schema(each)
    for key in ("items", "additionalProperties"):
        _strip_schema(schema.get(key))
    for key in ("anyOf", "allOf", "oneOf"):
        for each in schema.get(key) or ():
            _strip_schema(each)


def _compaction_trim(body: Json) -> None:
    items = body.get("input")
    if not isinstance(items, list):
        return
    last = max(
        (n for n, each in enumerate(items) if each.get("type") == "compaction"), default=None
    )
    if last is not None:
        body["input"] = items[last:]


def _shell_exit_code(body: Json) -> None:
    for item in _items(body, "shell_call_output"):
        for part in item.get("output") or ():
            if isinstance(part.get("outcome"), dict):
                part["outcome"].pop("exit_code", None)


RULES = (
    Rule(
        "handoff-output-spacing",
        "always",
        'A handoff\'s output is {"assistant": "x"} in Python and {"assistant":"x"} in TypeScript, '
        "and stays as the first port wrote it.",
        _handoff_spacing,
    ),
    Rule(
        "shell-output-length",
        "always",
        "TypeScript leaves max_output_length out of the shell outputs it makes.",
        _drop("shell_call_output", key="max_output_length"),
    ),
    Rule(
        "empty-safety-checks",
        "always",
        "TypeScript does not replay an empty list of pending safety checks.",
        _drop("computer_call", key="pending_safety_checks", value=[]),
    ),
    Rule(
        "null-safety-checks",
        "always",
        "Python writes acknowledged_safety_checks: null on computer outputs that have none.",
        _drop("computer_call_output", key="acknowledged_safety_checks", value=None),
    ),
    Rule(
        "null-mcp-output",
        "always",
        "A hosted MCP call without an output has output: null in Python; TypeScript keeps no null.",
        _drop("mcp_call", key="output", value=None),
    ),
    Rule(
        "stream-false",
        "ports",
        "TypeScript says stream: false where it does not stream.",
        _stream_false,
    ),
    Rule(
        "output-status",
        "ports",
        "TypeScript sends function_call_output with status completed, Python without.",
        _drop("function_call_output", key="status", value="completed"),
    ),
    Rule(
        "tool-schema-annotations",
        "ports",
        "Schemas of tools and outputs have titles in Python and $schema in TypeScript.",
        _tool_schemas,
    ),
    Rule(
        "image-result",
        "ports",
        "TypeScript replays an image generation without its result.",
        _drop("image_generation_call", key="result"),
    ),
    Rule(
        "mcp-call-output",
        "ports",
        "TypeScript replays a hosted MCP call without its output.",
        _drop("mcp_call", key="output"),
    ),
    Rule(
        "compaction-trim",
        "ports",
        "TypeScript trims what comes before the last compaction item, Python sends it all.",
        _compaction_trim,
    ),
    Rule(
        "rejected-shell-exit-code",
        "optional",
        "A rejected shell call has exit code 1 in Python and 0 in TypeScript.",
        _shell_exit_code,
    ),
)


def normalise(body: Any, *, ports_differ: bool, extra: Sequence[ExtraRule] = ()) -> Any:
    """A copy of a request body after the rules. Raises CaseError for an unknown rule name."""
    if not isinstance(body, dict):
        return body
    copy: Json = json.loads(json.dumps(body))
    named = {each.rule for each in extra if each.rule}
    if unknown := named - {rule.name for rule in RULES if rule.scope == "optional"}:
        raise CaseError(f"no optional rule is named {', '.join(sorted(unknown))}")
    for rule in RULES:
        if rule.scope == "always" or (rule.scope == "ports" and ports_differ) or rule.name in named:
            rule.apply(copy)
    for each in extra:
        if each.drop:
            _remove(copy, each.drop.split("/")[1:])
    return copy


def _remove(value: Any, steps: Sequence[str]) -> None:
    step, rest = steps[0].replace("~1", "/").replace("~0", "~"), steps[1:]
    if isinstance(value, dict):
        keys: list[Any] = list(value) if step == "*" else [step] if step in value else []
    elif isinstance(value, list):
        keys = list(range(len(value))) if step == "*" else [int(step)] if step.isdigit() else []
        keys = [key for key in keys if key < len(value)][::-1]
    else:
        return
    for key in keys:
        if rest:
            _remove(value[key], rest)
        else:
            del value[key]


def differences(expected: Any, actual: Any, at: str = "") -> Iterator[str]:
    """Where two JSON values differ, as `/pointer: what`."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in sorted({*expected, *actual}):
            where = f"{at}/{key}"
            if key not in actual:
                yield f"{where}: missing, expected {_short(expected[key])}"
            elif key not in expected:
                yield f"{where}: unexpected {_short(actual[key])}"
            else:
                yield from differences(expected[key], actual[key], where)
    elif isinstance(expected, list) and isinstance(actual, list):
        for index, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(one, other, f"{at}/{index}")
        for index in range(len(actual), len(expected)):
            yield f"{at}/{index}: missing, expected {_short(expected[index])}"
        for index in range(len(expected), len(actual)):
            yield f"{at}/{index}: unexpected {_short(actual[index])}"
    elif not same(expected, actual):
        yield f"{at or '/'}: {_short(actual)}, expected {_short(expected)}"


def mismatches(expected: Any, actual: Any, at: str = "") -> Iterator[str]:
    """Where `actual` is not what a case expects.

    Every key given is compared, others are not; lists are compared whole, their members in part.
    `{$absent: true}` wants no such key, `{$any: true}` any value, `{$contains: text}` a string
    that holds the text.
    """
    if isinstance(expected, Mapping):
        if expected.keys() == {"$any"}:
            return
        if expected.keys() == {"$contains"}:
            if not isinstance(actual, str) or expected["$contains"] not in actual:
                yield f"{at}: {_short(actual)} does not contain {_short(expected['$contains'])}"
            return
        if not isinstance(actual, Mapping):
            yield f"{at or '/'}: {_short(actual)}, expected an object"
            return
        for key, value in expected.items():
            absent = isinstance(value, Mapping) and value.keys() == {"$absent"}
            if absent and key in actual:
                yield f"{at}/{key}: unexpected {_short(actual[key])}"
            elif not absent and key not in actual:
                yield f"{at}/{key}: missing, expected {_short(value)}"
            elif not absent:
                yield from mismatches(value, actual[key], f"{at}/{key}")
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{at or '/'}: {len(actual)} entries, expected {len(expected)}: {_short(actual)}"
            return
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from mismatches(one, other, f"{at}/{index}")
    elif not same(expected, actual):
        yield f"{at or '/'}: {_short(actual)}, expected {_short(expected)}"


def sent(expected: Sequence[Any], bodies: Sequence[Any]) -> list[str]:
    """Where request bodies are not as expected: each whole, or in part by `{$part: ...}`."""
    found = [] if len(expected) == len(bodies) else [f"{len(bodies)} requests, not {len(expected)}"]
    for index, (one, body) in enumerate(zip(expected, bodies, strict=False)):
        if isinstance(one, Mapping) and one.keys() == {"$part"}:
            found += mismatches(one["$part"], body, f"/{index}")
        else:
            found += differences(one, body, f"/{index}")
    return found


def effects(
    expected: Sequence[Mapping[str, Any]], actual: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What tools did that was not expected, and the other way round; order does not count."""
    left = list(actual)
    found = []
    for each in sorted(expected, key=lambda one: "arguments" not in one):
        fitting = next((one for one in left if _is_effect(each, one)), None)
        if fitting is None:
            found.append(f"{_effect(each)} did not happen, or too seldom")
        else:
            left.remove(fitting)
    return found + [f"{_effect(each)} happened, or too often" for each in left]


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _is_effect(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    return expected["tool"] == actual["tool"] and (
        "arguments" not in expected or same(expected["arguments"], actual["arguments"])
    )


def _effect(each: Mapping[str, Any]) -> str:
    arguments = canonical(each["arguments"]) if "arguments" in each else "..."
    return f"{each['tool']}({arguments})"


def _short(value: Any) -> str:
    text = canonical(value)
    return text if len(text) <= 160 else f"{text[:160]}..."
