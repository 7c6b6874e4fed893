"""The inbox: calls of stored runs that wait for a decision, decided without loading their run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from timestep.errors import ApprovalError, StoreError
from timestep.store.base import Approval, Decision, StoredApproval
from timestep.store.location import default_location
from timestep.store.opened import BackendUser
from timestep.store.seal import Keyring, KeySource, is_sealed, keyring

__all__ = ["Approval", "Approvals"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


class Approvals(BackendUser):
    """The calls that wait at `location`: listed, shown, approved and rejected.

    Neither the SDK nor a run state is loaded. `location` is as for `RunStateStore`; left out, it
    is `TIMESTEP_LOCATION` or the folder `.timestep`. With `keys` (left out, those of
    `TIMESTEP_ENCRYPTION_KEYS`) sealed arguments and messages are opened, and a message is sealed
    before it is stored. What no key opens is None.

    A decision is for one call of one run with the arguments it has. It is applied when the run is
    loaded, in either language, if it has not expired by then.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        *,
        keys: Keyring | Mapping[str, bytes] | KeySource | None = None,
    ) -> None:
        self.location = default_location() if location is None else os.fspath(location)
        self._keys = keyring(keys)
        super().__init__(self.location)

    async def get(self, run_id: str, call_id: str | None = None) -> Approval:
        """A call of a run, resolved ones included; left out, the one that waits.

        Raises `ApprovalError` (`approval-not-found`): no such run or call, or not exactly one
        call that waits where `call_id` is left out.
        """
        stored = await self._stored(run_id)
        if call_id is None:
            return await self._filled(_only_one(run_id, stored))
        found = _with_id(stored, call_id)
        if found is None:
            found = _with_id(await self._stored(run_id, resolved=True), call_id)
        if found is None:
            raise ApprovalError(f"run {run_id} has no call {call_id}", code="approval-not-found")
        return await self._filled(found)

    async def approve(
        self,
        run_id: str,
        call_id: str | None = None,
        *,
        digest: str | None = None,
        always: bool = False,
        message: str | None = None,
        by: str | None = None,
        expires: datetime | timedelta | None = None,
    ) -> Approval:
        """Lets the call run. How it stands afterwards.

        `digest` is that of the arguments the decision is for, or its first 8 digits or more; left
        out, it is for the arguments that are stored now. `always` covers every later call of the
        tool too, `message` is kept beside the decision. `by` says who decides; left out,
        `TIMESTEP_USER` or the login name. A decision that `expires` counts if the run is loaded
        before then.

        Raises `ApprovalError` (`approval-not-found`, `approval-mismatch`, `already-decided`), and
        `ValueError` for a digest that is none, a name with control characters, and a time that
        has no zone or has passed.
        """
        return await self._decide("approve", run_id, call_id, digest, always, message, by, expires)

    async def reject(
        self,
        run_id: str,
        call_id: str | None = None,
        *,
        digest: str | None = None,
        always: bool = False,
        message: str | None = None,
        by: str | None = None,
        expires: datetime | timedelta | None = None,
    ) -> Approval:
        """Keeps the call from running; the model is told `message`. The rest as in `approve`."""
        return await self._decide("reject", run_id, call_id, digest, always, message, by, expires)

    async def _decide(
        self,
        decision: Decision,
        run_id: str,
        call_id: str | None,
        digest: str | None,
        always: bool,
        message: str | None,
        by: str | None,
        expires: datetime | timedelta | None,
    ) -> Approval:
        if digest is not None and not _DIGEST.fullmatch(digest := digest.lower()):
            raise ValueError("a digest is 8 to 64 hexadecimal digits")
        who = _well_formed(decider() if by is None else by)
        if not who or _CONTROL.search(who):
            raise ValueError("who decides is named by a text without control characters")
        until = None if expires is None else _expiry(expires)
        found = await self.get(run_id, call_id)
        _check(found, digest)
        place = f"timestep:approval:{run_id}:{found.call_id}"
        said = None if message is None else _well_formed(message).encode()
        if said is not None and self._keys is not None:
            said = await self._keys.seal(said, place)
        backend = await self._backend()
        try:
            await backend.decide(
                run_id,
                found.call_id,
                decision,
                digest=found.arguments_digest,
                always=always,
                message=said,
                by=who,
                expires=until,
            )
        except ApprovalError:
            # It is not what it was when it was read; what it is now says best what is wrong.
            _check(await self.get(run_id, found.call_id), digest or found.arguments_digest)
            raise
        return await self.get(run_id, found.call_id)

    async def _stored(self, run_id: str, *, resolved: bool = False) -> list[StoredApproval]:
        try:
            return await (await self._backend()).approvals(run_id, resolved=resolved)
        except StoreError as error:
            if error.code != "state-not-found":
                raise
            message = f"there is no run {run_id}"
            raise ApprovalError(message, code="approval-not-found") from None

    async def _filled(self, stored: StoredApproval) -> Approval:
        place = f"timestep:approval:{stored.approval.run_id}:{stored.approval.call_id}"
        return replace(
            stored.approval,
            arguments=await self._text(stored.arguments, place),
            message=await self._text(stored.message, place),
        )

    async def _text(self, data: bytes | None, place: str) -> str | None:
        if data is None:
            return None
        if is_sealed(data):
            if self._keys is None:
                return None
            try:
                data = await self._keys.open(data, place)
            except StoreError as error:
                if error.code != "wrong-key":
                    raise
                return None  # one run sealed with another key hides no other run
        return data.decode(errors="replace")

    # Last, for within the class its name hides that of the type.
    async def list(self, run_id: str | None = None, *, resolved: bool = False) -> list[Approval]:
        """The calls that wait, oldest first, those that are decided and not yet applied included.

        With `resolved`, the calls their run has gone past too. Raises `ApprovalError`
        (`approval-not-found`) where there is no run `run_id`.
        """
        if run_id is None:
            stored = await (await self._backend()).approvals(resolved=resolved)
        else:
            stored = await self._stored(run_id, resolved=resolved)
        return [await self._filled(each) for each in stored]


def waits(approval: Approval) -> bool:
    """Whether somebody has to decide: nobody has, or the decision has expired unused."""
    return not approval.resolved and not _decided(approval)


def decider() -> str:
    """Who decides where nobody is named: `TIMESTEP_USER`, else the login name."""
    if named := os.environ.get("TIMESTEP_USER"):
        return named
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except ImportError:
        return os.environ.get("USERNAME", "unknown")
    except KeyError:  # a container that runs as a user without a name
        return f"uid {os.getuid()}"


def _decided(approval: Approval) -> bool:
    expires = approval.expires_at
    return approval.decision is not None and (expires is None or expires > datetime.now(UTC))


def _with_id(stored: list[StoredApproval], call_id: str) -> StoredApproval | None:
    return next((each for each in stored if each.approval.call_id == call_id), None)


def _only_one(run_id: str, stored: list[StoredApproval]) -> StoredApproval:
    waiting = [each for each in stored if waits(each.approval)]
    if len(waiting) == 1:
        return waiting[0]
    if not waiting:
        message = f"no call of run {run_id} waits for a decision"
        raise ApprovalError(message, code="approval-not-found")
    names = ", ".join(each.approval.call_id for each in waiting)
    raise ApprovalError(
        f"{len(waiting)} calls of run {run_id} wait: {names}",
        code="approval-not-found",
        hint="Name the call.",
    )


def _check(found: Approval, digest: str | None) -> None:
    """Raises `ApprovalError` where the call cannot be decided, or has not these arguments."""
    call = f"call {found.call_id} of run {found.run_id}"
    if found.resolved:
        raise ApprovalError(f"{call} was resolved: its run has gone on", code="approval-not-found")
    if digest is not None and not found.arguments_digest.startswith(digest):
        raise ApprovalError(
            f"the arguments of {call} have the digest {found.arguments_digest}, not {digest}",
            code="approval-mismatch",
        )
    if _decided(found):
        verb = "approved" if found.decision == "approve" else "rejected"
        by = "" if found.decided_by is None else f" by {found.decided_by}"
        at = "" if found.decided_at is None else f" at {timestamp(found.decided_at)}"
        raise ApprovalError(
            f"{call} was {verb}{by}{at}",
            code="already-decided",
            decided_by=found.decided_by,
            decided_at=found.decided_at,
        )


def timestamp(time: datetime) -> str:
    """The time as ISO 8601 in UTC, with milliseconds."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _expiry(expires: datetime | timedelta) -> datetime:
    now = datetime.now(UTC)
    until = now + expires if isinstance(expires, timedelta) else expires
    if until.tzinfo is None:
        raise ValueError("the time at which a decision expires needs a zone")
    if until <= now:
        raise ValueError("the time at which a decision expires has passed")
    return until.replace(microsecond=until.microsecond // 1000 * 1000)


def _well_formed(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
