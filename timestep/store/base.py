"""What a place that keeps runs and sessions can do, whatever kind of place it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

Decision = Literal["approve", "reject"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as a list shows it. Times have a zone."""

    run_id: str
    agent: str
    """The agent the run stands at."""
    status: str
    """`interrupted`, `run_again`, `not_started` or `completed`."""
    current_turn: int
    revision: int
    pending: int
    """How many calls wait for a decision that nobody has taken."""
    created_at: datetime
    updated_at: datetime
    trace_id: str | None = None
    claimed_by: str | None = None
    claimed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """One save of a run."""

    revision: int
    status: str
    current_turn: int
    saved_at: datetime
    language: str
    """The language of the port that saved it."""
    size: int
    """What it takes where it is stored, in bytes."""
    whole: bool
    """Whether it is a whole document; else it is the difference to the revision before."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A call of a run that waits, or waited, for a decision."""

    run_id: str
    call_id: str
    agent: str
    tool: str
    kind: str
    """`function`, `native`, `mcp` or `mcp_request`, as in the decisions of a run state."""
    arguments: str | None
    """What the model wrote; None where it is sealed and there is no key."""
    arguments_digest: str
    """Lower-case hexadecimal sha256 of the arguments; a decision binds to it."""
    revision: int
    """The revision that first asked."""
    requested_at: datetime
    decision: Decision | None = None
    always: bool = False
    message: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    expires_at: datetime | None = None
    """When the decision stops counting; None for never."""
    resolved: bool = False
    """Whether the run has gone on past this call."""


@dataclass(frozen=True, slots=True)
class StoredApproval:
    """An approval with its arguments and message as they are stored, maybe sealed."""

    approval: Approval
    """With `arguments` and `message` None: whoever has the keys fills them in."""
    arguments: bytes | None = None
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What one save wrote: a whole document or a delta (`docs/storage.md`)."""

    revision: int
    base: int | None
    """The revision a delta starts from; None for a whole document."""
    checksum: bytes
    data: bytes
    """Compressed, sealed where there is a key. Empty where `text` is given."""
    text: str | None = None
    """A whole document in clear as JSON; a database keeps it as text."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a save says in clear about the document it stores."""

    agent: str
    status: str
    turn: int
    language: str
    trace_id: str | None
    pending: Sequence[Mapping[str, Any]]
    """Calls that wait: call_id, agent, tool, kind, digest, and arguments (bytes, maybe sealed)."""
    decided: Mapping[str, Decision]
    """Decisions in the document about calls that waited in the revision before, by call id."""
    calls: Sequence[Mapping[str, Any]]
    """Calls answered since the revision before: call_id, agent, tool, executed."""
    usage: Sequence[Mapping[str, Any]]
    """Requests to a model since then: request (from 0), model, input, output, total, cached,
    reasoning, the last five in tokens."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who holds a run, and until when."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What reading a run gives: the pieces of a revision, and what was decided about it since."""

    revision: int
    """The revision that was read."""
    newest: int
    pieces: Sequence[Piece]
    """The newest whole piece at or before the revision, and the deltas after it, in order.
    Pieces that are missing are missing here too."""
    decisions: Sequence[StoredApproval] = field(default=())
    """Decisions on the calls that wait in the newest revision, those that have expired left out."""


class Backend(Protocol):
    """A place that keeps runs and sessions: a file, a folder or a database.

    It knows pieces and facts, never documents, keys or an SDK. Every method that finds nothing
    under a run id raises `StoreError` (`state-not-found`), `clear` and `read_items` excepted.
    """

    async def save(
        self, run_id: str, piece: Piece, facts: Facts, *, owner: str | None = None
    ) -> None:
        """Adds a revision, if it is one more than the newest and nobody else holds the run.

        Raises `StoreError` (`stale-state`, `already-claimed`); nothing is stored then.
        """

    async def read(self, run_id: str, revision: int | None = None) -> StoredRun:
        """The newest revision, or the one asked for (`revision-not-found`), in one query."""

    async def clear(self, run_id: str) -> None:
        """Removes a run and all its revisions. None there is no error."""

    async def runs(self) -> list[RunSummary]:
        """Every run, the one that changed last first."""

    async def history(self, run_id: str) -> list[Revision]:
        """The revisions of a run, oldest first."""

    async def prune(self, run_id: str, oldest: Piece) -> int:
        """Removes the revisions before that of `oldest`, which is whole and takes its place.

        How many were removed.
        """

    async def claim(
        self, run_id: str, owner: str, seconds: float, *, seen: int | None = None
    ) -> Claimed:
        """Takes the run for `owner`, or renews what it holds.

        Raises `StoreError` (`already-claimed`; `stale-state` if `seen` is not the newest revision).
        """

    async def release(self, run_id: str, owner: str) -> None:
        """Gives the run back, if `owner` still holds it."""

    async def approvals(
        self, run_id: str | None = None, *, resolved: bool = False
    ) -> list[StoredApproval]:
        """Calls that wait, oldest first; with `resolved`, calls the run has gone past too."""

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
        """Records a decision. `digest` None takes the arguments that are stored.

        Raises `ApprovalError` (`approval-not-found`, `approval-mismatch`, `already-decided`).
        """

    async def add_items(self, session_id: str, items: Sequence[str | bytes]) -> None:
        """Appends to a session, all or nothing: JSON text, or sealed bytes."""

    async def read_items(self, session_id: str, limit: int | None = None) -> list[str | bytes]:
        """The newest `limit` items, or all, oldest first."""

    async def pop_item(self, session_id: str) -> str | bytes | None:
        """Takes the newest item out. No two callers get the same one."""

    async def clear_items(self, session_id: str) -> None:
        """Removes a session."""

    async def aclose(self) -> None:
        """Ends what was opened for it."""
