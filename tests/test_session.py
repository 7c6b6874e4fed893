"""Session: the SDK's protocol, what is stored, and what survives."""

from __future__ import annotations

import asyncio
import gc
import json
import math
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from agents import (
    GuardrailFunctionOutput,
    OpenAIResponsesCompactionSession,
    SessionSettings,
    SQLiteSession,
    output_guardrail,
)
from agents.memory import Session as AgentSession
from openai import AsyncOpenAI
from openai.types.responses import CompactedResponse

from tests.conversation import travel_agent
from tests.model import call, message, scripted, weather_agent
from tests.store.conftest import place
from tests.test_imports import loaded_by
from timestep import DocumentError, RunStateStore, StoreError, consume_result, run_agent
from timestep.session import Session
from timestep.store.location import open_backend

pytestmark = pytest.mark.anyio

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
Open = Callable[..., Any]

VECTORS = json.loads((Path(__file__).parent / "vectors" / "items.json").read_text())


@pytest.fixture(params=["folder", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place that keeps sessions, empty."""
    yield from place(request.param, tmp_path)


@pytest.fixture
async def open_session(location: str) -> AsyncIterator[Open]:
    """Makes sessions at the location, each a new object, which are closed in the end."""
    opened: list[Session] = []

    def make(session_id: str | None = "chat", **options: Any) -> Session:
        opened.append(Session(session_id, location=location, **options))
        return opened[-1]

    yield make
    for session in opened:
        await session.aclose()


def said(text: str) -> Any:
    return {"role": "user", "content": text}


async def stored(location: str, session_id: str = "chat") -> list[str | bytes]:
    backend = await open_backend(location)
    try:
        return await backend.read_items(session_id)
    finally:
        await backend.aclose()


async def put(location: str, *items: str | bytes) -> None:
    backend = await open_backend(location)
    try:
        await backend.add_items("chat", items)
    finally:
        await backend.aclose()


def test_importing_loads_no_sdk() -> None:
    code = "from timestep.session import Session; Session(location='.')"
    assert loaded_by(code) & {"agents", "openai", "pydantic"} == set()


async def test_it_is_a_session_of_the_sdk(open_session: Open) -> None:
    session = open_session(None)
    assert isinstance(session, AgentSession)
    assert session.session_settings is None
    assert len(session.session_id) == 36
    assert session.session_id != open_session(None).session_id


async def test_it_does_as_the_session_of_the_sdk_does(
    open_session: Open,
) -> None:
    ours, theirs = open_session(), SQLiteSession("chat")

    async def read(limit: int | None, session: Any) -> Any:
        return await session.get_items(limit)

    async def both(work: Callable[[Any], Any]) -> Any:
        results = [await work(session) for session in (ours, theirs)]
        assert results[0] == results[1]
        return results[0]

    assert await both(lambda session: session.get_items()) == []
    assert await both(lambda session: session.pop_item()) is None
    await both(lambda session: session.clear_session())
    await both(lambda session: session.add_items([]))
    await both(lambda session: session.add_items([said("1")]))
    await both(lambda session: session.add_items([said("2"), said("2"), said("3")]))
    for limit in (None, 0, 1, 3, 4, 5, 1000, -1, -5):
        await both(partial(read, limit))
    assert await both(lambda session: session.get_items(2)) == [said("2"), said("3")]
    assert await both(lambda session: session.pop_item()) == said("3")
    assert await both(lambda session: session.pop_item()) == said("2")
    await both(lambda session: session.add_items([said("4")]))
    assert await both(lambda session: session.get_items(2)) == [said("2"), said("4")]
    await both(lambda session: session.clear_session())
    assert await both(lambda session: session.get_items()) == []
    await both(lambda session: session.add_items([said("5")]))
    assert await both(lambda session: session.get_items()) == [said("5")]
    theirs.close()


async def test_the_limit_of_the_settings_counts_where_a_read_has_none(
    open_session: Open,
) -> None:
    await open_session().add_items([said("1"), said("2"), said("3")])
    session = open_session(session_settings=SessionSettings(limit=2))
    assert await session.get_items() == [said("2"), said("3")]
    assert await session.get_items(1) == [said("3")]
    session.session_settings = {"limit": 1}
    assert await session.get_items() == [said("3")]
    session.session_settings = SessionSettings()
    assert len(await session.get_items()) == 3


async def test_sessions_are_apart_and_the_same_id_is_the_same_conversation(
    open_session: Open,
) -> None:
    await open_session("a/b ü").add_items([said("1")])
    await open_session("a").add_items([said("2")])
    assert await open_session("a/b ü").get_items() == [said("1")]
    await open_session("a").clear_session()
    assert await open_session("a/b ü").get_items() == [said("1")]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_an_item_is_stored_as_both_ports_store_it(
    vector: dict[str, Any], tmp_path: Path
) -> None:
    async with Session("chat", location=tmp_path) as session:
        await session.add_items([vector["python"]])
        assert await stored(str(tmp_path)) == [vector["stored"]]
        assert await session.get_items() == [json.loads(vector["stored"])]


async def test_every_kind_of_item_is_kept(open_session: Open, location: str) -> None:
    await open_session().add_items([vector["python"] for vector in VECTORS])
    assert await stored(location) == [vector["stored"] for vector in VECTORS]


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": math.nan},
        {"role": "user", "content": {1: "a"}},
        {"role": "user", "content": b"bytes"},
        {"role": "user", "content": {"a"}},
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": ["message"], "role": "user", "content": ""},
        {"type": "message", "id": ["x"], "role": "user", "content": ""},
        {"nothing": 1},
        "text",
        None,
    ],
    ids=repr,
)
async def test_one_item_that_is_none_stops_them_all(
    item: Any, open_session: Open, location: str
) -> None:
    session = open_session()
    with pytest.raises(DocumentError) as caught:
        await session.add_items([said("1"), item, said("2")])
    assert (caught.value.code, caught.value.pointer) == ("malformed", "/1")
    assert await stored(location) == []


async def test_an_item_that_contains_itself_is_none(open_session: Open, location: str) -> None:
    item: dict[str, Any] = said("x")
    item["content"] = [item]
    with pytest.raises(DocumentError):
        await open_session().add_items([item])
    assert await stored(location) == []


async def test_integers_and_surrogates_keep_what_they_are(
    open_session: Open,
) -> None:
    item = {"role": "user", "content": "\ud800 \0 \u2028 😀", "big": 2**70, "float": 1.5}
    await open_session().add_items([item])
    assert await open_session().get_items() == [item]


async def test_what_is_stored_and_is_no_item_is_malformed(
    open_session: Open, location: str
) -> None:
    await put(location, json.dumps(said("1")), "[1]")
    session = open_session()
    for work in (session.get_items, session.pop_item):
        with pytest.raises(DocumentError, match="chat") as caught:
            await work()
        assert caught.value.code == "malformed"
    assert len(await stored(location)) == 2


@pytest.mark.parametrize("session_id", ["", "x" * 201, "a\0", "\ud800", 7])
async def test_an_id_that_cannot_be_is_refused(session_id: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="1 to 200 characters") as caught:
        Session(session_id, location=tmp_path)
    assert caught.value.code == "unknown-location"


async def test_a_file_keeps_no_sessions(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="keeps no sessions") as caught:
        Session("chat", location=tmp_path / "state.json")
    assert caught.value.code == "unknown-location"
    assert "folder" in caught.value.hint


async def test_the_location_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIMESTEP_LOCATION", raising=False)
    async with Session("chat") as session:
        await session.add_items([said("1")])
    assert (tmp_path / ".timestep").is_dir()
    monkeypatch.setenv("TIMESTEP_LOCATION", str(tmp_path / "other"))
    async with Session("chat") as session:
        assert await session.get_items() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_session_may_be_used_in_one_loop_after_another(location: str) -> None:
    """As with the SDK's `Runner.run_sync`; a connection whose loop is over cannot be closed."""
    session = Session("chat", location=location)

    async def turn(text: str) -> int:
        await session.add_items([said(text)])
        return len(await session.get_items())

    assert [asyncio.run(turn(text)) for text in "123"] == [1, 2, 3]
    asyncio.run(session.aclose())
    gc.collect()


async def test_a_closed_session_opens_again(open_session: Open) -> None:
    session = open_session()
    await session.add_items([said("1")])
    await session.aclose()
    await session.aclose()
    assert await session.get_items() == [said("1")]


async def test_tasks_append_at_once_and_pop_each_item_once(
    open_session: Open,
) -> None:
    async def append(name: str) -> None:
        session = open_session()
        for number in range(20):
            await session.add_items([said(f"{name}{number}"), said(f"{name}{number}+")])

    await asyncio.gather(*(append(name) for name in "abc"))
    texts = [item["content"] for item in await open_session().get_items()]
    for name in "abc":
        own = [text for text in texts if text.startswith(name)]
        assert own == [f"{name}{number}{end}" for number in range(20) for end in ("", "+")]
    assert all(texts[at + 1] == f"{texts[at]}+" for at in range(0, len(texts), 2))

    async def drain() -> list[Any]:
        session, popped = open_session(), []
        while (item := await session.pop_item()) is not None:
            popped.append(item)
        return popped

    both = await asyncio.gather(drain(), drain())
    assert sorted(item["content"] for popped in both for item in popped) == sorted(texts)


class TestSealed:
    async def test_items_are_sealed_and_open_with_their_keys(
        self, open_session: Open, location: str
    ) -> None:
        await open_session(keys={"old": OLD}).add_items([said("secret words"), said("more")])
        for each in await stored(location):
            assert isinstance(each, bytes)
            assert b"words" not in each
        rotated = {"new": NEW, "old": OLD}
        await open_session(keys=rotated).add_items([said("later")])
        assert [each["content"] for each in await open_session(keys=rotated).get_items()] == [
            "secret words",
            "more",
            "later",
        ]
        assert await open_session(keys=rotated).pop_item() == said("later")

    async def test_what_is_in_clear_stays_readable(self, open_session: Open) -> None:
        await open_session().add_items([said("1")])
        await open_session(keys={"a": OLD}).add_items([said("2")])
        assert await open_session(keys={"a": OLD}).get_items() == [said("1"), said("2")]

    async def test_the_wrong_keys_open_nothing_and_take_nothing(self, open_session: Open) -> None:
        await open_session(keys={"a": OLD}).add_items([said("1")])
        for keys in (None, {"a": NEW}, {"b": OLD}):
            session = open_session(keys=keys)
            for work in (session.get_items, session.pop_item):
                with pytest.raises(StoreError) as caught:
                    await work()
                assert caught.value.code == "wrong-key"
        assert await open_session(keys={"a": OLD}).get_items() == [said("1")]

    async def test_an_item_belongs_to_its_session(self, open_session: Open, location: str) -> None:
        await open_session("other", keys={"a": OLD}).add_items([said("1")])
        await put(location, *await stored(location, "other"))
        with pytest.raises(StoreError) as caught:
            await open_session(keys={"a": OLD}).get_items()
        assert caught.value.code == "wrong-key"

    async def test_keys_may_come_from_the_environment(
        self, open_session: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIMESTEP_ENCRYPTION_KEYS", f"a:{b64encode(OLD).decode()}")
        await open_session().add_items([said("1")])
        monkeypatch.delenv("TIMESTEP_ENCRYPTION_KEYS")
        assert await open_session(keys={"a": OLD}).get_items() == [said("1")]
        with pytest.raises(StoreError):
            await open_session().get_items()


async def test_a_cleared_session_is_no_longer_on_the_disk(tmp_path: Path) -> None:
    async with Session("chat", location=tmp_path) as session:
        await session.add_items([said("words to find")])
        assert found(tmp_path, b"words to find")
        await session.clear_session()
        assert not found(tmp_path, b"words to find")
        assert await session.get_items() == []


async def test_a_folder_of_pglite_keeps_sessions_too(tmp_path: Path) -> None:
    location = f"pglite:{tmp_path / 'database'}"
    async with Session("chat", location=location) as session:
        async with scripted([[call("find_time")], [message("Noon.")]]) as model:
            await run_agent(travel_agent([]), "Time?", session, model_provider=model.provider)
        assert len(await session.get_items()) == 4
        async with Session("chat", location=location, keys={"a": OLD}) as sealed:
            await sealed.add_items([said("sealed")])
            assert (await sealed.get_items(2))[1] == said("sealed")
            assert await sealed.pop_item() == said("sealed")
        await session.clear_session()
        assert await session.get_items() == []


def found(folder: Path, data: bytes) -> bool:
    return any(data in path.read_bytes() for path in folder.rglob("*") if path.is_file())


class TestRuns:
    @pytest.mark.parametrize("stream", [False, True], ids=["at once", "streamed"])
    async def test_the_model_is_sent_what_it_is_with_the_session_of_the_sdk(
        self, stream: bool, open_session: Open
    ) -> None:
        turns: list[Any] = [
            [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                call("find_time"),
                call("take_photo", "call_2"),
            ],
            [message("Noon.")],
            [call("transfer_to_weather", "call_3", reason="asked")],
            [message("I am Weather.")],
            [message("Bye.")],
        ]
        requests = []
        for session in (open_session(), SQLiteSession("chat")):
            async with scripted(turns) as model:
                for text in ("What time is it in Oslo?", "Weather?", "Bye!"):
                    result = await run_agent(
                        travel_agent([]),
                        text,
                        session=session,
                        stream=stream,
                        model_provider=model.provider,
                    )
                    await consume_result(result)
                requests.append(model.requests)
        assert requests[0] == requests[1]
        assert len(await open_session().get_items()) == 13

    @pytest.mark.parametrize("stream", [False, True], ids=["at once", "streamed"])
    async def test_a_run_is_approved_with_another_object_of_the_session(
        self, stream: bool, open_session: Open, tmp_path: Path
    ) -> None:
        calls: list[str] = []
        agent = weather_agent(calls)
        store = RunStateStore(str(tmp_path / "run.json"), agent)
        both = [call("get_weather"), call("get_weather", "call_2", city="Rome")]
        async with scripted([both]) as model:
            result = await run_agent(
                agent, "Oslo?", session=open_session(), stream=stream, model_provider=model.provider
            )
            await store.save((await consume_result(result)).to_state())
        state = await store.load()
        first, second = state.get_interruptions()
        state.approve(first)
        state.reject(second, rejection_message="Not Rome.")
        async with scripted([[message("Sunny.")]]) as model:
            result = await run_agent(
                agent, state, session=open_session(), stream=stream, model_provider=model.provider
            )
            await consume_result(result)
            request = model.requests[0]["input"]
        items: list[Any] = await open_session().get_items()
        assert [item.get("type", item.get("role")) for item in items] == [
            "user",
            "function_call",
            "function_call",
            "function_call_output",
            "function_call_output",
            "message",
        ]
        assert items[:-1] == request
        assert [item["output"] for item in items[3:5]] == ["Oslo is sunny", "Not Rome."]
        assert calls == ["Oslo"]

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_a_write_that_failed_is_settled_when_the_run_goes_on(
        self, when: str, open_session: Open
    ) -> None:
        """The SDK compares what is stored with what it meant to store."""
        agent = weather_agent([])
        session = open_session()

        class Failing(Session):
            async def add_items(self, items: list[Any]) -> None:
                if when == "after":
                    await super().add_items(items)
                raise OSError("the disk is gone")

        async with scripted([[call("get_weather")], [message("Sunny.")]]) as model:
            result = await run_agent(agent, "Oslo?", session, model_provider=model.provider)
            state = result.to_state()
            state.approve(state.get_interruptions()[0])
            async with Failing("chat", location=session.location) as failing:
                with pytest.raises(OSError, match="the disk is gone"):
                    await run_agent(agent, state, failing, model_provider=model.provider)
            await run_agent(agent, state, open_session(), model_provider=model.provider)
        kinds = [item.get("type", "user") for item in await open_session().get_items()]
        assert kinds == ["user", "function_call", "function_call_output", "message"]

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_so_is_one_with_ids_that_stand_for_none(
        self, when: str, open_session: Open
    ) -> None:
        """An output guardrail holds back the items of a turn until the run goes on."""

        @output_guardrail
        async def allow(_context: Any, _agent: Any, _output: Any) -> GuardrailFunctionOutput:
            return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

        agent = weather_agent([])
        agent.output_guardrails = [allow]
        agent.tool_use_behavior = {"stop_at_tool_names": ["another"]}
        session = open_session()

        class Failing(Session):
            async def add_items(self, items: list[Any]) -> None:
                if when == "after":
                    await super().add_items(items)
                raise OSError("the disk is gone")

        asked = {**call("get_weather"), "id": "__fake_id__"}
        async with scripted([[asked], [message("Sunny.")]]) as model:
            result = await run_agent(agent, "Oslo?", session, model_provider=model.provider)
            state = result.to_state()
            state.approve(state.get_interruptions()[0])
            async with Failing("chat", location=session.location) as failing:
                with pytest.raises(OSError, match="the disk is gone"):
                    await run_agent(agent, state, failing, model_provider=model.provider)
            await run_agent(agent, state, open_session(), model_provider=model.provider)
        kinds = [item.get("type", "user") for item in await open_session().get_items()]
        assert kinds == ["user", "function_call", "function_call_output", "message"]

    async def test_the_sdk_can_compact_it(self, open_session: Open) -> None:
        class Compacting(AsyncOpenAI):
            """A client whose compactions need no server."""

            @property
            def responses(self) -> Any:
                return self

            async def compact(self, **_request: Any) -> Any:
                output = [{"type": "compaction", "id": "cmp_1", "encrypted_content": "ENC"}]
                return CompactedResponse.model_construct(id="resp_1", output=output, usage=None)

        answer: Any = {"type": "message", "role": "assistant", "content": [], "status": "completed"}
        compacting = OpenAIResponsesCompactionSession(
            "chat", open_session(), client=Compacting(api_key="none"), model="gpt-4.1"
        )
        await compacting.add_items([said("1"), answer | {"id": "msg_1"}, said("3")])
        await compacting.run_compaction({"force": True, "compaction_mode": "input"})
        assert [item.get("type") for item in await open_session().get_items()] == ["compaction"]
