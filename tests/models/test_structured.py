"""Output schemas: as a format, as a prompt, and asked for once more."""

from __future__ import annotations

from typing import Any

import pytest
from agents import Agent, AgentOutputSchema, ModelBehaviorError, ModelSettings, RunConfig
from pydantic import BaseModel

from tests.models.ask import Asker, asker, output, tool
from tests.models.server import DONE, called, chunk, ollama_server, streamed, whole
from timestep import OllamaModelProvider, consume_result, run_agent

pytestmark = pytest.mark.anyio


class City(BaseModel):
    name: str


SCHEMA = AgentOutputSchema(City)
OSLO = '{"name":"Oslo"}'
END = chunk() | DONE


def prompted(body: Any) -> bool:
    first = body["messages"][0]
    return first["role"] == "system" and '"name"' in first["content"]


async def test_with_tools_the_schema_is_a_prompt() -> None:
    async with asker(whole(OSLO)) as model:
        response = await model.ask(
            output_schema=SCHEMA, tools=[tool("f")], system_instructions="Be kind"
        )
    assert output(response)[0]["content"][0]["text"] == OSLO
    assert response.usage.requests == 1
    assert "format" not in model.body
    assert model.body["messages"][0]["content"].startswith("Be kind\n\n")
    assert prompted(model.body)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_does_not_fit_is_asked_for_once_more(stream: bool) -> None:
    first = streamed(chunk(thinking="Hm"), chunk("It is Oslo"), END)
    second = streamed(chunk(thinking="!"), chunk(OSLO[:5]), chunk(OSLO[5:]), END)
    if not stream:
        first, second = whole("It is Oslo", thinking="Hm"), whole(OSLO, thinking="!")
    options = {"output_schema": SCHEMA, "tools": [tool("f")]}
    async with asker(first, second) as model:
        answer: Any = await (model.stream(**options) if stream else model.ask(**options))
    reasoning, message = output(answer)
    assert reasoning["content"][0]["text"] == "Hm!"
    assert message["content"][0]["text"] == OSLO
    usage = answer[-1].response.usage if stream else answer.usage
    assert (usage.input_tokens, usage.output_tokens) == (10, 6)
    one, two = model.server.bodies
    assert two.pop("format") == SCHEMA.json_schema()
    assert one.pop("tools")
    assert one == two
    if stream:
        assert "It is" not in "".join(getattr(event, "delta", "") for event in answer)
    else:
        assert usage.requests == 2


async def test_calls_are_an_answer() -> None:
    calls = [called("f", {}, id="call_a")]
    async with asker(whole("Let me see", tool_calls=calls)) as model:
        response = await model.ask(output_schema=SCHEMA, tools=[tool("f")])
    assert [item["type"] for item in output(response)] == ["message", "function_call"]


async def test_always_sends_the_format_with_the_tools() -> None:
    async with asker(whole("no"), structured_output="always") as model:
        await model.ask(output_schema=SCHEMA, tools=[tool("f")])
    assert model.body["format"] == SCHEMA.json_schema()
    assert model.body["tools"]
    assert not prompted(model.body)


async def test_prompt_never_sends_a_format() -> None:
    settings = ModelSettings(extra_args={"structured_output": "prompt"})
    async with asker(whole(f"```json\n{OSLO}\n```")) as model:
        response = await model.ask(output_schema=SCHEMA, model_settings=settings)
    assert "format" not in model.body
    assert prompted(model.body)
    assert output(response)[0]["content"][0]["text"] == OSLO


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "text"),
    [
        (f"```json\n{OSLO}\n```", OSLO),
        (f"\n```\n{OSLO}\n```\n", OSLO),
        (OSLO, OSLO),
        (f"Here: ```json\n{OSLO}\n```", f"Here: ```json\n{OSLO}\n```"),
    ],
)
async def test_the_cloud_has_a_prompt_and_loses_its_fence(
    said: str, text: str, stream: bool
) -> None:
    reply = streamed(chunk(said[:4]), chunk(said[4:]), END) if stream else whole(said)
    async with ollama_server(reply) as server:
        provider = OllamaModelProvider(base_url=server.url, structured_output="always")
        model = Asker(provider.get_model("glm-5:cloud"), server)
        options = {"output_schema": SCHEMA, "tools": [tool("f")]}
        answer: Any = await (model.stream(**options) if stream else model.ask(**options))
        await provider.aclose()
    items = answer[-1].response.output if stream else answer.output
    assert items[0].content[0].text == text
    assert "format" not in server.bodies[0]
    assert prompted(server.bodies[0])


async def test_a_fence_without_a_schema_stays() -> None:
    async with asker(whole("```json\n{}\n```")) as model:
        assert output(await model.ask())[0]["content"][0]["text"].startswith("```")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_never_fits_fails_the_run(stream: bool) -> None:
    reply = streamed(chunk('{"city":1}'), END) if stream else whole('{"city":1}')
    async with ollama_server(reply) as server:
        provider = OllamaModelProvider(base_url=server.url)
        agent = Agent(name="A", model="glm-5:cloud", output_type=City)
        config = RunConfig(model_provider=provider)
        run = run_agent(agent, "Hi", stream=stream, run_config=config)
        with pytest.raises(ModelBehaviorError):
            await consume_result(await run)
        await provider.aclose()
