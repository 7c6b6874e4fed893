"""What a store does, the same in every kind of place."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from agents import RunState

from tests.model import call, weather_agent
from tests.store.runs import RUN, finish, paused, store_at, text_of
from timestep import (
    ApprovalError,
    Approvals,
    CrossingError,
    RunStateStore,
    StoreError,
    TimestepError,
)
from timestep.state import dump_run_state
from timestep.store import pieces
from timestep.store.base import RunSummary
from timestep.store.facts import facts
from timestep.store.location import open_backend, parse

pytestmark = pytest.mark.anyio


def is_file(location: str) -> bool:
    return parse(location).kind == "file"


async def refused(work: Any, code: str, kind: type[TimestepError] = StoreError) -> Any:
    """The error that `work` raises."""
    with pytest.raises(kind) as caught:
        await work
    assert caught.value.code == code
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what happens in the background."""
    while not condition():  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.01)


async def until_holds(store: RunStateStore[Any], condition: Callable[[RunSummary], bool]) -> None:
    """Waits for what time does to the only run of a location."""
    while not condition((await store.list())[0]):  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.02)


async def test_a_saved_run_is_approved_and_finished(location: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    async with RunStateStore(location, agent, RUN) as store:
        assert store.revision is None
        assert await store.save(await paused(calls)) == 1
    async with RunStateStore(location, agent, RUN) as store:
        state = await store.load()
        assert isinstance(state, RunState)
        assert store.revision == 1
        [interruption] = state.get_interruptions()
        state.approve(interruption)
        assert await store.save(state) == 2
        result, requests = await finish(agent, await store.load())
        assert await store.save(result.to_state()) == 3
    assert calls == ["Oslo"]
    assert requests[0]["input"][-1]["output"] == "Oslo is sunny"


async def test_every_save_is_a_revision(location: str) -> None:
    async with store_at(location) as store:
        for number in range(1, 5):
            assert await store.save(await paused(text=f"question {number}")) == number
        assert text_of(await store.load()) == "question 4"
        history = await store.history()
        assert all(each.status == "interrupted" and each.language == "python" for each in history)
        assert all(each.size > 0 for each in history)
        if is_file(location):  # keeps the newest alone
            assert [(each.revision, each.whole) for each in history] == [(4, True)]
            await refused(store.load(revision=3), "revision-not-found")
            assert text_of(await store.load(revision=4)) == "question 4"
        else:
            assert [each.revision for each in history] == [1, 2, 3, 4]
            assert history[0].whole
            assert sorted(each.saved_at for each in history) == [each.saved_at for each in history]
            for number in range(1, 5):
                assert text_of(await store.load(revision=number)) == f"question {number}"
        for number in (0, 5):
            await refused(store.load(revision=number), "revision-not-found")
        assert store.revision == 4


async def test_what_has_not_been_read_is_not_saved_over(location: str) -> None:
    async with store_at(location) as first, store_at(location) as second:
        await first.save(await paused(text="one"))
        error = await refused(second.save(await paused(text="two")), "stale-state")
        assert error.revision == 1
        await second.load()
        await second.save(await paused(text="three"))
        error = await refused(first.save(await paused(text="four")), "stale-state")
        assert error.revision == 2
        assert first.revision == 1
        assert text_of(await first.load()) == "three"
        assert await first.save(await paused(text="five")) == 3


async def test_an_older_revision_that_was_read_is_nothing_to_save_over(many: str) -> None:
    async with store_at(many) as store, store_at(many) as other:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="two"))
        state = await other.load(revision=1)
        assert other.revision is None
        await refused(other.save(state), "stale-state")


async def test_of_saves_at_once_one_is_stored(location: str) -> None:
    async with store_at(location) as store:
        await store.save(await paused(text="first"))
    stores = [store_at(location) for _ in range(5)]
    states = [await paused(text=f"of {number}") for number in range(5)]
    for each in stores:
        await each.load()
    saved = await asyncio.gather(
        *(each.save(state) for each, state in zip(stores, states, strict=True)),
        return_exceptions=True,
    )
    [winner] = [number for number, outcome in enumerate(saved) if outcome == 2]
    for outcome in saved:
        assert outcome == 2 or (isinstance(outcome, StoreError) and outcome.code == "stale-state")
    assert text_of(await stores[0].load()) == f"of {winner}"
    for each in stores:
        await each.aclose()


async def test_of_first_saves_at_once_one_is_stored(location: str) -> None:
    stores = [store_at(location) for _ in range(5)]
    states = [await paused(text=f"of {number}") for number in range(5)]
    saved = await asyncio.gather(
        *(each.save(state) for each, state in zip(stores, states, strict=True)),
        return_exceptions=True,
    )
    [winner] = [number for number, outcome in enumerate(saved) if outcome == 1]
    assert text_of(await stores[0].load()) == f"of {winner}"
    for each in stores:
        await each.aclose()


async def test_saves_of_one_store_at_once_are_one_after_the_other(location: str) -> None:
    async with store_at(location) as store:
        states = [await paused(text=f"{number} " * 10_000) for number in range(4)]
        saved = await asyncio.gather(*(store.save(state) for state in states * 3))
        assert sorted(saved) == list(range(1, 13))
        assert text_of(await store.load()) == "3 " * 10_000


async def test_clear_removes_the_run_and_may_be_called_twice(location: str) -> None:
    async with store_at(location) as store:
        await store.clear()
        await store.save(await paused())
        await store.save(await paused())
        await store.clear()
        await store.clear()
        assert store.revision is None
        await refused(store.load(), "state-not-found")
        await refused(store.history(), "state-not-found")
        assert await store.list() == []
        assert await store.save(await paused(text="again")) == 1
        assert text_of(await store.load()) == "again"


async def test_a_run_that_was_cleared_meanwhile_is_not_saved_again(location: str) -> None:
    async with store_at(location) as store, store_at(location) as other:
        await store.save(await paused())
        await other.clear()
        error = await refused(store.save(await paused()), "stale-state")
        assert error.revision is None
        await refused(store.claim(), "state-not-found")
        await refused(store.load(), "state-not-found")


async def test_runs_are_listed(location: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with store_at(location) as store:
        assert await store.list() == []
        await store.save(await paused())
        [run] = await store.list()
        assert (run.run_id, run.agent, run.status) == (RUN, "Weather", "interrupted")
        assert (run.current_turn, run.revision, run.pending) == (1, 1, 1)
        assert before < run.created_at <= run.updated_at < before + timedelta(minutes=1)
        assert (run.claimed_by, run.claimed_until) == (None, None)
        state = await store.load()
        state.approve(state.get_interruptions()[0])
        await store.save(state)
        [decided] = await store.list()
        assert (decided.revision, decided.pending) == (2, 0)
        assert decided.created_at == run.created_at
        result, _ = await finish(weather_agent([]), await store.load())
        await store.save(result.to_state())
        assert [run.status for run in await store.list()] == ["completed"]
        assert await store.list(status="interrupted") == []
        await refused(store.load(), "run-completed", CrossingError)


async def test_runs_are_listed_the_one_that_changed_last_first(many: str) -> None:
    names = ["one", "two", "Ærø/../%2E 🌦", "~.*"]
    for name in names:
        async with store_at(many, name) as store:
            await store.save(await paused(text=name))
    async with store_at(many, "one") as store:
        await store.load()
        await store.save(await paused(text="one"))
        assert [run.run_id for run in await store.list()] == ["one", *reversed(names[1:])]
        for name in names:
            assert text_of(await store_at(many, name).load()) == name


async def test_a_fork_is_a_run_of_its_own(location: str) -> None:
    async with store_at(location) as store:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="two"))
        async with await store.fork(run_id="fork") as fork:
            assert (fork.run_id, fork.revision) == ("fork", 1)
            assert text_of(await fork.load()) == "two"
            await fork.save(await paused(text="of the fork"))
            assert text_of(await store.load()) == "two"
            assert store.revision == 2
            await refused(store.fork(run_id="fork"), "run-exists")
            assert text_of(await fork.load()) == "of the fork"
        async with await store.fork() as fork:
            assert fork.run_id not in (RUN, "fork")
            assert text_of(await fork.load()) == "two"
        if is_file(location):
            await refused(store.fork(revision=1), "revision-not-found")
        else:
            async with await store.fork(revision=1) as fork:
                assert text_of(await fork.load()) == "one"


async def test_old_revisions_are_pruned(many: str) -> None:
    async with store_at(many) as store:
        for number in range(1, 8):
            await store.save(await paused(text=f"question {number}"))
        assert await store.prune(keep=10) == 0
        assert await store.prune(older_than=timedelta(hours=1)) == 0
        assert await store.prune(keep=2, older_than=3600) == 0
        assert await store.prune(keep=4) == 3
        assert [each.revision for each in await store.history()] == [4, 5, 6, 7]
        assert (await store.history())[0].whole
        for number in range(4, 8):
            assert text_of(await store.load(revision=number)) == f"question {number}"
        await refused(store.load(revision=3), "revision-not-found")
        assert await store.save(await paused(text="question 8")) == 8
        assert text_of(await store.load()) == "question 8"
        assert await store.prune(older_than=-60) == 4
        assert [each.revision for each in await store.history()] == [8]
        assert await store.prune(keep=1) == 0
        assert text_of(await store.load()) == "question 8"
        [run] = await store.list()
        assert (run.revision, run.pending) == (8, 1)
        with pytest.raises(ValueError, match="keep"):
            await store.prune()
        with pytest.raises(ValueError, match="newest"):
            await store.prune(keep=0)


async def test_pruning_keeps_decisions_and_the_claim(many: str) -> None:
    async with store_at(many) as store, Approvals(many) as inbox, store_at(many) as other:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="one"))
        await store.claim(owner="me")
        await inbox.approve(RUN, "call_1", by="ada")
        assert await store.prune(keep=1) == 1
        await refused(other.claim(), "already-claimed")
        [waits] = await inbox.list(RUN)
        assert (waits.decision, waits.decided_by, waits.revision) == ("approve", "ada", 1)
        assert await store.save(await paused(text="two")) == 3


async def test_a_file_has_nothing_to_prune(tmp_path: Any) -> None:
    async with store_at(str(tmp_path / "run.json")) as store:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="two"))
        assert await store.prune(keep=1) == 0
        assert text_of(await store.load()) == "two"


async def test_one_holds_a_run(location: str) -> None:
    async with store_at(location) as store, store_at(location) as other:
        await refused(store.claim(), "state-not-found")
        await store.save(await paused(text="one"))
        before = datetime.now(UTC)
        claim = await store.claim(owner="first")
        assert (claim.owner, claim.lost) == ("first", False)
        assert timedelta(seconds=55) < claim.until - before < timedelta(seconds=65)
        error = await refused(other.claim(), "already-claimed")
        assert (error.owner, error.until) == ("first", claim.until)
        state = await other.load()
        error = await refused(other.save(state), "already-claimed")
        assert (error.owner, error.until) == ("first", claim.until)
        [run] = await other.list()
        assert (run.claimed_by, run.claimed_until) == ("first", claim.until)
        assert await store.save(await paused(text="two")) == 2
        await claim.release()
        await claim.release()
        assert (await other.list())[0].claimed_by is None
        await refused(other.claim(), "stale-state")
        await other.load()
        async with await other.claim() as mine:
            await refused(store.claim(owner="first"), "already-claimed")
            assert mine.owner != "first"
        async with await store.claim(owner="first"):
            pass


async def test_of_claims_at_once_one_is_held(location: str) -> None:
    async with store_at(location) as store:
        await store.save(await paused())
    stores = [store_at(location) for _ in range(5)]
    claims = await asyncio.gather(*(each.claim() for each in stores), return_exceptions=True)
    held = [each for each in claims if not isinstance(each, BaseException)]
    assert len(held) == 1
    for each in claims:
        if isinstance(each, StoreError):
            assert (each.code, each.owner) == ("already-claimed", held[0].owner)
    for store in stores:
        await store.aclose()


async def test_a_claim_is_renewed_while_it_is_held(location: str) -> None:
    async with store_at(location) as store, store_at(location) as other:
        await store.save(await paused())
        claim = await store.claim(lease=0.6)
        first = claim.until
        await until(lambda: claim.until >= first + timedelta(seconds=0.6))
        await refused(other.claim(), "already-claimed")
        assert not claim.lost
        await store.save(await paused(text="two"))
        await claim.release()


async def test_a_claim_that_is_not_renewed_ends(location: str) -> None:
    async with store_at(location) as store, store_at(location) as other:
        await store.save(await paused())
        claim = await store.claim(lease=0.2, owner="first")
        await claim.stop()
        await until_holds(store, lambda run: run.claimed_by is None)
        await other.claim(owner="second")
        error = await refused(store.save(await paused(text="two")), "claim-lost")
        assert error.owner == "second"
        assert claim.lost
        await refused(store.save(await paused(text="two")), "claim-lost")
        await claim.release()
        assert (await store.list())[0].claimed_by == "second"


async def test_a_process_that_slept_over_its_claim_saves_if_nobody_took_it(location: str) -> None:
    async with store_at(location) as store:
        await store.save(await paused())
        claim = await store.claim(lease=0.1)
        time.sleep(0.3)  # noqa: ASYNC251  nothing else runs meanwhile
        assert await store.save(await paused(text="two")) == 2
        await until(lambda: claim.until > datetime.now(UTC))
        assert not claim.lost
        await claim.release()


async def test_decisions_of_the_inbox_are_applied(location: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    async with RunStateStore(location, agent, RUN) as store, Approvals(location) as inbox:
        await store.save(
            await paused(
                calls,
                "Oslo, Rome, Bern?",
                call(),
                call(call_id="call_2", city="Rome"),
                call(call_id="call_3", city="Bern"),
            )
        )
        await inbox.approve(RUN, "call_1", by="ada")
        await inbox.reject(RUN, "call_2", message="not there", by="bob")
        assert (await store.list())[0].pending == 1
        await inbox.approve(RUN, "call_3", by="ada")
        state = await store.load()
        _, requests = await finish(agent, state)
    assert calls == ["Oslo", "Bern"]
    outputs = [item["output"] for item in requests[0]["input"] if "output" in item]
    assert outputs == ["Oslo is sunny", "not there", "Bern is sunny"]


async def test_a_decision_for_always_is_applied(location: str) -> None:
    async with store_at(location) as store, Approvals(location) as inbox:
        await store.save(await paused(None, "Both?", call(), call(call_id="call_2", city="Rome")))
        await inbox.approve(RUN, "call_1", always=True, by="ada")
        state = await store.load()
        await store.save(state)
        document = dump_run_state(await store.load()).document
        assert [each["scope"] for each in document["decisions"]] == ["always"]
        assert (await store.list())[0].pending == 0
        assert await inbox.list(RUN) == []


async def test_a_decision_is_kept_by_saves_while_the_call_waits(location: str) -> None:
    async with store_at(location) as store, Approvals(location) as inbox:
        await store.save(await paused())
        await inbox.reject(RUN, "call_1", message="no", by="ada")
        await store.save(await paused(text="another question"))
        [waits] = await inbox.list(RUN)
        assert (waits.decision, waits.message, waits.revision) == ("reject", "no", 1)
        await store.save(await paused(None, "Rome?", call(city="Rome")))  # the same id by chance
        [waits] = await inbox.list(RUN)
        assert (waits.decision, waits.message, waits.revision) == (None, None, 3)


async def test_a_decision_that_has_expired_is_not_applied(location: str) -> None:
    async with store_at(location) as store, Approvals(location) as inbox:
        await store.save(await paused())
        await inbox.approve(RUN, "call_1", by="ada", expires=datetime.now(UTC) + timedelta(0.2e-5))
        await until_holds(store, lambda run: run.pending == 1)
        state = await store.load()
        assert dump_run_state(state).document["decisions"] == []
        await inbox.reject(RUN, "call_1", by="bob")
        state = await store.load()
        assert [each["decision"] for each in dump_run_state(state).document["decisions"]] == [
            "reject"
        ]


async def test_a_decision_about_other_arguments_is_not_applied(many: str) -> None:
    document = dump_run_state(await paused()).document
    said = facts(document, None, {})
    said = replace(said, pending=[{**each, "digest": "0" * 64} for each in said.pending])
    backend = await open_backend(many)
    async with store_at(many) as store, Approvals(many) as inbox:
        piece, _ = await pieces.encode(RUN, document, None, None)
        await backend.save(RUN, piece, said)
        await inbox.approve(RUN, "call_1", by="ada")
        error = await refused(store.load(), "approval-mismatch", ApprovalError)
        assert "ada" in error.message
    await backend.aclose()


async def test_a_decision_is_not_applied_to_an_older_revision(many: str) -> None:
    async with store_at(many) as store, Approvals(many) as inbox:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="two"))
        await inbox.approve(RUN, "call_1", by="ada")
        assert dump_run_state(await store.load(revision=1)).document["decisions"] == []
        assert len(dump_run_state(await store.load()).document["decisions"]) == 1


async def test_what_is_sealed_is_opened_with_the_key_alone(location: str) -> None:
    keys = {"one": b"1" * 32}
    async with store_at(location, keys=keys) as store:
        await store.save(await paused(text="a secret question"))
        await store.save(await paused(text="another secret question"))
        async with Approvals(location, keys=keys) as inbox:
            [waits] = await inbox.list(RUN)
            assert waits.arguments == '{"city": "Oslo"}' or waits.arguments == '{"city":"Oslo"}'
            await inbox.reject(RUN, "call_1", message="a secret reason", by="ada")
        async with Approvals(location) as inbox:
            [waits] = await inbox.list(RUN)
            assert (waits.arguments, waits.message, waits.decision) == (None, None, "reject")
    async with store_at(location) as store:
        await refused(store.load(), "wrong-key")
    async with store_at(location, keys={"two": b"2" * 32}) as store:
        await refused(store.load(), "wrong-key")
    async with store_at(location, keys={"two": b"2" * 32, **keys}) as store:
        state = await store.load()
        assert text_of(state) == "another secret question"
        [decision] = dump_run_state(state).document["decisions"]
        assert decision["message"] == "a secret reason"
        await store.save(state)
        assert text_of(await store.load()) == "another secret question"


READ = """
import asyncio, sys
from tests.store.runs import store_at, text_of

async def main():
    async with store_at(sys.argv[1]) as store:
        state = await store.load()
        print(store.revision, text_of(state), len(state.get_interruptions()))
        state.approve(state.get_interruptions()[0])
        await store.save(state)

asyncio.run(main())
"""


async def test_another_process_goes_on(location: str) -> None:
    async with store_at(location) as store:
        await store.save(await paused(text="one"))
        await store.save(await paused(text="two"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", READ, location, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert output.decode().split() == ["2", "two", "1"]
        await refused(store.save(await paused(text="three")), "stale-state")
        await store.load()
        assert store.revision == 3


async def test_a_closed_store_opens_again(location: str) -> None:
    store = store_at(location)
    await store.aclose()
    await store.save(await paused(text="one"))
    await store.aclose()
    assert text_of(await store.load()) == "one"
    assert await store.save(await paused(text="two")) == 2
    await store.aclose()
    await store.aclose()


@pytest.mark.parametrize("run_id", ["", "x" * 201, "\ud83d", "a\0b", 17])
async def test_an_id_that_cannot_be_is_refused(tmp_path: Any, run_id: Any) -> None:
    with pytest.raises(StoreError) as caught:
        RunStateStore(tmp_path, weather_agent([]), run_id)
    assert caught.value.code == "unknown-location"


async def test_runs_without_an_id_get_one_each(many: str) -> None:
    stores: list[RunStateStore[Any]] = [RunStateStore(many, weather_agent([])) for _ in range(2)]
    for store in stores:
        await store.save(await paused())
    assert {run.run_id for run in await stores[0].list()} == {store.run_id for store in stores}
    for store in stores:
        await store.aclose()
