from typing import Any

import pytest
from agents._tool_invocation import tool_invocation_identity_and_scope

from tests.state.build import call, item, output, run
from timestep.state import ledger
from timestep.state.calls import Call, Calls, lookup_key

CALLS: list[dict[str, Any]] = [
    call(),
    call(arguments="{}"),
    call(arguments="not json"),
    call(arguments='{"a": null, "b": [1, 1.0, 1e16, 1e-5, 123456789012345678901234567890]}'),
    call(arguments='{"n": NaN}'),
    call(arguments='{"é": "Ålesund", "\\u00e9": "\\ud83d\\ude00"}'),
    call(arguments='[1, {"b": 1, "a": 2}]'),
    {**call(), "namespace": "crm"},
    {**call(), "namespace": "get_weather"},
    {**call(), "namespace": ""},
    {**call(), "caller": {"type": "program", "caller_id": "prog_1", "extra": None}},
    {
        "type": "shell_call",
        "call_id": "s",
        "action": {"commands": ["ls"], "timeout_ms": None},
        "environment": None,
    },
    {
        "type": "computer_call",
        "call_id": "c",
        "action": {"type": "click", "x": 1, "keys": None},
        "pending_safety_checks": [],
    },
    {"type": "apply_patch_call", "call_id": "p", "operation": {"type": "create_file", "path": "a"}},
    {"type": "apply_patch_call", "call_id": "p"},
    {"type": "local_shell_call", "call_id": "l", "action": {"command": ["ls"], "env": {}}},
    {"type": "custom_tool_call", "call_id": "x", "name": "run_code", "input": "print(1)"},
    {"type": "custom_tool_call", "call_id": "x", "name": "run_code"},
    {
        "type": "mcp_approval_request",
        "id": "m",
        "name": "search",
        "server_label": "srv",
        "arguments": '{"q":1}',
    },
    {"type": "mcp_approval_request", "id": "m", "name": "search", "arguments": "{}"},
]
NAMES = {"shell_call": "shell", "computer_call": "computer_use_preview", "apply_patch_call": "p"}


@pytest.mark.parametrize("wire", CALLS, ids=lambda wire: f"{wire['type']}-{len(str(wire))}")
@pytest.mark.parametrize("handoff", [False, True])
def test_the_hashes_are_those_of_the_sdk(wire: dict[str, Any], handoff: bool) -> None:
    key = lookup_key(wire) if wire["type"] == "function_call" else None
    name = NAMES.get(wire["type"]) or wire.get("name")
    expected = tool_invocation_identity_and_scope(
        wire,
        tool_lookup_key=key and tuple(ledger.key_parts(key)),  # type: ignore[arg-type]
        tool_name=name,
        invocation_role="handoff" if handoff else None,
    )
    made = Call("id", wire["type"], wire, "agent", key=key, name=name, handoff=handoff)
    scope = ledger.scope(made)
    mark = scope and ledger.fingerprint(made, scope)
    assert (mark and (scope, mark)) == (expected and expected[2:])


def test_the_published_vector() -> None:
    made = Call("call_1", "function_call", call(), "a", key={"kind": "bare", "name": "get_weather"})
    scope = ledger.scope(made)
    assert scope is not None
    assert scope.startswith("ebfaafc0dd470214")
    assert (ledger.fingerprint(made, scope) or "").startswith("a33de86474b3876549")


def test_what_the_sdk_cannot_hash_has_no_entry() -> None:
    body = run(call(arguments='"\\ud800"'))
    assert ledger.entries(Calls.of(body), lambda _: False) == {}


def test_a_key_of_another_kind_has_a_scope_of_its_own() -> None:
    keys = [
        {"kind": "namespaced", "namespace": "a", "name": "b"},
        {"kind": "namespaced", "namespace": "b", "name": "a"},
        {"name": "b", "kind": "bare"},
        {"kind": "deferred_top_level", "name": "b"},
    ]
    entries = [
        item("tool_call_item", call(f"call_{index}"), tool_key=key)
        for index, key in enumerate(keys)
    ]
    body = run(items=entries, interruptions=[])
    scopes = [mark["approval_scope"] for mark in ledger.entries(Calls.of(body), bool).values()]
    assert len(set(scopes)) == len(keys)


def test_how_far_a_call_got() -> None:
    wires = [call("done"), call("waits"), call("inside")]
    items = [item("tool_call_item", wire) for wire in wires]
    body = run(items=[*items, item("tool_call_output_item", output("done"))], interruptions=[])
    marks = ledger.entries(Calls.of(body), lambda call: call.id == "inside")
    assert {key: (mark["executed"], mark["completed"]) for key, mark in marks.items()} == {
        "done": (True, True),
        "waits": (False, False),
        "inside": (True, False),
    }
