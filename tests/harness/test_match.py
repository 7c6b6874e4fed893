"""What counts as the same."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness.case import ExtraRule
from conformance.harness.errors import CaseError
from conformance.harness.match import (
    RULES,
    differences,
    effects,
    mismatches,
    normalise,
    same,
)


def body(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "gpt-x", "input": list(items), **more}


def output(text: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": text, **more}


# For each rule two bodies that are the same under it, and differ without it.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "handoff-output-spacing": (
        body(output('{"assistant": "b"}')),
        body(output('{"assistant":"b"}')),
    ),
    "shell-output-length": (
        body({"type": "shell_call_output", "call_id": "c", "max_output_length": 9}),
        body({"type": "shell_call_output", "call_id": "c"}),
    ),
    "empty-safety-checks": (
        body({"type": "computer_call", "pending_safety_checks": []}),
        body({"type": "computer_call"}),
    ),
    "null-safety-checks": (
        body({"type": "computer_call_output", "acknowledged_safety_checks": None}),
        body({"type": "computer_call_output"}),
    ),
    "null-mcp-output": (body({"type": "mcp_call", "output": None}), body({"type": "mcp_call"})),
    "stream-false": (body(stream=False), body()),
    "output-status": (body(output("x", status="completed")), body(output("x"))),
    "tool-schema-annotations": (
        body(
            tools=[
                {
                    "name": "t",
                    "parameters": {
                        "title": "t_args",
                        "properties": {"title": {"title": "Title", "type": "string"}},
                    },
                }
            ]
        ),
        body(
            tools=[
                {
                    "name": "t",
                    "parameters": {
                        "$schema": "x",
                        "properties": {"title": {"type": "string"}},
                    },
                }
            ]
        ),
    ),
    "image-result": (
        body({"type": "image_generation_call", "result": "AAAA"}),
        body({"type": "image_generation_call"}),
    ),
    "mcp-call-output": (body({"type": "mcp_call", "output": "x"}), body({"type": "mcp_call"})),
    "compaction-trim": (
        body({"role": "user", "content": "x"}, {"type": "compaction"}, output("y")),
        body({"type": "compaction"}, output("y")),
    ),
    "rejected-shell-exit-code": (
        body(
            {
                "type": "shell_call_output",
                "output": [{"outcome": {"type": "exit", "exit_code": 1}}],
            }
        ),
        body(
            {
                "type": "shell_call_output",
                "output": [{"outcome": {"type": "exit", "exit_code": 0}}],
            }
        ),
    ),
}


def test_every_rule_is_tried_here() -> None:
    assert set(PAIRS) == {rule.name for rule in RULES}
    assert all(rule.why.endswith(".") for rule in RULES)


@pytest.mark.parametrize("name", PAIRS)
def test_a_rule_covers_its_difference_in_its_scope_and_no_other(name: str) -> None:
    one, other = PAIRS[name]
    scope = next(rule.scope for rule in RULES if rule.name == name)
    named = [ExtraRule("the documented difference", rule=name)]
    for applies, differ in ((scope == "always", False), (scope != "optional", True)):
        left, right = (normalise(each, ports_differ=differ) for each in (one, other))
        assert same(left, right) is applies
    if scope == "optional":
        left, right = (normalise(each, ports_differ=False, extra=named) for each in (one, other))
        assert same(left, right)
    assert one == PAIRS[name][0], "a rule changed what it was given"


@pytest.mark.parametrize(
    "item",
    [
        output("it is { not json"),
        output('{"assistant": "b", "more": 1}'),
        output("x", status="incomplete"),
        {"type": "computer_call", "pending_safety_checks": [{"id": "1"}]},
        {"role": "user", "content": "stream"},
    ],
)
def test_rules_leave_everything_else_alone(item: dict[str, Any]) -> None:
    whole = body(item, stream=True)
    assert normalise(whole, ports_differ=True) == whole


def test_a_case_can_drop_members_and_name_optional_rules_only() -> None:
    whole = body({"a": 1, "b": 2}, {"a": 3}, **{"x/y": 1})
    extra = [
        ExtraRule("because", drop="/input/*/a"),
        ExtraRule("because", drop="/x~1y"),
        ExtraRule("because", drop="/input/7/a"),
    ]
    assert normalise(whole, ports_differ=False, extra=extra) == body({"b": 2}, {})
    with pytest.raises(CaseError, match="stream-false"):
        normalise(whole, ports_differ=False, extra=[ExtraRule("because", rule="stream-false")])


def test_differences_name_the_place() -> None:
    one = {"a": [1, {"b": "x"}], "c": True, "d": 1, "e": None}
    other = {"a": [1.0, {"b": "y"}, 3], "c": 1, "d": 1.0, "f": 0}
    assert list(differences(one, other)) == [
        '/a/1/b: "y", expected "x"',
        "/a/2: unexpected 3",
        "/c: 1, expected true",
        "/e: missing, expected null",
        "/f: unexpected 0",
    ]
    assert list(differences([1, 2], [1])) == ["/1: missing, expected 2"]
    assert list(differences(one, one)) == []


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ({"a": 1}, []),
        ({"list": [{"x": 1}, {}]}, []),
        ({"list": [{"x": 1}]}, ["/list: 2 entries, expected 1"]),
        ({"none": {"$absent": True}, "a": {"$any": True}}, []),
        ({"a": {"$absent": True}}, ["/a: unexpected 1"]),
        ({"text": {"$contains": "ell"}}, []),
        ({"text": {"$contains": "hi"}}, ["does not contain"]),
        ({"a": {"$contains": "1"}}, ["does not contain"]),
        ({"missing": {"$any": True}}, ["/missing: missing"]),
        ({"a": True}, ["/a: 1, expected true"]),
        ({"a": {"b": 1}}, ["/a: 1, expected an object"]),
        ({"list": [{"x": 2}, {}]}, ["/list/0/x: 1, expected 2"]),
    ],
)
def test_expectations_are_partial_in_objects_and_whole_in_lists(
    expected: dict[str, Any], told: list[str]
) -> None:
    actual = {"a": 1, "list": [{"x": 1, "y": 2}, {"z": 3}], "text": "hello"}
    found = list(mismatches(expected, actual))
    assert len(found) == len(told)
    assert all(part in each for part, each in zip(told, found, strict=True))


def test_effects_are_a_multiset() -> None:
    did = [{"tool": "pay", "arguments": {"n": 1}}, {"tool": "pay", "arguments": {"n": 2}}]
    assert effects([{"tool": "pay", "arguments": {"n": 2.0}}, {"tool": "pay"}], did) == []
    assert effects([did[0]], did) == ['pay({"n":2}) happened, or too often']
    assert effects([*did, did[0]], did) == ['pay({"n":1}) did not happen, or too seldom']
    assert effects([], []) == []
