from typing import Any

import pytest

from tests.state.build import AGENT, call, item, message, output
from timestep.state import items, to_portable
from timestep.state.calls import Calls, lookup_key
from timestep.state.generate import generate

REFERENCE = {"name": AGENT}


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "message_output_item", "raw_item": message(), "agent": REFERENCE},
        {
            "type": "tool_call_item",
            "raw_item": call(),
            "agent": REFERENCE,
            "tool_name": "get_weather",
        },
        {
            "type": "tool_call_item",
            "raw_item": {"type": "shell_call", "id": "s", "call_id": "s"},
            "agent": REFERENCE,
            "tool_name": "shell",
        },
        {
            "type": "tool_call_output_item",
            "raw_item": output("c"),
            "agent": REFERENCE,
            "output": {"temperature": 20},
            "custom_data": {"a": 1},
        },
        {
            "type": "handoff_output_item",
            "raw_item": output("h"),
            "agent": REFERENCE,
            "source_agent": REFERENCE,
            "target_agent": {"name": "b"},
        },
        {
            "type": "input_item",
            "raw_item": {"role": "user", "content": "Hi"},
            "agent": REFERENCE,
            "input_id": "in_1",
        },
    ],
    ids=lambda entry: entry["type"],
)
def test_an_entry_goes_there_and_back(entry: dict[str, Any]) -> None:
    portable = items.to_portable(entry, {})
    assert portable is not None
    assert items.to_python(portable) == entry


def test_an_output_is_kept_only_where_it_says_more() -> None:
    entry = {"type": "tool_call_output_item", "raw_item": output("c", "x"), "agent": REFERENCE}
    same = items.to_portable({**entry, "output": "x"}, {})
    other = items.to_portable({**entry, "output": "y"}, {})
    assert same is not None
    assert other is not None
    assert ("output" in same, other["output"]) == (False, "y")
    assert items.to_python(same)["output"] == "x"


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"type": "unknown_item", "raw_item": call(), "agent": REFERENCE},
        {"type": "tool_call_item", "raw_item": call(), "agent": {}},
        {"type": "tool_call_item", "raw_item": {}, "agent": REFERENCE},
        {"type": "tool_approval_item", "raw_item": call(), "agent": REFERENCE},
    ],
)
def test_what_has_no_portable_form(entry: Any) -> None:
    assert items.to_portable(entry, {}) is None


def test_a_key_is_kept_only_where_the_call_does_not_tell_it() -> None:
    bare = {"kind": "bare", "name": "get_weather"}
    deferred = {"kind": "deferred_top_level", "name": "get_weather"}
    assert items.explicit_key(bare, call()) is None
    assert items.explicit_key(deferred, call()) == deferred
    assert items.explicit_key({"kind": "namespaced", "name": "x"}, call()) is None
    assert items.explicit_key({"kind": "new", "name": "x"}, call()) is None
    assert items.explicit_key(deferred, {"type": "shell_call"}) is None


@pytest.mark.parametrize(
    ("namespace", "kind"),
    [(None, "bare"), ("crm", "namespaced"), ("get_weather", "deferred_top_level")],
)
def test_the_key_a_call_tells(namespace: str | None, kind: str) -> None:
    key = lookup_key({**call(), "namespace": namespace})
    assert key is not None
    assert key["kind"] == kind


def test_the_key_of_a_deferred_tool_survives() -> None:
    """Where the model's call has no namespace, only the SDK's bookkeeping tells the tool."""
    from tests.state.build import document

    deferred = {"kind": "deferred_top_level", "name": "get_weather"}
    facts = document(items=[item("tool_call_item", call(), tool_key=deferred)])
    facts["interruptions"][0]["tool_key"] = deferred
    found = to_portable(generate(facts, own=True)).document
    assert found["items"] == facts["items"]
    assert found["interruptions"] == facts["interruptions"]
    assert found["residue"]["python"]["patch"] == []


def test_an_interruption_names_its_tool() -> None:
    entry = {"type": "tool_approval_item", "raw_item": call(), "agent": REFERENCE}
    found = items.interruption(entry)
    assert found == {"item": call(), "agent": AGENT, "tool_name": "get_weather"}
    assert items.interruption({**entry, "agent": None}) is None
    shell = {"type": "shell_call", "id": "s", "call_id": "s"}
    assert items.approval({"item": shell, "agent": AGENT})["tool_name"] == "shell"


def test_the_placeholder_of_a_namespaced_tool() -> None:
    entry = items.approval({"item": {**call(), "namespace": "crm"}, "agent": AGENT})
    assert entry["tool_namespace"] == "crm"
    assert entry["tool_lookup_key"] == {
        "kind": "namespaced",
        "namespace": "crm",
        "name": "get_weather",
    }


def test_calls_of_a_nested_run_are_not_those_of_the_outer_run() -> None:
    from tests.state.build import document, run

    inner = run(call("inner"), agent="weather")
    response = {"start": 0, "count": 1, "tools_used": [], "nested_runs": {"call_1": inner}}
    outer = document(response=response, interruptions=inner["interruptions"])
    assert set(Calls.of(outer).by_id) == {"call_1"}
    assert set(Calls.of(inner).by_id) == {"inner"}
