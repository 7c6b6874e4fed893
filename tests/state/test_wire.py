from typing import Any

import pytest

from tests.state.build import call, message, output
from timestep.state import wire


@pytest.mark.parametrize("placeholder", ["__fake_id__", "FAKE_ID"])
def test_a_placeholder_id_is_left_out_and_comes_back(placeholder: str) -> None:
    portable = wire.to_portable(message(id=placeholder))
    assert "id" not in portable
    assert wire.to_python(portable)["id"] == "__fake_id__"


@pytest.mark.parametrize("kind", ["message", "reasoning", "file_search_call", "shell_call"])
def test_what_the_sdk_drops_without_id_gets_one(kind: str) -> None:
    assert wire.to_python({"type": kind})["id"] == "__fake_id__"
    assert wire.to_python({"type": kind, "id": "x"})["id"] == "x"


def test_a_function_call_needs_no_id() -> None:
    bare = call()
    del bare["id"]
    assert wire.to_python(bare) is bare


def test_an_assistant_message_has_parts_with_annotations() -> None:
    text = {"role": "assistant", "content": "Hi"}
    part = {"type": "output_text", "text": "Hi"}
    expected = [{**part, "annotations": []}]
    assert wire.to_portable(text)["content"] == expected
    assert wire.to_portable(message(content=[part]))["content"] == expected
    assert wire.to_portable(message(content=[{**part, "annotations": None}]))["content"] == expected


def test_a_user_message_keeps_its_text() -> None:
    user = {"role": "user", "content": "Hi"}
    assert wire.to_portable(user) is user


@pytest.mark.parametrize(("status", "kept"), [("completed", False), ("incomplete", True)])
def test_an_output_has_no_status_unless_incomplete(status: str, kept: bool) -> None:
    assert ("status" in wire.to_portable({**output("c"), "status": status})) is kept


def test_a_shell_output_is_without_what_the_sdk_never_sends() -> None:
    sent = {"type": "shell_call_output", "call_id": "c", "output": [], "max_output_length": 9}
    assert wire.to_portable({**sent, "status": "completed", "shell_output": [{}]}) == sent
    assert wire.to_portable(sent) is sent


def test_what_only_the_writing_sdk_understands_is_left_out() -> None:
    assert wire.to_portable({**call(), "provider_data": {"model": "x"}}) == call()


def test_thinking_keeps_the_model_that_thought() -> None:
    thought = {"type": "reasoning", "summary": [], "provider_data": {"model": "x"}}
    assert wire.to_portable(thought) is thought
    more = {**thought, "provider_data": {"model": "x", "response_id": "y"}}
    assert wire.to_portable(more) == thought
    for data in ({"response_id": "y"}, {"model": ""}, {"model": 1}, "x", None):
        assert "provider_data" not in wire.to_portable({**thought, "provider_data": data})


def test_an_item_that_needs_no_change_is_shared() -> None:
    for item in (call(), output("c"), message()):
        assert wire.to_portable(item) is item
        assert wire.to_python(item) is item


@pytest.mark.parametrize(
    "item",
    [
        "text",
        {"role": "user"},
        {"type": None, "role": "user", "content": ""},
        {"type": "function_call", "name": "a", "arguments": "{}"},
        {"type": "function_call", "name": "a", "arguments": {}, "call_id": "c"},
        {"type": "function_call_output", "output": ""},
        {"type": "message", "role": "assistant"},
        {"id": "x"},
    ],
)
def test_what_has_no_portable_form(item: Any) -> None:
    assert not wire.is_portable(item)


def test_the_id_that_joins_call_and_output() -> None:
    request = {"type": "mcp_approval_request", "id": "m"}
    answer = {"type": "mcp_approval_response", "id": "r", "approval_request_id": "m"}
    assert wire.call_id(request) == "m"
    assert wire.answered_call(answer) == ("mcp_approval_request", "m")
    assert wire.answered_call(output("c")) == ("function_call", "c")
    assert wire.call_id(output("c")) is None
    assert wire.answered_call(call()) is None
