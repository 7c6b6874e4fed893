"""run_agent and consume_result, over the real SDK and a real client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agents import (
    Agent,
    MaxTurnsExceeded,
    MultiProvider,
    RunConfig,
    RunHooks,
    SQLiteSession,
    set_default_openai_client,
)
from agents.models.multi_provider import MultiProviderMap
from agents.run_context import AgentHookContext

from tests.model import call, message, scripted, weather_agent
from tests.models.server import DONE, called, chunk, ollama_server, streamed, whole
from timestep import (
    InterruptionException,
    ModelError,
    MultiModelProvider,
    consume_result,
    run_agent,
)

pytestmark = pytest.mark.anyio


async def test_text_runs_to_the_final_output() -> None:
    async with scripted([[message("Hello")]]) as model:
        result = await run_agent(
            weather_agent([]), "Hi", model_provider=model.provider, context={"user": "ada"}
        )
    assert result.final_output == "Hello"
    assert result.context_wrapper.context == {"user": "ada"}


async def test_input_items_come_after_the_session_history() -> None:
    session = SQLiteSession("one")
    agent = weather_agent([])
    async with scripted([[message("First")], [message("Second")]]) as model:
        await run_agent(agent, "One", session, model_provider=model.provider)
        await run_agent(
            agent, [{"role": "user", "content": "Two"}], session, model_provider=model.provider
        )
    roles = [(item["role"], item["content"]) for item in model.requests[1]["input"]]
    assert roles[0] == ("user", "One")
    assert roles[1][0] == "assistant"
    assert roles[2] == ("user", "Two")
    assert len(await session.get_items()) == 4


async def test_the_run_config_keeps_its_own_session_input_callback() -> None:
    session = SQLiteSession("one")
    await session.add_items([{"role": "user", "content": "Old"}])
    config = RunConfig(session_input_callback=lambda history, new: new)
    async with scripted([[message("Done")]]) as model:
        await run_agent(
            weather_agent([]),
            [{"role": "user", "content": "New"}],
            session,
            model_provider=model.provider,
            run_config=config,
        )
    assert [item["content"] for item in model.requests[0]["input"]] == ["New"]


async def test_the_model_provider_wins_and_the_rest_of_the_run_config_stays() -> None:
    config = RunConfig(model="gpt-y")
    before = config.model_provider
    async with scripted([[message("Done")]]) as model:
        await run_agent(weather_agent([]), "Hi", model_provider=model.provider, run_config=config)
    assert model.requests[0]["model"] == "gpt-y"
    assert config.model_provider is before


async def test_the_run_config_may_bring_the_model_provider() -> None:
    async with scripted([[message("Done")]]) as model:
        config = RunConfig(model_provider=model.provider)
        result = await run_agent(weather_agent([]), "Hi", run_config=config)
    assert result.final_output == "Done"


@pytest.mark.parametrize("stream", [False, True])
async def test_names_are_looked_up_by_prefix(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    agent.model = "ollama/llama3"
    asked = [called("get_weather", {"city": "Oslo"})]
    first, second = whole(tool_calls=asked), whole("Sunny")
    if stream:
        end = chunk() | DONE
        first, second = streamed(chunk(tool_calls=asked), end), streamed(chunk("Sunny"), end)
    async with ollama_server(first, second) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        result = await consume_result(await run_agent(agent, "Oslo?", stream=stream))
        state = result.to_state()
        state.approve(state.get_interruptions()[0])
        config = RunConfig(workflow_name="Resumed")
        resumed = await run_agent(agent, state, stream=stream, run_config=config)
        await consume_result(resumed)
    assert resumed.final_output == "Sunny"
    assert calls == ["Oslo"]
    assert server.connections == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_the_provider_of_a_run_is_closed_with_it(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []
    monkeypatch.setattr(MultiModelProvider, "aclose", lambda self: note(closed, self))
    agent = Agent(name="A", model="meta-llama/x")
    with pytest.raises(ModelError, match="meta-llama"):
        await consume_result(await run_agent(agent, "Hi", stream=stream))
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(closed) == 1


async def note(notes: list[object], value: object) -> None:
    notes.append(value)


async def test_a_provider_of_the_sdk_that_was_set_up_wins() -> None:
    async with scripted([[message("Done")]]) as model:
        mapping = MultiProviderMap()  # type: ignore[no-untyped-call]
        mapping.add_provider("mine", model.provider)
        config = RunConfig(model_provider=MultiProvider(provider_map=mapping))
        agent = Agent(name="A", model="mine/gpt-x")
        assert (await run_agent(agent, "Hi", run_config=config)).final_output == "Done"


async def test_a_client_of_the_application_answers_plain_names() -> None:
    async with scripted([[message("Done")]]) as model:
        set_default_openai_client(model.client, use_for_tracing=False)
        try:
            agent = Agent(name="A", model="openai/gpt-x")
            assert (await run_agent(agent, "Hi")).final_output == "Done"
        finally:
            set_default_openai_client(None, use_for_tracing=False)  # type: ignore[arg-type]
    assert model.requests[0]["model"] == "gpt-x"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_state_is_resumed(stream: bool) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    async with scripted([[call()], [message("Sunny")]]) as model:
        result = await run_agent(agent, "Oslo?", model_provider=model.provider)
        state = result.to_state()
        assert calls == []
        state.approve(state.get_interruptions()[0])
        resumed = await run_agent(agent, state, stream=stream, model_provider=model.provider)
        await consume_result(resumed)
    assert resumed.final_output == "Sunny"
    assert calls == ["Oslo"]


async def test_hooks_are_called() -> None:
    started: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: AgentHookContext[Any], agent: Agent[Any]) -> None:
            started.append(agent.name)

    async with scripted([[message("Done")]]) as model:
        await run_agent(weather_agent([]), "Hi", model_provider=model.provider, hooks=Hooks())
    assert started == ["Weather"]


async def test_max_turns_of_a_new_run() -> None:
    async with scripted([[call()]]) as model:
        with pytest.raises(MaxTurnsExceeded):
            await run_agent(
                weather_agent([], approval=False),
                "Oslo?",
                model_provider=model.provider,
                max_turns=1,
            )


async def test_a_resumed_run_keeps_its_limit_unless_one_is_given() -> None:
    agent = weather_agent([])
    async with scripted([[call()]]) as model:
        result = await run_agent(agent, "Oslo?", model_provider=model.provider, max_turns=1)
        state = result.to_state()
        state.approve(state.get_interruptions()[0])
        with pytest.raises(MaxTurnsExceeded):
            await run_agent(agent, state, model_provider=model.provider)
    async with scripted([[call()], [message("Sunny")]]) as model:
        result = await run_agent(agent, "Oslo?", model_provider=model.provider, max_turns=1)
        state = result.to_state()
        state.approve(state.get_interruptions()[0])
        resumed = await run_agent(agent, state, model_provider=model.provider, max_turns=None)
    assert resumed.final_output == "Sunny"


async def test_an_interruption_is_raised_where_it_is_asked_for() -> None:
    agent = weather_agent([])
    async with scripted([[call()], [message("Sunny")]]) as model:
        with pytest.raises(InterruptionException) as caught:
            await run_agent(
                agent, "Oslo?", model_provider=model.provider, raise_on_interruption=True
            )
        error = caught.value
        assert [item.raw_item.call_id for item in error.interruptions] == ["call_1"]
        assert error.result.interruptions == error.interruptions
        error.state.approve(error.interruptions[0])
        result = await run_agent(
            agent, error.state, model_provider=model.provider, raise_on_interruption=True
        )
    assert result.final_output == "Sunny"


async def test_a_streamed_interruption_is_raised_when_drained() -> None:
    async with scripted([[call()], [call()]]) as model:
        result = await run_agent(
            weather_agent([]),
            "Oslo?",
            stream=True,
            model_provider=model.provider,
            raise_on_interruption=True,
        )
        with pytest.raises(InterruptionException) as caught:
            await consume_result(result)
        assert caught.value.result is result
        quiet = await run_agent(
            weather_agent([]), "Oslo?", stream=True, model_provider=model.provider
        )
        assert len((await consume_result(quiet)).interruptions) == 1


async def test_draining_forwards_events_and_flushes_the_session() -> None:
    session = SQLiteSession("one")
    seen: list[str] = []
    slow: list[str] = []

    async def on_event(event: Any) -> None:
        await asyncio.sleep(0)
        slow.append(event.type)

    async with scripted([[message("One two")], [message("Three")]]) as model:
        result = await run_agent(
            weather_agent([]), "Hi", session, True, model_provider=model.provider
        )
        drained = await consume_result(result, on_event=lambda event: seen.append(event.type))
        assert drained is result
        assert result.is_complete
        assert [item.get("role") for item in await session.get_items()] == ["user", "assistant"]
        result = await run_agent(
            weather_agent([]), "Hi", stream=True, model_provider=model.provider
        )
        await consume_result(result, on_event=on_event)
    assert seen[0] == "agent_updated_stream_event"
    assert seen[-1] == "run_item_stream_event"
    assert "raw_response_event" in seen
    assert slow[-1] == "run_item_stream_event"
    assert result.final_output == "Three"
    assert await consume_result(result) is result


async def test_a_result_that_was_not_streamed_passes_through() -> None:
    async with scripted([[message("Done")]]) as model:
        result = await run_agent(weather_agent([]), "Hi", model_provider=model.provider)
    assert await consume_result(result, on_event=lambda event: pytest.fail("no event")) is result


async def test_an_error_of_the_run_is_raised_when_drained() -> None:
    async with scripted([[call()]]) as model:
        result = await run_agent(
            weather_agent([], approval=False),
            "Oslo?",
            stream=True,
            model_provider=model.provider,
            max_turns=1,
        )
        with pytest.raises(MaxTurnsExceeded):
            await consume_result(result)


async def test_a_failing_event_handler_does_not_cut_the_run_short() -> None:
    calls: list[str] = []
    events: list[Any] = []

    def on_event(event: Any) -> None:
        events.append(event)
        raise LookupError("handler")

    async with scripted([[call()], [message("Sunny")], [call()]]) as model:
        agent = weather_agent(calls, approval=False)
        result = await run_agent(agent, "Oslo?", stream=True, model_provider=model.provider)
        with pytest.raises(LookupError):
            await consume_result(result, on_event=on_event)
        assert calls == ["Oslo"]
        assert result.final_output == "Sunny"
        assert len(events) == 1
        result = await run_agent(
            agent, "Oslo?", stream=True, model_provider=model.provider, max_turns=1
        )
        with pytest.raises(ExceptionGroup) as caught:
            await consume_result(result, on_event=on_event)
        assert caught.group_contains(MaxTurnsExceeded)
        assert caught.group_contains(LookupError)
