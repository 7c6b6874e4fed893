"""Approvals: what waits is listed, a decision binds to what was seen, and the run takes it once."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.approvals.runs import RUN, finished, nested_agent, started, told, waiting
from tests.model import call, message, scripted, weather_agent
from timestep import ApprovalError, Approvals, RunStateStore, run_agent
from timestep.approvals import decider, waits
from timestep.store.base import Approval

pytestmark = pytest.mark.anyio

OSLO = '{"city":"Oslo"}'
KEYS = {"one": bytes(range(32))}


def refused(code: str, message: str = "") -> Any:
    return pytest.raises(ApprovalError, match=f"(?s)^{code}: .*{message}")


async def test_a_call_that_waits_is_listed(location: str) -> None:
    before = datetime.now(UTC)
    await waiting(location, weather_agent([]))
    async with Approvals(location) as inbox:
        [found] = await inbox.list()
        assert await inbox.list(RUN) == [found]
        assert await inbox.list(resolved=True) == [found]
        assert await inbox.get(RUN, "call_1") == found
        assert await inbox.get(RUN) == found
    asked = found.requested_at
    assert before - timedelta(seconds=1) <= asked <= datetime.now(UTC) + timedelta(seconds=1)
    assert found == Approval(
        run_id=RUN,
        call_id="call_1",
        agent="Weather",
        tool="get_weather",
        kind="function",
        arguments=OSLO,
        arguments_digest=hashlib.sha256(OSLO.encode()).hexdigest(),
        revision=1,
        requested_at=asked,
    )
    assert waits(found)


async def test_an_approved_call_runs_once_and_the_decision_is_kept(location: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    await waiting(location, agent)
    async with Approvals(location) as inbox:
        decided = await inbox.approve(RUN, "call_1", by="ada", message="looks fine")
        assert (decided.decision, decided.decided_by, decided.message) == (
            "approve",
            "ada",
            "looks fine",
        )
        assert decided.decided_at is not None
        assert decided.decided_at >= decided.requested_at
        assert not waits(decided)
        assert await inbox.list() == [decided]
        requests = await finished(location, agent)
        assert calls == ["Oslo"]
        assert told(requests) == ["Oslo is sunny"]
        assert await inbox.list() == []
        [kept] = await inbox.list(resolved=True)
        assert kept.resolved
        assert (kept.decision, kept.decided_by, kept.decided_at) == (
            "approve",
            "ada",
            decided.decided_at,
        )
        assert await inbox.get(RUN, "call_1") == kept


async def test_a_decision_taken_on_the_state_itself_has_no_name(location: str) -> None:
    agent = weather_agent([])
    await waiting(location, agent)
    async with RunStateStore(location, agent, RUN) as store:
        state = await store.load()
        state.approve(state.get_interruptions()[0])
        async with scripted([[message("Done")]]) as model:
            result = await run_agent(agent, state, model_provider=model.provider)
        await store.save(result.to_state())
    async with Approvals(location) as inbox:
        [kept] = await inbox.list(resolved=True)
    assert (kept.decision, kept.decided_by, kept.resolved) == ("approve", None, True)
    assert kept.decided_at is not None


async def test_a_rejected_call_does_not_run_and_the_model_is_told(location: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    await waiting(location, agent)
    async with Approvals(location) as inbox:
        await inbox.reject(RUN, message="zu früh 🌦\nmorgen")
    assert told(await finished(location, agent)) == ["zu früh 🌦\nmorgen"]
    assert calls == []


@pytest.mark.parametrize(("always", "ran"), [(True, ["Oslo", "Rome"]), (False, ["Oslo"])])
async def test_always_covers_the_later_calls_of_the_tool(
    many: str, always: bool, ran: list[str]
) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    await waiting(many, agent)
    again = [call(call_id="call_2", city="Rome")]
    async with Approvals(many) as inbox:
        assert (await inbox.approve(RUN, always=always)).always is always
        if always:
            await finished(many, agent, again, [message("Done")])
        else:
            with pytest.raises(AssertionError):
                await finished(many, agent, again)
    assert calls == ran


async def test_rejecting_always_covers_the_later_calls_too(many: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    await waiting(many, agent)
    async with Approvals(many) as inbox:
        await inbox.reject(RUN, always=True, message="no")
    requests = await finished(many, agent, [call(call_id="call_2")], [message("Done")])
    assert calls == []
    assert len(told(requests)) == 2


async def test_a_decision_that_has_expired_counts_no_more(location: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    await waiting(location, agent)
    async with Approvals(location) as inbox:
        expired = await inbox.approve(RUN, by="ada", expires=timedelta(milliseconds=300))
        assert expired.expires_at is not None
        left = expired.expires_at - datetime.now(UTC)
        await asyncio.sleep(max(0, left.total_seconds()) + 0.05)
        found = await inbox.get(RUN)
        assert waits(found)
        assert found.decided_by == "ada"
        async with RunStateStore(location, agent, RUN) as store:
            assert len((await store.load()).get_interruptions()) == 1
        until = datetime.now(UTC) + timedelta(hours=1)
        again = await inbox.reject(RUN, by="bob", message="late", expires=until)
        assert again.expires_at == until.replace(microsecond=until.microsecond // 1000 * 1000)
    assert told(await finished(location, agent)) == ["late"]
    assert calls == []


async def test_a_decision_is_for_the_arguments_that_were_seen(location: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    store = await waiting(location, agent)
    async with Approvals(location) as inbox:
        seen = (await inbox.get(RUN)).arguments_digest
        await store.save(await started(agent, [call(city="Bergen")]))
        now = await inbox.get(RUN)
        assert now.arguments == '{"city":"Bergen"}'
        with refused("approval-mismatch", f"call_1 of run run .* {now.arguments_digest}, not"):
            await inbox.approve(RUN, "call_1", digest=seen)
        assert waits(await inbox.get(RUN))
        await inbox.approve(RUN, "call_1", digest=now.arguments_digest[:8].upper())
    await finished(location, agent)
    assert calls == ["Bergen"]


async def test_a_decision_is_not_taken_over_to_other_arguments(location: str) -> None:
    agent = weather_agent([])
    store = await waiting(location, agent)
    async with Approvals(location) as inbox:
        await inbox.approve(RUN)
        await store.save(await started(agent, [call(city="Bergen")]))
        assert waits(await inbox.get(RUN))
    async with RunStateStore(location, agent, RUN) as other:
        assert len((await other.load()).get_interruptions()) == 1


async def test_arguments_that_change_while_a_decision_is_taken_are_refused(location: str) -> None:
    agent = weather_agent([])
    store = await waiting(location, agent)
    changed = await started(agent, [call(city="Bergen")])

    class Slow(Approvals):
        reads = 0

        async def get(self, run_id: str, call_id: str | None = None) -> Approval:
            found = await super().get(run_id, call_id)
            if self.reads == 0:
                self.reads += 1
                await store.save(changed)
            return found

    async with Slow(location) as inbox:
        with refused("approval-mismatch"):
            await inbox.approve(RUN, "call_1")
        assert waits(await inbox.get(RUN))


async def test_the_first_decision_stands(location: str) -> None:
    await waiting(location, weather_agent([]))
    async with Approvals(location) as inbox:
        first = await inbox.reject(RUN, "call_1", by="ada")
        with refused("already-decided", "call call_1 of run run was rejected by ada at") as caught:
            await inbox.approve(RUN, "call_1", by="bob")
        assert caught.value.decided_by == "ada"
        assert caught.value.decided_at == first.decided_at
        assert await inbox.get(RUN, "call_1") == first


async def test_of_two_who_decide_at_once_one_wins(many: str) -> None:
    agent = weather_agent([])
    for number in range(5):
        await waiting(many, agent, run_id=f"run {number}")
    async with Approvals(many) as one, Approvals(many) as two:
        for number in range(5):
            run = f"run {number}"
            outcomes = await asyncio.gather(
                one.approve(run, "call_1", by="ada"),
                two.reject(run, "call_1", by="bob"),
                one.reject(run, "call_1", by="eve"),
                return_exceptions=True,
            )
            [won] = [each for each in outcomes if isinstance(each, Approval)]
            lost = [each for each in outcomes if isinstance(each, ApprovalError)]
            assert [(each.code, each.decided_by) for each in lost] == [
                ("already-decided", won.decided_by)
            ] * 2
            assert await one.get(run, "call_1") == won


async def test_what_is_not_there_is_named(many: str) -> None:
    agent = weather_agent([])
    await waiting(many, agent)
    async with Approvals(many) as inbox:
        with refused("approval-not-found", "there is no run other$"):
            await inbox.approve("other", "call_1")
        with refused("approval-not-found", "there is no run other$"):
            await inbox.list("other")
        with refused("approval-not-found", "run run has no call call_2$"):
            await inbox.get(RUN, "call_2")
        await inbox.approve(RUN)
        with refused("approval-not-found", "no call of run run waits for a decision$"):
            await inbox.get(RUN)
        await finished(many, agent)
        with refused("approval-not-found", "call call_1 of run run was resolved: its run has gone"):
            await inbox.approve(RUN, "call_1")


async def test_a_place_nothing_was_saved_at_has_no_calls(location: str) -> None:
    async with Approvals(location) as inbox:
        assert await inbox.list() == []
        with refused("approval-not-found", "there is no run run$"):
            await inbox.get(RUN)


async def test_one_of_several_calls_is_decided_by_its_id(many: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    both = [call(), call(call_id="call_2", city="Rome")]
    await waiting(many, agent, both)
    async with Approvals(many) as inbox:
        assert [each.call_id for each in await inbox.list()] == ["call_1", "call_2"]
        with refused("approval-not-found", "2 calls of run run wait: call_1, call_2$"):
            await inbox.approve(RUN)
        await inbox.approve(RUN, "call_2")
        assert (await inbox.get(RUN)).call_id == "call_1"
        await inbox.reject(RUN)
    await finished(many, agent)
    assert calls == ["Rome"]


async def test_a_call_of_an_agent_that_is_a_tool_is_decided(location: str) -> None:
    calls: list[str] = []
    agent = nested_agent(calls)
    outer = call("ask_weather", "outer", input="Oslo?")
    async with scripted([[outer], [call(call_id="inner")]]) as model:
        result = await run_agent(agent, "Weather?", model_provider=model.provider)
    async with RunStateStore(location, agent, RUN) as store:
        await store.save(result.to_state())
    async with Approvals(location) as inbox:
        found = await inbox.get(RUN)
        assert (found.call_id, found.agent, found.tool) == ("inner", "Weather", "get_weather")
        await inbox.approve(RUN, "inner")
    await finished(location, agent, [message("Sunny")], [message("Done")])
    assert calls == ["Oslo"]


async def test_with_keys_arguments_are_opened_and_a_message_is_sealed(location: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    await waiting(location, agent, keys=KEYS)
    for keys in (None, {"two": bytes(32)}):
        async with Approvals(location, keys=keys) as blind:
            hidden = await blind.get(RUN)
            assert hidden.arguments is None
            assert hidden.arguments_digest == hashlib.sha256(OSLO.encode()).hexdigest()
    async with Approvals(location, keys=KEYS) as inbox:
        assert (await inbox.get(RUN)).arguments == OSLO
        decided = await inbox.reject(RUN, message="secret")
        assert decided.message == "secret"
    async with Approvals(location) as blind:
        assert (await blind.get(RUN, "call_1")).message is None
    assert told(await finished(location, agent, keys=KEYS)) == ["secret"]
    assert calls == []


async def test_who_decides_is_the_environment_or_the_login_name(
    many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting(many, weather_agent([]))
    monkeypatch.delenv("TIMESTEP_USER", raising=False)
    assert decider()
    monkeypatch.setenv("TIMESTEP_USER", "ada@desk")
    async with Approvals(many) as inbox:
        assert (await inbox.approve(RUN)).decided_by == "ada@desk"


async def test_the_place_left_out_is_that_of_the_environment(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIMESTEP_LOCATION", raising=False)
    assert Approvals().location == ".timestep"
    monkeypatch.setenv("TIMESTEP_LOCATION", "elsewhere")
    assert Approvals().location == "elsewhere"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"digest": "abc"}, "8 to 64 hexadecimal digits"),
        ({"digest": "g" * 64}, "8 to 64 hexadecimal digits"),
        ({"by": ""}, "control characters"),
        ({"by": "a\x1b[1m"}, "control characters"),
        ({"expires": timedelta()}, "has passed"),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "has passed"),
        ({"expires": datetime(2999, 1, 1)}, "needs a zone"),
    ],
)
async def test_what_makes_no_sense_is_a_value_error(
    tmp_path: Any, options: dict[str, Any], words: str
) -> None:
    async with Approvals(tmp_path) as inbox:
        with pytest.raises(ValueError, match=words):
            await inbox.approve(RUN, "call_1", **options)
