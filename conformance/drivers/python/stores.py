"""The operations on stored runs and on the approvals inbox: the port's public API, nothing else."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .outcome import interruptions, position
from .protocol import Failure, required, time

if TYPE_CHECKING:
    from timestep import Approvals, RunStateStore
    from timestep.store.claim import Claim

    from .case import Case


def keys(args: Mapping[str, Any]) -> dict[str, bytes] | None:
    """The keys of a store or a session by id, the one that seals first."""
    given = args.get("keys")
    return {each["id"]: base64.b64decode(each["key"]) for each in given} if given else None


class Stores:
    """The stores of a case, one for each run it has named, and its inbox."""

    def __init__(self, given: Mapping[str, Any], agent: Any) -> None:
        self.location: str = required(given, "location", str)
        self.keys = keys(given)
        self._agent = agent
        self._run_id: str | None = given.get("run_id")
        self._stores: dict[str | None, RunStateStore[Any]] = {}
        self._approvals: Approvals | None = None
        self.claims: dict[RunStateStore[Any], Claim] = {}
        """What is claimed, by its store."""

    def store(self, args: Mapping[str, Any]) -> RunStateStore[Any]:
        """The store of the run that is named, or of the case's."""
        from timestep import RunStateStore

        run_id = args.get("run_id", self._run_id)
        if run_id not in self._stores:
            self.keep(run_id, RunStateStore(self.location, self._agent, run_id, keys=self.keys))
        return self._stores[run_id]

    def keep(self, run_id: str | None, store: RunStateStore[Any]) -> None:
        """From now on `store` is that of the run; it is closed with the case."""
        self._stores[run_id] = store

    @property
    def approvals(self) -> Approvals:
        """The inbox of the location."""
        from timestep import Approvals

        if self._approvals is None:
            self._approvals = Approvals(self.location, keys=self.keys)
        return self._approvals

    async def aclose(self) -> None:
        """Closes every store, and the inbox."""
        for store in self._stores.values():
            await store.aclose()
        if self._approvals is not None:
            await self._approvals.aclose()


async def save(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.save`: the run of the case, as the next revision."""
    return {"revision": await case.stored.store(args).save(case.paused())}


async def load(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.load`: a stored run becomes the run of the case."""
    store = case.stored.store(args)
    state = await store.load(revision=args.get("revision"), context=args.get("context"))
    snapshot = position(state)
    case.state = state
    case.turn = snapshot["current_turn"]
    return {
        "interruptions": interruptions(state),
        "current_agent": snapshot["current_agent"]["name"],
        "revision": args.get("revision", store.revision),
    }


async def list_runs(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.list`: the runs of the location."""
    runs = await case.stored.store({}).list(status=args.get("status"))
    return {"runs": [_told(each) for each in runs]}


async def history(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.history`: the revisions of a run."""
    return {"revisions": [_told(each) for each in await case.stored.store(args).history()]}


async def fork(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.fork`: a new run that begins with a revision of another."""
    store = case.stored.store(args)
    forked = await store.fork(revision=args.get("revision"), run_id=args.get("to"))
    case.stored.keep(forked.run_id, forked)
    return {"run_id": forked.run_id, "revision": forked.revision}


async def prune(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.prune`: old revisions go."""
    age = args.get("older_than")
    older_than = None if age is None else timedelta(seconds=age)
    store = case.stored.store(args)
    return {"removed": await store.prune(keep=args.get("keep"), older_than=older_than)}


async def clear(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.clear`: the run goes."""
    await case.stored.store(args).clear()
    return {}


async def claim(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.claim`: nobody else resumes the run until it is released."""
    lease = {"lease": args["lease"]} if "lease" in args else {}
    store = case.stored.store(args)
    claimed = await store.claim(owner=args.get("owner"), **lease)
    case.stored.claims[store] = claimed
    return {"owner": claimed.owner, "until": time(claimed.until)}


async def release(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`store.release`: the run is given back."""
    claimed = case.stored.claims.pop(case.stored.store(args), None)
    if claimed is not None:
        await claimed.release()
    return {}


async def list_approvals(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`approvals.list`: calls that wait."""
    found = await case.stored.approvals.list(
        args.get("run_id"), resolved=bool(args.get("resolved"))
    )
    return {"approvals": [_told(each) for each in found]}


async def decide(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`approvals.decide`: a decision without the run."""
    run_id = args.get("run_id") or case.stored.store({}).run_id
    seconds = args.get("expires")
    details: dict[str, Any] = {
        "digest": args.get("digest"),
        "always": bool(args.get("always")),
        "message": args.get("message"),
        "by": args.get("by"),
        "expires": None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds),
    }
    decision = required(args, "decision", str)
    if decision not in ("approve", "reject"):
        raise Failure("protocol", "bad-request", f"there is no decision {decision}")
    inbox = case.stored.approvals
    work = inbox.approve if decision == "approve" else inbox.reject
    await work(run_id, required(args, "call_id", str), **details)
    return {}


def _told(value: Any) -> dict[str, Any]:
    """A value of the port as JSON, without what there is none of."""
    return {
        key: time(each) if isinstance(each, datetime) else each
        for key, each in dataclasses.asdict(value).items()
        if each is not None
    }
