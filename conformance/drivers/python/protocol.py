"""Messages of the driver protocol: requests in, replies out, and errors as replies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

PROTOCOL = 1
MAX_LINE = 16 * 1024 * 1024
"""Longest message, in bytes, line end included."""

KINDS = ("implementation", "unsupported", "driver", "protocol")


class Failure(Exception):
    """A reply that is an error.

    `kind` is whose error it is: `implementation` (the port raised), `unsupported` (the port has no
    such thing), `driver` (this adapter is wrong) or `protocol` (the request was wrong).
    """

    def __init__(
        self,
        kind: str,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        pointer: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.hint = hint
        self.pointer = pointer
        self.details: dict[str, Any] = {}
        """Further members of the reply's `err`."""

    def body(self) -> dict[str, Any]:
        body = {"kind": self.kind, "code": self.code, "message": str(self), **self.details}
        if self.hint:
            body["hint"] = self.hint
        if self.pointer is not None:
            body["pointer"] = self.pointer
        return body


@dataclass(frozen=True)
class Request:
    """One request. `id` is echoed and means nothing here."""

    id: Any
    op: str
    args: Mapping[str, Any]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def parse_request(line: bytes) -> Request:
    """The request on a line. Raises `Failure` of kind `protocol`."""
    if len(line) > MAX_LINE:
        raise Failure("protocol", "message-too-long", f"a message has at most {MAX_LINE} bytes")
    try:
        message = json.loads(line, parse_constant=_no_constant)
    except ValueError as error:
        raise Failure("protocol", "not-json", f"the line is no JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        raise Failure("protocol", "bad-request", "a request is an object with id, op and args")
    args = message.get("args", {})
    if not isinstance(args, dict):
        raise Failure("protocol", "bad-request", "args is an object")
    return Request(id=message.get("id"), op=message["op"], args=args)


def ok_line(request_id: Any, ok: Mapping[str, Any]) -> bytes:
    """The line of an ok reply. Raises `Failure` of kind `driver` where it is too long."""
    # ASCII escapes carry lone surrogates, which UTF-8 cannot.
    text = json.dumps({"id": request_id, "ok": ok}, allow_nan=False, separators=(",", ":"))
    line = text.encode() + b"\n"
    if len(line) > MAX_LINE:
        raise Failure("driver", "message-too-long", f"the reply has {len(line)} bytes")
    return line


def error_line(request_id: Any, failure: Failure) -> bytes:
    """The line of an error reply."""
    return json.dumps({"id": request_id, "err": failure.body()}, allow_nan=False).encode() + b"\n"


def error_code(error: BaseException) -> str:
    """The stable code of an error of the port; for any other one its class, in the same form.

    `MaxTurnsExceeded` of one SDK and `MaxTurnsExceededError` of the other are both
    `max-turns-exceeded`.
    """
    from timestep import TimestepError

    if isinstance(error, TimestepError):
        return str(error.code)
    name = type(error).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removesuffix("Error") or name).lower()


def as_failure(error: BaseException) -> Failure:
    """Whatever a port raised, as an error reply."""
    from timestep import ApprovalError, OllamaError, StoreError

    if isinstance(error, Failure):
        return error
    hint = getattr(error, "hint", None)
    pointer = getattr(error, "pointer", None)
    failure = Failure(
        "implementation",
        error_code(error),
        str(error) or type(error).__name__,
        hint=hint if isinstance(hint, str) else None,
        pointer=pointer if isinstance(pointer, str) else None,
    )
    if isinstance(error, OllamaError):
        failure.details = {"status": error.status, "retryable": error.retryable}
    elif isinstance(error, StoreError):
        members = ("revision", "loadable", "owner", "until")
        failure.details = {name: _told(getattr(error, name)) for name in members}
    elif isinstance(error, ApprovalError):
        failure.details = {"decided_by": error.decided_by}
    return failure


def time(value: datetime) -> str:
    """A time as the protocol writes it."""
    text = value.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _told(value: Any) -> Any:
    return time(value) if isinstance(value, datetime) else value


def is_expected(error: BaseException) -> bool:
    """Whether an error is one a caller is meant to see; anything else deserves a traceback."""
    from timestep import TimestepError

    return isinstance(error, Failure | TimestepError)


def required(args: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """An argument that has to be there. Raises `Failure` of kind `protocol`."""
    value = args.get(name)
    if not isinstance(value, kind):
        raise Failure("protocol", "bad-request", f"the argument {name!r} is missing or wrong")
    return value
