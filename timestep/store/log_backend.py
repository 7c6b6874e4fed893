"""What backends that keep a log for each run have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from timestep.store import lines, log
from timestep.store.base import Claimed, Decision, Revision, RunSummary, StoredApproval
from timestep.store.log import Line, RunLog
from timestep.store.log_file import LogFile

Addition = Callable[[RunLog], Line | None]
"""Makes the line that is right upon a state, None for nothing to do, or raises what is due."""


class LogBackend:
    """Claims, decisions and lists, for runs that have a log. Files are used in threads."""

    async def history(self, run_id: str) -> list[Revision]:
        """The revisions of a run, oldest first."""
        accepted = await asyncio.to_thread(self._lines, run_id)
        return [lines.revision(line) for line in accepted if "revision" in line]

    async def runs(self) -> list[RunSummary]:
        """Every run, the one that changed last first."""

        def read() -> list[RunSummary]:
            at = log.now()
            return [lines.summary(run_id, state, at) for run_id, state in self._states()]

        found = await asyncio.to_thread(read)
        return sorted(found, key=lambda run: run.updated_at, reverse=True)

    async def claim(
        self, run_id: str, owner: str, seconds: float, *, seen: int | None = None
    ) -> Claimed:
        """Takes the run for `owner`, or renews what it holds."""

        def line(state: RunLog) -> Line:
            return lines.claim_line(run_id, state, owner, seconds, seen=seen, at=log.now())

        return lines.claimed(await asyncio.to_thread(self._append, run_id, line))

    async def release(self, run_id: str, owner: str) -> None:
        """Gives the run back, if `owner` still holds it."""

        def line(state: RunLog) -> Line | None:
            if state.claim is None or state.claim["claim"] != owner:
                return None
            return {**log.mark(state, log.now()), "release": owner}

        await asyncio.to_thread(self._append, run_id, line)

    async def approvals(
        self, run_id: str | None = None, *, resolved: bool = False
    ) -> list[StoredApproval]:
        """Calls that wait, oldest first; with `resolved`, calls the run has gone past too."""

        def read() -> list[StoredApproval]:
            if not resolved:
                states = self._states() if run_id is None else [(run_id, self._state(run_id))]
                return [call for each, state in states for call in lines.waiting(each, state)]
            each_run = [each for each, _ in self._states()] if run_id is None else [run_id]
            return [call for each in each_run for call in lines.every_call(each, self._lines(each))]

        found = await asyncio.to_thread(read)
        return sorted(found, key=lambda stored: stored.approval.requested_at)

    async def decide(
        self,
        run_id: str,
        call_id: str,
        decision: Decision,
        *,
        digest: str | None,
        always: bool,
        message: bytes | None,
        by: str,
        expires: datetime | None,
    ) -> None:
        """Records a decision."""

        def line(state: RunLog) -> Line:
            return lines.decide_line(
                run_id,
                state,
                call_id,
                decision,
                digest=digest,
                always=always,
                message=message,
                by=by,
                expires=expires,
                at=log.now(),
            )

        await asyncio.to_thread(self._append, run_id, line)

    async def aclose(self) -> None:
        """Nothing stays open."""

    def _append(self, run_id: str, addition: Addition, data: bytes = b"") -> Line:
        """Appends what is right upon the state there is; the line, or `{}` for nothing to do.

        Raises `StoreError` (`state-not-found`), and what `addition` raises.
        """
        while True:
            with self._need(run_id) as opened:
                line = addition(opened.state)
                if line is None:
                    return {}
                if opened.append(line, data):
                    return line

    def _need(self, run_id: str) -> LogFile:
        """The log of a run, open. Raises `StoreError` (`state-not-found`)."""
        raise NotImplementedError

    def _states(self) -> Iterable[tuple[str, RunLog]]:
        """Every run and what its log says."""
        raise NotImplementedError

    def _state(self, run_id: str) -> RunLog:
        """What the log of a run says."""
        with self._need(run_id) as opened:
            return opened.state

    def _lines(self, run_id: str) -> Sequence[Line]:
        """The accepted lines of a run."""
        with self._need(run_id) as opened:
            return [entry.line for entry in opened.all().accepted]
