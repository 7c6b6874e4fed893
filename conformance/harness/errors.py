"""What can go wrong in a run of the suite.

HarnessError
├── CheckFailed          a port did something else than a case expects
├── CaseError            a case, agents, known-failing or requirement file is wrong
├── CassetteError        a cassette file is wrong
├── NotHere              the machine has not what a case needs; it is not run
└── DriverError          something about a driver or the port behind it
    ├── DriverCrashed    the process ended
    ├── DriverTimeout    no reply before the deadline
    ├── ProtocolError    the driver broke the protocol
    ├── Unsupported      the port lacks an operation and never declared it
    ├── CapabilityLacking   the port declared a capability and then refused it as unsupported
    ├── PortError        the port raised; the case decides whether it had to
    └── AdapterError     the driver reports a bug of its own
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class HarnessError(Exception):
    """Base of every error of the harness."""


class CheckFailed(HarnessError):
    """A port did something else than a case expects. `check` names the expectation."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


class CaseError(HarnessError):
    """A data file of the suite cannot be used as it is."""


class CassetteError(HarnessError):
    """A cassette cannot be played as it is."""


class NotHere(HarnessError):
    """The machine has not what a case needs: the case is not run, and nothing is said by it."""


class DriverError(HarnessError):
    """A request that a driver did not answer with a result.

    `stderr` is what the driver wrote meanwhile, `where` the leg of the case.
    """

    status: ClassVar[str] = "errored"
    stderr: str = ""
    where: str = ""

    @property
    def check(self) -> str:
        """The short name under which reports and known-failing lists know this error."""
        return "driver"


class DriverCrashed(DriverError):
    """The driver's process ended while a reply was due."""

    status = "crashed"

    def __init__(self, message: str, *, exit_code: int | None) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    @property
    def check(self) -> str:
        return "crash"


class DriverTimeout(DriverError):
    """No reply before the deadline. `killed` tells how the process was dealt with."""

    status = "timeout"

    def __init__(self, message: str, *, killed: str) -> None:
        super().__init__(message)
        self.killed = killed

    @property
    def check(self) -> str:
        return "deadline"


class ProtocolError(DriverError):
    """The driver broke the protocol.

    `reason` is `noise` (a line that is no JSON object), `broken-line` (a JSON object cut by a
    line end), `wrong-id`, `schema` or `too-large`.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def check(self) -> str:
        return f"protocol:{self.reason}"


class Unsupported(DriverError):
    """The port answered `unsupported`, and nothing it declared says otherwise."""

    status = "unsupported"

    @property
    def check(self) -> str:
        return "unsupported"


class CapabilityLacking(DriverError):
    """The port declared a capability in `hello` and answered `unsupported` where it is needed."""

    @property
    def check(self) -> str:
        return "declared"


class PortError(DriverError):
    """The port raised an error. `code` is stable and equal in every port, `err` the whole reply."""

    status = "fail"

    def __init__(self, err: Mapping[str, Any]) -> None:
        super().__init__(str(err["message"]))
        self.err = err
        self.code = str(err["code"])
        self.hint = err.get("hint")
        self.pointer = err.get("pointer")

    @property
    def check(self) -> str:
        return "raised"


class AdapterError(DriverError):
    """The driver says that it has a bug, or that the harness sent it something wrong."""


def from_reply(err: Mapping[str, Any], op: str, declared: frozenset[str]) -> DriverError:
    """The error that an `err` reply stands for.

    `declared` holds the capabilities that the port declared and the open case requires.
    """
    code, message = str(err["code"]), str(err["message"])
    match err["kind"]:
        case "implementation":
            return PortError(err)
        case "unsupported" if declared:
            names = ", ".join(sorted(declared))
            return CapabilityLacking(
                f"declared {names}, yet answered unsupported to {op}: {code}: {message}"
            )
        case "unsupported":
            return Unsupported(f"{op}: {code}: {message}")
        case kind:
            return AdapterError(f"{op}: {kind} error {code}: {message}")
