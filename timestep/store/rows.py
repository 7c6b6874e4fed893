"""What a database and the store say to each other in JSON (`docs/database.md`)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from timestep.store.base import Approval, Facts, Revision, RunSummary, StoredApproval
from timestep.store.seal import is_sealed


def plain(text: str) -> str:
    """The text as a database can hold it: NUL and lone surrogates are U+FFFD."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\ufffd")


def facts_json(facts: Facts) -> str:
    """The facts of a save; what is empty, or goes without saying, is left out."""
    said: dict[str, Any] = {
        "agent": facts.agent,
        "status": facts.status,
        "turn": facts.turn,
        "language": facts.language,
        "trace_id": facts.trace_id,
        "pending": [_pending(call) for call in facts.pending],
        "decided": dict(facts.decided),
        "calls": [_without({"executed": True}, call) for call in facts.calls],
        "usage": [_usage(request) for request in facts.usage],
    }
    kept = {key: value for key, value in said.items() if value not in (None, [], {})}
    return json.dumps(_plain(kept), ensure_ascii=False, separators=(",", ":"))


def items_json(items: Sequence[str | bytes]) -> str:
    """Items of a session, in clear or sealed."""
    entries = [
        {"item": item} if isinstance(item, str) else {"data": base64.b64encode(item).decode()}
        for item in items
    ]
    return json.dumps(entries, ensure_ascii=False)


def summary(row: Mapping[str, Any]) -> RunSummary:
    """A row of `timestep.list_runs`."""
    held = row["held"]
    return RunSummary(
        run_id=row["run_id"],
        agent=row["agent"],
        status=row["status"],
        current_turn=row["current_turn"],
        revision=row["revision"],
        pending=row["pending"],
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
        trace_id=row["trace_id"],
        claimed_by=row["claim_owner"] if held else None,
        claimed_until=_time(row["claim_until"]) if held else None,
    )


def revision(row: Mapping[str, Any]) -> Revision:
    """A row of `timestep.list_revisions`."""
    return Revision(**{**row, "saved_at": _time(row["saved_at"])})


def approval(row: Mapping[str, Any]) -> StoredApproval:
    """A call of `timestep.list_approvals` or `timestep.read_run`."""
    return StoredApproval(
        approval=Approval(
            run_id=row["run_id"],
            call_id=row["call_id"],
            agent=row["agent"],
            tool=row["tool"],
            kind=row["kind"],
            arguments=None,
            arguments_digest=row["arguments_digest"],
            revision=row["revision"],
            requested_at=_time(row["requested_at"]),
            decision=row["decision"],
            always=row["always"],
            decided_by=row["decided_by"],
            decided_at=_maybe_time(row["decided_at"]),
            expires_at=_maybe_time(row["expires_at"]),
            resolved=row["resolved_revision"] is not None,
        ),
        arguments=_bytes(row["arguments"]),
        message=_bytes(row["message"]),
    )


def _pending(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call that waits. A database cannot hold arguments with NUL as text, and not sealed ones."""
    said = _without({"kind": "function"}, call)
    stored = said.pop("arguments")
    if is_sealed(stored) or b"\0" in stored:
        return {**said, "data": base64.b64encode(stored).decode()}
    return {**said, "arguments": stored.decode()}


def _usage(request: Mapping[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(("input", "output", "cached", "reasoning"), 0)
    total = request["input"] + request["output"]
    return _without({**nothing, "total": total, "model": None}, request)


def _without(defaults: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in said.items() if key not in defaults or value != defaults[key]
    }


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {plain(key): _plain(entry) for key, entry in value.items()}
    return value


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe_time(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
