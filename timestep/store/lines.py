"""What may be appended to the log of a run, upon its state; and what that state says to readers."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from timestep.errors import ApprovalError, StoreError
from timestep.store.base import (
    Approval,
    Claimed,
    Decision,
    Facts,
    Piece,
    Revision,
    RunSummary,
    StoredApproval,
)
from timestep.store.log import Line, RunLog, mark, moment, stamp
from timestep.store.seal import is_sealed


def revision_line(
    run_id: str,
    state: RunLog,
    piece: Piece,
    facts: Facts,
    *,
    owner: str | None,
    size: int,
    at: str,
    file: str | None = None,
) -> Line:
    """The line of a save.

    `size` is that of the data line, and `file` names the temporary file where the document is a
    file of its own. Raises `StoreError` (`stale-state`, `already-claimed`).
    """
    if piece.revision != state.revision + 1:
        raise stale(run_id, state.revision)
    _refuse_others(run_id, state, owner, at)
    before = {call["call_id"]: call for call in pending_of(state.current)}
    pending = [_pending(call, facts.agent, before.get(call["call_id"])) for call in facts.pending]
    waiting = {call["call_id"]: call["digest"] for call in facts.pending}
    settled = {
        call_id: decision
        for call_id, decision in facts.decided.items()
        if call_id in before and call_id not in waiting
    }
    decided = [
        decision
        for call_id, decision in state.decided.items()
        if waiting.get(call_id) == decision["digest"]
    ]
    line = {
        **mark(state, at),
        "revision": piece.revision,
        "whole": True if piece.base is None else None,
        "size": size,
        "check": piece.checksum.hex(),
        "file": file,
        "language": facts.language,
        "status": facts.status,
        "agent": facts.agent,
        "turn": facts.turn,
        "trace_id": facts.trace_id,
        "created": at if state.current is None else state.current["created"],
        "pending": pending,
        "decided": decided or None,
        "settled": settled or None,
        "owner": owner,
        "claim": state.claim,
    }
    return {key: value for key, value in line.items() if value is not None}


def claim_line(
    run_id: str,
    state: RunLog,
    owner: str,
    seconds: float,
    *,
    seen: int | None,
    at: str,
) -> Line:
    """The line that takes a run, or renews what `owner` holds.

    Raises `StoreError` (`already-claimed`, `stale-state`).
    """
    _refuse_others(run_id, state, owner, at)
    if seen is not None and seen != state.revision:
        raise stale(run_id, state.revision)
    until = stamp(moment(at) + timedelta(seconds=seconds))
    return {**mark(state, at), "claim": owner, "until": until}


def claimed(line: Line) -> Claimed:
    """The claim a line tells of."""
    return Claimed(line["claim"], moment(line["until"]))


def decide_line(
    run_id: str,
    state: RunLog,
    call_id: str,
    decision: Decision,
    *,
    digest: str | None,
    always: bool,
    message: bytes | None,
    by: str,
    expires: datetime | None,
    at: str,
) -> Line:
    """The line of a decision.

    Raises `ApprovalError` (`approval-not-found`, `approval-mismatch`, `already-decided`).
    """
    pending = pending_of(state.current)
    call = next((each for each in pending if each["call_id"] == call_id), None)
    if call is None:
        raise ApprovalError(f"no call {call_id} of {run_id} waits", code="approval-not-found")
    if digest is not None and digest != call["digest"]:
        raise ApprovalError(
            f"the call {call_id} of {run_id} has other arguments than those decided on",
            code="approval-mismatch",
        )
    before = state.decided.get(call_id)
    if before is not None and _is_good(before, at):
        raise ApprovalError(
            f"{before['by']} has decided on the call {call_id} of {run_id} at {before['at']}",
            code="already-decided",
            decided_by=before["by"],
            decided_at=moment(before["at"]),
        )
    line = {
        **mark(state, at),
        "decide": decision,
        "call_id": call_id,
        "digest": call["digest"],
        "always": always,
        "message": None if message is None else _to_text(message),
        "by": by,
        "expires": None if expires is None else stamp(expires),
    }
    return {key: value for key, value in line.items() if value is not None}


def moved_line(state: RunLog, generation: int, oldest: Piece, size: int, at: str) -> Line:
    """The line that ends a log whose older revisions are dropped."""
    return {
        **mark(state, at),
        "moved": generation,
        "oldest": oldest.revision,
        "size": size,
        "check": oldest.checksum.hex(),
    }


def not_found(run_id: str) -> StoreError:
    """The error for a run that is not there."""
    return StoreError(f"there is no run {run_id}", code="state-not-found")


def stale(run_id: str, newest: int) -> StoreError:
    """The error of someone who has not read the newest revision, 0 where the run is gone."""
    if newest == 0:
        return StoreError(f"the run {run_id} is not there any more", code="stale-state")
    return StoreError(
        f"the run {run_id} is at revision {newest} by now", code="stale-state", revision=newest
    )


def summary(run_id: str, state: RunLog, at: str) -> RunSummary:
    """The run as a list shows it; it has a current revision."""
    line = state.current
    assert line is not None
    claim = _held(state, at)
    return RunSummary(
        run_id=run_id,
        agent=line["agent"],
        status=line["status"],
        current_turn=line["turn"],
        revision=line["revision"],
        pending=sum(
            1 for call in line["pending"] if not _is_good(state.decided.get(call["call_id"]), at)
        ),
        created_at=moment(line["created"]),
        updated_at=moment(line["at"]),
        trace_id=line.get("trace_id"),
        claimed_by=None if claim is None else claim["claim"],
        claimed_until=None if claim is None else moment(claim["until"]),
    )


def revision(line: Line) -> Revision:
    """A revision as the history shows it."""
    return Revision(
        revision=line["revision"],
        status=line["status"],
        current_turn=line["turn"],
        saved_at=moment(line["at"]),
        language=line["language"],
        size=line["size"],
        whole="whole" in line,
    )


def waiting(run_id: str, state: RunLog) -> list[StoredApproval]:
    """The calls that wait, in the order of the document."""
    pending = pending_of(state.current)
    return [_approval(run_id, call, state.decided.get(call["call_id"])) for call in pending]


def decisions(run_id: str, state: RunLog, at: str) -> list[StoredApproval]:
    """The decisions that count, on the calls that wait."""
    return [
        stored
        for stored in waiting(run_id, state)
        if _is_good(state.decided.get(stored.approval.call_id), at)
    ]


def every_call(run_id: str, accepted: Iterable[Line]) -> list[StoredApproval]:
    """Every call in the accepted lines of a log, those the run has gone past too."""
    calls: dict[str, StoredApproval] = {}
    decided: dict[str, Line] = {}
    before: list[Line] = []
    for line in accepted:
        if "decide" in line:
            decided[line["call_id"]] = line
        elif "revision" in line:
            still = {call["call_id"] for call in line["pending"]}
            for call in before:
                if call["call_id"] not in still:
                    decision = decided.get(call["call_id"])
                    calls[call["call_id"]] = _resolved(run_id, call, decision, line)
            before = pending_of(line)
            decided = {decision["call_id"]: decision for decision in line.get("decided", ())}
            for call_id in still:
                calls.pop(call_id, None)
    for call in before:
        calls[call["call_id"]] = _approval(run_id, call, decided.get(call["call_id"]))
    return list(calls.values())


def pending_of(line: Line | None) -> list[Line]:
    """The calls that wait in a revision, with what its line says of them elsewhere."""
    if line is None:
        return []
    said = {
        "agent": line["agent"],
        "kind": "function",
        "since": line["revision"],
        "at": line["at"],
    }
    return [{**said, "digest": _digest(call), **call} for call in line["pending"]]


def _pending(call: Mapping[str, Any], agent: str, before: Line | None) -> Line:
    """A call that waits, as the line of a revision has it; `before` is that of the one before."""
    line = {
        "call_id": call["call_id"],
        "agent": None if call["agent"] == agent else call["agent"],
        "tool": call["tool"],
        "kind": None if call["kind"] == "function" else call["kind"],
        "arguments": _to_text(call["arguments"]),
    }
    line = {key: value for key, value in line.items() if value is not None}
    if _digest(line) != call["digest"]:
        line["digest"] = call["digest"]
    if before is not None and before["digest"] == call["digest"]:
        line.update(since=before["since"], at=before["at"])
    return line


def _digest(call: Line) -> str | None:
    """What the arguments of a call say its digest is, where they are there in clear."""
    arguments = call.get("arguments")
    return hashlib.sha256(arguments.encode()).hexdigest() if isinstance(arguments, str) else None


def _refuse_others(run_id: str, state: RunLog, owner: str | None, at: str) -> None:
    claim = _held(state, at)
    if claim is not None and claim["claim"] != owner:
        raise StoreError(
            f"the run {run_id} is taken by {claim['claim']} until {claim['until']}",
            code="already-claimed",
            owner=claim["claim"],
            until=moment(claim["until"]),
        )


def _held(state: RunLog, at: str) -> Line | None:
    claim = state.claim
    return claim if claim is not None and claim["until"] > at else None


def _is_good(decision: Line | None, at: str) -> bool:
    return decision is not None and ("expires" not in decision or decision["expires"] > at)


def _approval(run_id: str, call: Line, decision: Line | None) -> StoredApproval:
    approval = Approval(
        run_id=run_id,
        call_id=call["call_id"],
        agent=call["agent"],
        tool=call["tool"],
        kind=call["kind"],
        arguments=None,
        arguments_digest=call["digest"],
        revision=call["since"],
        requested_at=moment(call["at"]),
    )
    arguments = _from_text(call.get("arguments"))
    if decision is None:
        return StoredApproval(approval, arguments)
    approval = replace(
        approval,
        decision=decision["decide"],
        always=decision["always"],
        decided_by=decision["by"],
        decided_at=moment(decision["at"]),
        expires_at=moment(decision["expires"]) if "expires" in decision else None,
    )
    return StoredApproval(approval, arguments, _from_text(decision.get("message")))


def _resolved(run_id: str, call: Line, decision: Line | None, following: Line) -> StoredApproval:
    stored = _approval(run_id, call, decision)
    approval = replace(stored.approval, resolved=True)
    own = following.get("settled", {}).get(call["call_id"])
    if decision is None and own is not None:
        approval = replace(approval, decision=own, decided_at=moment(following["at"]))
    return replace(stored, approval=approval)


def _to_text(value: bytes) -> str | dict[str, str]:
    """A value that may be sealed, as a line has it."""
    return {"sealed": b64encode(value).decode()} if is_sealed(value) else value.decode()


def _from_text(value: Any) -> bytes | None:
    if value is None:
        return None
    return b64decode(value["sealed"]) if isinstance(value, dict) else str(value).encode()
