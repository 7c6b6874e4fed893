"""What is printed of calls that wait: text for people, JSON for programs."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from timestep.approvals import timestamp, waits
from timestep.cli.text import indented, shorten, table, visible
from timestep.store.base import Approval

_SHORT_DIGEST = 12
_WIDTH = 120
"""Characters of a line where the output is no terminal."""


def overview(
    shown: Sequence[Approval], *, decided: int, run_id: str | None, everything: bool
) -> Iterator[str]:
    """A table of calls, and what to do next; `decided` are left out, those that are decided."""
    if shown:
        head = ["RUN", "CALL", "AGENT", "TOOL", "ASKED", "DIGEST"]
        head += ["STATUS", "ARGUMENTS"] if everything else ["ARGUMENTS"]
        yield from table([head, *(_row(each, everything) for each in shown)], _width())
        yield ""
        yield "Look at one:  timestep approvals show RUN CALL"
        yield "Decide it:    timestep approvals approve RUN CALL, or reject RUN CALL --message WHY"
    else:
        of = "" if run_id is None else f" of run {visible(run_id)}"
        yield f"No call{of} is stored." if everything else f"No call{of} waits for a decision."
        yield "A run that stops for an approval is listed once its state is saved in a"
        yield "RunStateStore of this location; another one is given with --location."
    if decided:
        calls = "1 decided call has" if decided == 1 else f"{decided} decided calls have"
        yield f"{calls} not been applied yet: timestep approvals list --all"


def details(approval: Approval, *, location: str | None) -> Iterator[str]:
    """All there is to say of a call, and the command that approves it at this location."""
    yield f"Run        {visible(approval.run_id)}"
    yield f"Call       {visible(approval.call_id)}"
    yield f"Agent      {visible(approval.agent)}"
    yield f"Tool       {visible(approval.tool)} ({approval.kind})"
    yield f"Asked      {_time(approval.requested_at)}, in revision {approval.revision}"
    yield f"Digest     {approval.arguments_digest}"
    yield f"Status     {_status(approval)}"
    if approval.message is not None:
        yield f"Message    {visible(approval.message)}"
    if approval.arguments is None:
        yield "Arguments  sealed; TIMESTEP_ENCRYPTION_KEYS has no key that opens them"
    else:
        yield "Arguments"
        yield from (f"  {line}" for line in indented(approval.arguments))
    if waits(approval):
        call = [approval.run_id, approval.call_id]
        digest = ["--digest", approval.arguments_digest[:_SHORT_DIGEST]]
        # A location with an @ may hold a password.
        where = [] if location is None or "@" in location else ["--location", location]
        command = shlex.join(["timestep", "approvals", "approve", *call, *digest, *where])
        yield ""
        yield f"Decide it: {visible(command)}"
        yield "           or reject, with --message WHY"


def outcome(approval: Approval) -> Iterator[str]:
    """What was decided just now."""
    yield f"{visible(approval.call_id)} of run {visible(approval.run_id)}: {_status(approval)}"
    yield f"  {visible(approval.tool)} {shorten(_arguments(approval), _width() - 3)}"
    yield "It is applied when the run is loaded."


def record(approval: Approval) -> dict[str, Any]:
    """The approval in the form of `schemas/approvals.schema.json`."""
    return {
        "run_id": approval.run_id,
        "call_id": approval.call_id,
        "agent": approval.agent,
        "tool": approval.tool,
        "kind": approval.kind,
        "arguments": approval.arguments,
        "arguments_digest": approval.arguments_digest,
        "revision": approval.revision,
        "requested_at": timestamp(approval.requested_at),
        "waits": waits(approval),
        "decision": approval.decision,
        "always": approval.always,
        "message": approval.message,
        "decided_by": approval.decided_by,
        "decided_at": None if approval.decided_at is None else timestamp(approval.decided_at),
        "expires_at": None if approval.expires_at is None else timestamp(approval.expires_at),
        "resolved": approval.resolved,
    }


def _row(approval: Approval, with_status: bool) -> list[str]:
    cells = [approval.run_id, approval.call_id, approval.agent, approval.tool]
    cells += [_time(approval.requested_at), approval.arguments_digest[:_SHORT_DIGEST]]
    return [*cells, *([_status(approval)] if with_status else []), _arguments(approval)]


def _status(approval: Approval) -> str:
    if approval.decision is None:
        return "resolved without a decision" if approval.resolved else "waits for a decision"
    words = "approved" if approval.decision == "approve" else "rejected"
    if approval.always:
        words += " always"
    if approval.decided_by is not None:
        words += f" by {visible(approval.decided_by)}"
    if approval.decided_at is not None:
        words += f" at {_time(approval.decided_at)}"
    if approval.resolved:
        return f"{words}, applied"
    if approval.expires_at is None:
        return words
    if waits(approval):
        return f"waits for a decision; {words}, expired at {_time(approval.expires_at)}"
    return f"{words}, until {_time(approval.expires_at)}"


def _arguments(approval: Approval) -> str:
    return "(sealed)" if approval.arguments is None else approval.arguments


def _time(time: datetime) -> str:
    return f"{timestamp(time)[:19].replace('T', ' ')}Z"


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, 24)).columns
