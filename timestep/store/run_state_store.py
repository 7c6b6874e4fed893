"""The store of one run's states."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

from timestep.errors import ApprovalError, CrossingError, StoreError
from timestep.state import dump_run_state, load_run_state
from timestep.store import pieces
from timestep.store.base import (
    Facts,
    Piece,
    Revision,
    RunSummary,
    StoredApproval,
    StoredRun,
)
from timestep.store.claim import Claim, new_owner
from timestep.store.content import from_content, to_content
from timestep.store.facts import digest_of, facts
from timestep.store.generations import check_id
from timestep.store.location import Location, parse
from timestep.store.opened import BackendUser
from timestep.store.pieces import Known
from timestep.store.seal import Keyring, KeySource, is_sealed, keyring, open_sealed
from timestep.store.text import refuse_raw_snapshot

if TYPE_CHECKING:
    from agents import Agent, RunState

TContext = TypeVar("TContext")

_FILE = ".json"


class RunStateStore(BackendUser, Generic[TContext]):
    """Keeps the states of one run at `location`, as portable documents both ports read.

    `location` is a `.json` file for this run alone, a folder, `postgresql://user@host/database`
    or `pglite:<folder>`; `agent` is the agent the run started with. `run_id` is text of 1 to 200
    characters, and a random one where it is left out; in a file it is the file's name without
    `.json`. With `keys` (`docs/encryption.md`), or with keys in the environment, what is stored is
    sealed.

    Nothing is opened before it is needed. `aclose`, or `async with`, ends what was opened; a
    closed store that is used again opens it again.

    Raises `StoreError` (`unknown-location`).
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | Location,
        agent: Agent[TContext],
        run_id: str | None = None,
        *,
        keys: Keyring | Mapping[str, bytes] | KeySource | None = None,
    ) -> None:
        self._location = parse(location)
        super().__init__(self._location)
        self._agent = agent
        self._keys = keyring(keys)
        self.run_id = check_id(self._own_id(run_id))
        self._known: Known | None = None
        self._claim: Claim | None = None
        self._saving = asyncio.Lock()

    @property
    def revision(self) -> int | None:
        """The newest revision this store has read or written."""
        return None if self._known is None else self._known.revision

    async def save(self, state: RunState[TContext]) -> int:
        """Stores `state` as the next revision, durably, and returns its number.

        Raises the errors of `timestep.state.dump_run_state`, and `StoreError`: `stale-state` if
        what is stored is not what this store has read or written last, `already-claimed` if
        somebody else holds the run, `claim-lost` if the claim of this store was lost. Nothing is
        stored then.
        """
        async with self._saving:
            document = dump_run_state(state).document
            backend = await self._backend()
            known = self._known
            claim = self._claim
            if claim is not None and claim.lost:
                raise self._claim_lost(claim)
            piece, saved = await self._encode(document, known)
            clear = facts(document, None if known is None else known.document, self._models())
            try:
                await backend.save(
                    self.run_id,
                    piece,
                    await _sealed(clear, self.run_id, self._keys),
                    owner=None if claim is None else claim.owner,
                )
            except StoreError as error:
                if error.code == "already-claimed" and claim is not None:
                    claim.lose(error.owner, error.until)
                    raise self._claim_lost(claim) from None
                raise
            self._known = saved
            return saved.revision

    async def load(self, *, revision: int | None = None, context: Any = None) -> RunState[TContext]:
        """The official SDK's own `RunState`, ready to approve, reject and resume.

        Left out, `revision` is the newest one; decisions of the inbox that have not expired are
        applied to it. `context` is the run's context where the document does not hold its data.

        Raises `StoreError` (`state-not-found`, `revision-not-found`, `damaged-history`,
        `wrong-key`), `ApprovalError` (`approval-mismatch`), `DocumentError` (`malformed` with line
        and column in a file, `not-a-run-state`), `CrossingError` (`run-completed`), and the errors
        of `timestep.state.load_run_state`.
        """
        backend = await self._backend()
        stored = await backend.read(self.run_id, revision)
        known = await self._decode(stored)
        newest = stored.revision == stored.newest
        if newest:
            self._known = known
        document = known.document
        source = self._location.target if self._location.kind == "file" else f"run {self.run_id}"
        refuse_raw_snapshot(document, source)
        if document.get("status") == "completed":
            raise CrossingError(
                f"{source} is over: nothing is left to resume",
                code="run-completed",
                hint="continue the conversation in a new run, with its input and items as input",
            )
        state = await load_run_state(document, self._agent, context=context)
        if newest:
            await self._apply(stored.decisions, state, document)
        return state

    async def clear(self) -> None:
        """Removes the run with all its revisions. Nothing stored is no error."""
        backend = await self._backend()
        await backend.clear(self.run_id)
        self._known = None

    async def list(self, *, status: str | None = None) -> list[RunSummary]:
        """The runs at the location, the one that changed last first; with `status`, those only."""
        backend = await self._backend()
        return [run for run in await backend.runs() if status in (None, run.status)]

    async def history(self) -> Sequence[Revision]:
        """The revisions of the run that are kept, oldest first; in a file, the newest alone."""
        backend = await self._backend()
        return await backend.history(self.run_id)

    async def fork(
        self, *, revision: int | None = None, run_id: str | None = None
    ) -> RunStateStore[TContext]:
        """A new run that starts with a revision of this one, the newest where it is left out.

        `run_id` is the id of the new run, random where it is left out; beside a file the new run
        is the file `<run_id>.json`. Decisions of the inbox are not taken along.

        Raises `StoreError` (`run-exists`), and as `load` does.
        """
        backend = await self._backend()
        stored = await backend.read(self.run_id, revision)
        document = (await self._decode(stored)).document
        new_id = str(uuid4()) if run_id is None else run_id
        location = self._location
        if location.kind == "file":
            location = replace(location, target=str(location.path.with_name(_file_name(new_id))))
        return await self._begun(location, self._agent, new_id, self._keys, document)

    async def prune(
        self, *, keep: int | None = None, older_than: timedelta | float | None = None
    ) -> int:
        """Removes old revisions; how many.

        `keep` spares the newest that many, `older_than` (a timedelta, or seconds) spares what is
        younger; with both, only what neither spares goes. The newest revision always stays.
        Raises `ValueError` where neither is given, or `keep` is less than 1.
        """
        if keep is None and older_than is None:
            raise ValueError("give keep, older_than or both")
        if keep is not None and keep < 1:
            raise ValueError("the newest revision always stays: keep is 1 or more")
        backend = await self._backend()
        history = await backend.history(self.run_id)
        go = history[:-1] if keep is None else history[:-keep]
        if older_than is not None:
            age = older_than if isinstance(older_than, timedelta) else timedelta(seconds=older_than)
            limit = datetime.now(UTC) - age
            go = [each for each in go if each.saved_at < limit]
        if not go:
            return 0
        oldest = history[len(go)].revision
        document = (await self._decode(await backend.read(self.run_id, oldest))).document
        whole = Known(oldest - 1, {}, 0, pieces.MOST)
        piece, _ = await pieces.encode(self.run_id, document, whole, self._keys)
        return await backend.prune(self.run_id, piece)

    async def claim(self, *, lease: float = 60, owner: str | None = None) -> Claim:
        """Takes the run: nobody else claims or saves it until the claim is released or ends.

        It is renewed in the background every third of `lease` (seconds). `owner` is the name
        others are told, one of this process where it is left out.

        Raises `StoreError`: `already-claimed` with the owner and until when, `stale-state` if
        this store has read another revision than the newest, `state-not-found`.
        """
        if lease <= 0:
            raise ValueError("a lease lasts longer than 0 seconds")
        backend = await self._backend()
        name = new_owner() if owner is None else owner
        claimed = await backend.claim(self.run_id, name, lease, seen=self.revision)
        if self._claim is not None:
            await self._claim.stop()
        claim = Claim(backend, self.run_id, claimed, lease, lambda: self._forget(claim))
        self._claim = claim
        return claim

    async def aclose(self) -> None:
        """Ends what was opened. A claim that is held is renewed no more."""
        claim, self._claim = self._claim, None
        if claim is not None:
            await claim.stop()
        await super().aclose()

    @classmethod
    async def _begun(
        cls,
        location: Location,
        agent: Agent[TContext],
        run_id: str,
        keys: Keyring | None,
        document: dict[str, Any],
    ) -> RunStateStore[TContext]:
        """A store whose run starts with a document. Raises `StoreError` (`run-exists`)."""
        self = cls(location, agent, run_id, keys=keys)
        try:
            await self._start(document)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _start(self, document: dict[str, Any]) -> None:
        backend = await self._backend()
        piece, known = await self._encode(document, None)
        clear = facts(document, None, self._models())
        try:
            await backend.save(self.run_id, piece, await _sealed(clear, self.run_id, self._keys))
        except StoreError as error:
            if error.code not in ("stale-state", "already-claimed"):
                raise
            raise StoreError(f"there is a run {self.run_id}", code="run-exists") from None
        self._known = known

    def _own_id(self, run_id: str | None) -> str:
        if self._location.kind != "file":
            return str(uuid4()) if run_id is None else run_id
        own = self._location.path.name.removesuffix(_FILE)
        if run_id not in (None, own):
            raise StoreError(
                f"{self._location.target} keeps the run {own}, not {run_id}",
                code="unknown-location",
                hint="Leave the run id out, or give a folder or a database.",
            )
        return own

    async def _encode(self, document: dict[str, Any], known: Known | None) -> tuple[Piece, Known]:
        if self._location.kind != "file":
            return await pieces.encode(self.run_id, document, known, self._keys)
        revision = 1 if known is None else known.revision + 1
        content = await to_content(document, self._keys)
        check = pieces.checksum(revision, None, content)
        return Piece(revision, None, check, content), Known(revision, document, 0, 0)

    async def _decode(self, stored: StoredRun) -> Known:
        if self._location.kind == "file":
            [piece] = stored.pieces
            document = await from_content(piece.data, self._location.target, self._keys)
            return Known(piece.revision, document, 0, 0)
        try:
            return await pieces.decode(self.run_id, stored, self._keys)
        except StoreError as error:
            if error.code == "damaged-history" and error.loadable is None:
                error.loadable = await self._loadable(stored)
            raise

    async def _loadable(self, stored: StoredRun) -> int | None:
        """The newest revision that can be read before the pieces that are damaged."""
        backend = await self._backend()
        while stored.pieces and stored.pieces[0].revision > 1:
            try:
                stored = await backend.read(self.run_id, stored.pieces[0].revision - 1)
                return (await pieces.decode(self.run_id, stored, self._keys)).revision
            except StoreError as error:
                if error.code == "revision-not-found":
                    return None
                if error.code != "damaged-history":
                    raise
                if error.loadable is not None:
                    return error.loadable
        return None

    async def _apply(
        self, decisions: Sequence[StoredApproval], state: RunState[TContext], document: Any
    ) -> None:
        """Takes the decisions of the inbox, as the SDK does when they are taken on a state."""
        digests = {
            item.get("call_id") or item.get("id"): digest_of(item)
            for item in (entry["item"] for entry in document["interruptions"])
        }
        waiting = {item.call_id: item for item in state.get_interruptions()}
        for stored in decisions:
            decided = stored.approval
            item = waiting.get(decided.call_id)
            if item is None:
                continue
            if digests.get(decided.call_id) != decided.arguments_digest:
                raise ApprovalError(
                    f"the call {decided.call_id} of {self.run_id} has other arguments than those "
                    f"{decided.decided_by} has decided on",
                    code="approval-mismatch",
                )
            if decided.decision == "approve":
                state.approve(item, always_approve=decided.always)
                continue
            message = stored.message
            if message is not None and is_sealed(message):
                place = _place(self.run_id, decided.call_id)
                message = await open_sealed(message, place, self._keys)
            state.reject(
                item,
                always_reject=decided.always,
                rejection_message=None if message is None else message.decode(),
            )

    def _models(self) -> dict[str, str]:
        """The names of the models of the agents, as far as they have one."""
        from timestep.state.sdk import reachable

        models: dict[str, str] = {}
        for agent in reachable(self._agent):
            name = (
                agent.model if isinstance(agent.model, str) else getattr(agent.model, "model", None)
            )
            if isinstance(name, str):
                models.setdefault(agent.name, name)
        return models

    def _claim_lost(self, claim: Claim) -> StoreError:
        holder = claim.holder
        return StoreError(
            f"the claim of {claim.owner} on the run {self.run_id} was lost",
            code="claim-lost",
            owner=None if holder is None else holder.owner,
            until=None if holder is None else holder.until,
        )

    def _forget(self, claim: Claim) -> None:
        if self._claim is claim:
            self._claim = None


async def _sealed(clear: Facts, run_id: str, keys: Keyring | None) -> Facts:
    """The facts with the arguments as they are stored."""
    if keys is None:
        return clear
    pending = [
        {**call, "arguments": await keys.seal(call["arguments"], _place(run_id, call["call_id"]))}
        for call in clear.pending
    ]
    return replace(clear, pending=pending)


def _place(run_id: str, call_id: str) -> str:
    return f"timestep:approval:{run_id}:{call_id}"


def _file_name(run_id: str) -> str:
    if Path(run_id).name != run_id:
        raise StoreError(f"{run_id!r} is no name of a file", code="unknown-location")
    return run_id + _FILE
