"""The table of operations, and what outlives a single one: the open case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, Any

from .convert import convert
from .loop import Handler
from .protocol import PROTOCOL, Failure, required

if TYPE_CHECKING:
    from .case import Case

CAPABILITIES = (
    "approvals",
    "approvals.inbox",
    "auto_previous_response_id",
    "encryption",
    "fault.arm",
    "handoffs",
    "mcp.hosted",
    "mcp.local",
    "mcp.local-approval",
    "models",
    "nested-agents",
    "programmatic-tools",
    "run",
    "run.input",
    "session",
    "state.convert",
    "state.file",
    "state.native",
    "state.portable",
    "store.claims",
    "store.file",
    "store.folder",
    "store.pglite",
    "store.postgresql",
    "stream",
    "tool-search",
    "tool.apply_patch",
    "tool.computer",
    "tool.custom",
    "tool.local_shell",
    "tool.shell",
    "tracing",
    "until.turn",
)
"""What the port and its SDK can do; `run.recover` is not among it."""

_STORES = {
    "store.save": "save",
    "store.load": "load",
    "store.list": "list_runs",
    "store.history": "history",
    "store.fork": "fork",
    "store.prune": "prune",
    "store.clear": "clear",
    "store.claim": "claim",
    "store.release": "release",
    "approvals.list": "list_approvals",
    "approvals.decide": "decide",
}


def hello() -> dict[str, Any]:
    """Who answers: port, SDK, versions and capabilities."""
    from agents import Agent, RunContextWrapper, RunState

    probe = RunState(RunContextWrapper(None), "", Agent[Any](name="probe"), 1)
    return {
        "protocol": PROTOCOL,
        "port": {"name": "timestep", "language": "python", "version": version("timestep")},
        "sdk": {
            "name": "openai-agents",
            "version": version("openai-agents"),
            "schema": probe.to_json()["$schemaVersion"],
        },
        "runtime": f"Python {python_version()}",
        "state": {"reads": ["1"], "writes": "1"},
        "capabilities": list(CAPABILITIES),
    }


class Operations:
    """Handlers by operation name; at most one case is open at a time."""

    def __init__(self) -> None:
        self._case: Case | None = None

    @property
    def table(self) -> dict[str, Handler]:
        return {
            "hello": self._hello,
            "case.open": self._open,
            "case.close": self._close,
            "run.start": self._of("runs", "start"),
            "run.advance": self._of("runs", "advance"),
            "run.decide": self._of("runs", "decide"),
            "run.input": self._of("runs", "add_input"),
            "state.save": self._of("saves", "save"),
            "state.load": self._of("saves", "load"),
            "state.convert": convert,
            "model.call": self._free("models", "call"),
            "model.route": self._free("models", "route"),
            **{op: self._of("stores", name) for op, name in _STORES.items()},
            "session.read": self._of("sessions", "read"),
            "session.add": self._of("sessions", "add"),
            "session.pop": self._of("sessions", "pop"),
            "session.clear": self._of("sessions", "clear"),
            "effects.read": lambda _args: self._opened().read_effects(),
            "run.recover": self._unsupported("run.recover"),
            "fault.arm": self._free("faults", "arm"),
        }

    def _opened(self) -> Case:
        if self._case is None:
            raise Failure("protocol", "no-case", "no case is open")
        return self._case

    async def _hello(self, args: Mapping[str, Any]) -> dict[str, Any]:
        if required(args, "protocol", int) != PROTOCOL:
            raise Failure("protocol", "unknown-protocol", f"this driver speaks protocol {PROTOCOL}")
        return hello()

    async def _open(self, args: Mapping[str, Any]) -> dict[str, Any]:
        from .case import Case

        await self.close()
        self._case = await Case.open(args)
        return {}

    async def _close(self, _args: Mapping[str, Any]) -> dict[str, Any]:
        await self.close()
        return {}

    async def close(self) -> None:
        """Closes the open case, if there is one."""
        case, self._case = self._case, None
        if case is not None:
            await case.close()

    def _of(self, module: str, name: str) -> Handler:
        """A handler that gets the open case; its module is loaded when it is first used."""

        async def handle(args: Mapping[str, Any]) -> dict[str, Any]:
            case = self._opened()
            handler = getattr(import_module(f".{module}", __package__), name)
            done: dict[str, Any] = await handler(case, args)
            return done

        return handle

    @staticmethod
    def _free(module: str, name: str) -> Handler:
        """A handler that needs no case; its module is loaded when it is first used."""

        async def handle(args: Mapping[str, Any]) -> dict[str, Any]:
            handler = getattr(import_module(f".{module}", __package__), name)
            done: dict[str, Any] = await handler(args)
            return done

        return handle

    @staticmethod
    def _unsupported(op: str) -> Handler:
        async def refuse(_args: Mapping[str, Any]) -> dict[str, Any]:
            raise Failure("unsupported", op, f"this port has no {op}")

        return refuse


@asynccontextmanager
async def operations() -> AsyncIterator[dict[str, Handler]]:
    """The table of operations, for as long as the driver lives."""
    held = Operations()
    try:
        yield held.table
    finally:
        await held.close()
