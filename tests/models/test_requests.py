"""What the server is sent: messages, tools and settings, as parsed bodies."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from agents import (
    Agent,
    AgentOutputSchema,
    ModelSettings,
    WebSearchTool,
    handoff,
)
from openai.types.shared import Reasoning
from pydantic import BaseModel

from tests.models.ask import asker, tool
from tests.models.server import called, whole
from timestep import ModelError
from timestep.models.ollama.messages import to_messages
from timestep.models.ollama.request import build_request
from timestep.models.ollama.tools import inline, to_tools

pytestmark = pytest.mark.anyio

PNG = base64.b64encode(b"\x89PNG\r\n").decode()
USER = {"role": "user", "content": "Hi"}


class City(BaseModel):
    name: str


def call(name: str, call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "name": name, "call_id": call_id, "arguments": arguments}


def result(call_id: str, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def thought(text: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text}]
    item = {"type": "reasoning", "id": "__fake_id__", "summary": [], "content": content}
    return {**item, "provider_data": {"model": "llama3"}, **more}


def image(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def part(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def messages(*items: Any, system: str | None = None) -> list[dict[str, Any]]:
    return to_messages(system, list(items))


async def test_a_bare_request_invents_nothing() -> None:
    async with asker(whole("Hi")) as model:
        await model.ask("Hello", system_instructions="Be kind")
    assert model.body == {
        "model": "llama3",
        "messages": [
            {"role": "system", "content": "Be kind"},
            {"role": "user", "content": "Hello"},
        ],
        "stream": False,
    }
    (sent,) = model.server.sent
    assert sent.path == "/api/chat"
    assert "authorization" not in sent.headers


def test_developer_is_system_and_text_parts_are_joined() -> None:
    assert messages(
        {"role": "developer", "content": "A"},
        {"type": "message", "role": "system", "content": [part("B"), part("C")]},
        {"role": "user", "content": [part("D "), part("E")]},
    ) == [
        {"role": "system", "content": "A"},
        {"role": "system", "content": "BC"},
        {"role": "user", "content": "D E"},
    ]


def test_an_assistant_turn_is_one_message() -> None:
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "One. "}]}
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages(
        USER, thought("Hm"), said, call("f", "call_1", '{"x":1}'), call("g", "call_2"), refused
    ) == [
        USER,
        {
            "role": "assistant",
            "content": "One. No.",
            "thinking": "Hm",
            "tool_calls": [
                {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}},
                {"id": "call_2", "function": {"index": 1, "name": "g", "arguments": {}}},
            ],
        },
    ]


def test_outputs_keep_name_and_id_when_they_cross() -> None:
    sent = messages(
        USER, call("f", "call_1"), call("g", "call_2"), result("call_2", "two"), result("call_1", 1)
    )
    assert sent[2:] == [
        {"role": "tool", "content": "two", "tool_name": "g", "tool_call_id": "call_2"},
        {"role": "tool", "content": "1", "tool_name": "f", "tool_call_id": "call_1"},
    ]


def test_the_last_call_of_an_id_names_its_output() -> None:
    sent = messages(
        USER,
        call("f", "call_1"),
        result("call_1", "a"),
        call("g", "call_1"),
        result("call_1", "b"),
    )
    assert [each["tool_name"] for each in sent if each["role"] == "tool"] == ["f", "g"]


def test_an_output_in_parts_is_one_message() -> None:
    sent = messages(USER, call("f", "call_1"), result("call_1", [part("part1"), part("part2")]))
    assert sent[-1]["content"] == "part1part2"


def test_an_image_of_a_tool_goes_with_its_message() -> None:
    picture = image(f"data:image/png;base64,{PNG}")
    both = messages(USER, call("f", "call_1"), result("call_1", [part("see"), picture]))[-1]
    alone = messages(USER, call("f", "call_1"), result("call_1", [picture]))[-1]
    assert (both["content"], both["images"]) == ("see", [PNG])
    assert (alone["content"], alone["images"]) == ("[image]", [PNG])


def test_an_object_as_output_is_its_text() -> None:
    sent = messages(
        USER,
        call("f", "call_1"),
        result("call_1", {"type": "text", "text": "sunny"}),
        call("f", "call_2"),
        result("call_2", {"a": [1, "ø"]}),
    )
    assert [each["content"] for each in sent if each["role"] == "tool"] == [
        "sunny",
        '{"a":[1,"ø"]}',
    ]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [("", {}), ("{broken", {}), ("NaN", {}), ("[1]", {"value": [1]}), ('"x"', {"value": "x"})],
)
def test_arguments_are_an_object(text: str, arguments: Any) -> None:
    sent = messages(USER, call("f", "call_1", text))
    assert sent[1]["tool_calls"][0]["function"]["arguments"] == arguments


def test_images_of_a_message_stay_with_it_in_order() -> None:
    other = base64.b64encode(b"\xff\xd8").decode()
    content = [
        part("a"),
        image(f"data:image/png;base64,{PNG}"),
        part("b"),
        image(f"data:image/jpeg;base64,{other[:2]}\n{other[2:]}"),
    ]
    assert messages({"role": "user", "content": content}) == [
        {"role": "user", "content": "ab", "images": [PNG, other]}
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": [image("https://example.com/a.png")]},
        {"role": "user", "content": [image("/etc/hostname")]},
        {"role": "user", "content": [image(PNG)]},
        {"role": "user", "content": [image("data:text/plain;base64,aGk=")]},
        {"role": "user", "content": [image("data:image/png,plain")]},
        {"role": "user", "content": [image("data:image/png;base64,a")]},
        {"role": "user", "content": [image("data:image/png;base64,a$bcd")]},
        {"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]},
        {"role": "user", "content": [{"type": "input_file", "file_data": "x"}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "critic", "content": "Hm"},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "call_9", "output": "x"},
    ],
)
async def test_what_has_no_place_is_refused_before_any_request(item: dict[str, Any]) -> None:
    async with asker() as model:
        with pytest.raises(ModelError, match="input item 1") as raised:
            await model.ask([USER, item])
    assert raised.value.code == "unsupported-input"
    assert model.server.sent == []


@pytest.mark.parametrize("items", [[], [{"role": "system", "content": "Be kind"}]])
def test_a_request_without_a_question_is_refused(items: list[Any]) -> None:
    with pytest.raises(ModelError) as raised:
        to_messages("Be kind", items)
    assert raised.value.code == "unsupported-input"


def test_thinking_goes_back_with_the_outputs_of_its_turn_only() -> None:
    turn = [thought("Hm"), call("f", "call_1"), result("call_1", "1")]
    assert messages(USER, *turn)[1]["thinking"] == "Hm"
    assert "thinking" not in messages(USER, *turn, {"role": "user", "content": "And?"})[1]


@pytest.mark.parametrize(
    "foreign",
    [
        thought("Hm", provider_data=None),
        thought("Hm", encrypted_content="sealed"),
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
    ],
)
def test_reasoning_of_another_service_is_not_sent(foreign: dict[str, Any]) -> None:
    sent = messages(USER, foreign, call("f", "call_1"))
    assert "thinking" not in sent[1]


async def test_reasoning_of_this_model_comes_back_to_it() -> None:
    first = whole(thinking="Hm", tool_calls=[called("f", {}, id="call_1")])
    async with asker(first, whole("Done")) as model:
        response = await model.ask("Hi")
        await model.ask([USER, *response.to_input_items(), result("call_1", "1")])
    assert model.server.bodies[1]["messages"][1]["thinking"] == "Hm"


def test_tools_and_handoffs_are_functions() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    sent = to_tools([tool("f", schema, "Counts")], [handoff(Agent(name="Bob"))])
    assert sent[0] == {
        "type": "function",
        "function": {"name": "f", "description": "Counts", "parameters": schema},
    }
    assert sent[1]["function"]["name"] == "transfer_to_bob"
    assert sent[1]["function"]["parameters"]["type"] == "object"
    assert sent[1]["function"]["parameters"]["properties"] == {}


def test_a_hosted_tool_is_refused() -> None:
    with pytest.raises(ModelError, match="web_search") as raised:
        to_tools([WebSearchTool()], [])
    assert raised.value.code == "unsupported-tool"


def test_one_name_for_two_is_refused() -> None:
    with pytest.raises(ModelError, match="transfer_to_bob") as raised:
        to_tools([tool("transfer_to_bob")], [handoff(Agent(name="Bob"))])
    assert raised.value.code == "tool-conflict"


def test_references_are_put_in_place() -> None:
    schema = {
        "type": "object",
        "properties": {
            "place": {"$ref": "#/$defs/Place", "description": "Where"},
            "kind": {"oneOf": [{"const": "a"}, {"type": "null"}]},
            "many": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
            "const": {"type": "string", "default": {"$ref": "kept"}},
        },
        "$defs": {
            "Place": {"type": "object", "properties": {"city": {"$ref": "#/$defs/a~1b"}}},
            "a/b": {"type": "string"},
        },
    }
    place = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert inline(schema) == {
        "type": "object",
        "properties": {
            "place": {**place, "description": "Where"},
            "kind": {"anyOf": [{"enum": ["a"]}, {"type": "null"}]},
            "many": {"type": "array", "items": place},
            "const": {"type": "string", "default": {"$ref": "kept"}},
        },
    }


def test_a_reference_into_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    assert inline(schema) == {"type": "object", "properties": {"next": {"type": "object"}}}


async def test_nested_schemas_reach_the_wire() -> None:
    schema = {
        "type": "object",
        "properties": {
            "loc": {"type": "object", "properties": {"lat": {"type": "number"}}},
            "unit": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "additionalProperties": False,
    }
    async with asker(whole("Hi")) as model:
        await model.ask(tools=[tool("f", schema)])
    assert model.body["tools"][0]["function"]["parameters"] == schema


def settings_of(settings: ModelSettings, **options: Any) -> dict[str, Any]:
    request = build_request("llama3", None, "Hi", settings, options.pop("tools", []), None, [])
    (payload,) = request.attempts
    return {name: payload[name] for name in payload.keys() - {"model", "messages"}}


def test_every_setting_is_an_option_zero_too() -> None:
    settings = ModelSettings(
        temperature=0,
        top_p=0.5,
        frequency_penalty=0,
        presence_penalty=0.25,
        max_tokens=7,
        extra_args={"seed": 0, "stop": ["."]},
    )
    assert settings_of(settings) == {
        "options": {
            "temperature": 0,
            "top_p": 0.5,
            "frequency_penalty": 0,
            "presence_penalty": 0.25,
            "num_predict": 7,
            "seed": 0,
            "stop": ["."],
        }
    }


@pytest.mark.parametrize(
    ("effort", "think"),
    [
        ("none", False),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "max"),
    ],
)
def test_effort_is_a_level_of_thinking(effort: Any, think: Any) -> None:
    assert settings_of(ModelSettings(reasoning=Reasoning(effort=effort))) == {"think": think}


def test_no_effort_leaves_thinking_to_the_model() -> None:
    assert settings_of(ModelSettings(reasoning=Reasoning())) == {}


@pytest.mark.parametrize(("truncation", "truncate"), [("auto", True), ("disabled", False)])
def test_truncation(truncation: Any, truncate: bool) -> None:
    assert settings_of(ModelSettings(truncation=truncation)) == {"truncate": truncate}


def test_logprobs() -> None:
    assert settings_of(ModelSettings(top_logprobs=2)) == {"logprobs": True, "top_logprobs": 2}


def test_explicit_settings_win() -> None:
    settings = ModelSettings(
        temperature=1,
        max_tokens=5,
        reasoning=Reasoning(effort="low"),
        extra_args={"options": {"num_predict": 9}, "think": True, "keep_alive": "5m"},
        extra_body={"temperature": 0.5, "num_ctx": 8192, "format": "json"},
    )
    assert settings_of(settings) == {
        "options": {"temperature": 0.5, "num_predict": 9, "num_ctx": 8192},
        "think": True,
        "keep_alive": "5m",
        "format": "json",
    }


@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(extra_args={"num_ctz": 1}),
        ModelSettings(extra_body={"messages": []}),
        ModelSettings(extra_args={"stream": True}),
        ModelSettings(extra_args={"structured_output": "never"}),
        ModelSettings(tool_choice="absent"),
    ],
)
def test_a_setting_without_a_place_is_refused(settings: ModelSettings) -> None:
    with pytest.raises(ModelError) as raised:
        settings_of(settings)
    assert raised.value.code == "unsupported-setting"


def test_settings_of_other_services_are_left_out() -> None:
    settings = ModelSettings(
        metadata={"a": "b"},
        store=True,
        verbosity="low",
        include_usage=True,
        response_include=["message.output_text.logprobs"],
        parallel_tool_calls=True,
    )
    assert settings_of(settings) == {}


async def test_extra_headers_are_headers_and_nothing_else() -> None:
    async with asker(whole("Hi")) as model:
        await model.ask(model_settings=ModelSettings(extra_headers={"X-Trace": "1"}))
    assert model.server.sent[0].headers["x-trace"] == "1"
    assert set(model.body) == {"model", "messages", "stream"}


def test_tool_choice() -> None:
    tools = [tool("f"), tool("g")]

    def names(choice: Any) -> list[str]:
        sent = settings_of(ModelSettings(tool_choice=choice), tools=tools)
        return [each["function"]["name"] for each in sent.get("tools", [])]

    assert names(None) == names("auto") == names("required") == ["f", "g"]
    assert names("none") == []
    assert names("g") == ["g"]


async def test_what_cannot_be_forced_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    settings = ModelSettings(tool_choice="required", parallel_tool_calls=False)
    async with asker(whole("a"), whole("b")) as model:
        for _ in range(2):
            await model.ask(
                model_settings=settings,
                tools=[tool("f")],
                previous_response_id="resp_1",
                conversation_id="conv_1",
                prompt={"id": "pmpt_1"},
            )
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 5
    for name in (
        "tool_choice",
        "parallel_tool_calls",
        "previous_response_id",
        "conversation_id",
        "prompt",
    ):
        assert any(name in each for each in told)


async def test_a_schema_is_the_format() -> None:
    schema = AgentOutputSchema(City)
    async with asker(whole('{"name":"Oslo"}')) as model:
        await model.ask(output_schema=schema)
    assert model.body["format"] == schema.json_schema()
    assert model.body["messages"] == [USER]


async def test_plain_text_has_no_format() -> None:
    async with asker(whole("Hi")) as model:
        await model.ask(output_schema=AgentOutputSchema(str))
    assert "format" not in model.body
