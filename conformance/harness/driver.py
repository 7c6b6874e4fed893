"""The client of a driver: one long-lived process that speaks JSON lines.

The harness owns time. A request past its deadline is cancelled; a driver that does not settle
then is terminated, and at last killed. After a crash, a timeout that ended in a signal, or a
breach of the protocol the next request starts a new process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import schemas
from .errors import (
    CaseError,
    DriverCrashed,
    DriverError,
    DriverTimeout,
    ProtocolError,
    from_reply,
)
from .ports import Port
from .transcript import Transcript

PROTOCOL = 1
_BROKEN_AFTER = 3


@dataclass(frozen=True)
class Limits:
    """Deadlines in seconds, and the longest line in bytes."""

    deadline: float = 20.0
    grace: float = 2.0
    patience: float = 5.0
    line: int = 16 * 1024 * 1024


class Driver:
    """A port's driver. Starts with the first request; `close` ends it with `bye`."""

    def __init__(self, port: Port, transcript: Transcript, limits: Limits | None = None) -> None:
        self.port = port
        self.hello: Mapping[str, Any] | None = None
        self._transcript = transcript
        self._limits = limits or Limits()
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[None] | None = None
        self._heard: list[str] = []
        self._count = 0
        self._failed_starts = 0

    @property
    def capabilities(self) -> frozenset[str]:
        """What the port declared; nothing before it started."""
        return frozenset(self.hello["capabilities"]) if self.hello else frozenset()

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, if there is one."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill_now(self) -> None:
        """End the process while a request is open, which then raises DriverCrashed."""
        self.signal(signal.SIGKILL)

    async def kill(self) -> None:
        """End the process as `kill -9` does; the next request starts another one."""
        process = self._process
        self.kill_now()
        if process is not None:
            await process.wait()
        await self._end()

    async def start(self) -> Mapping[str, Any]:
        """Start the process unless it runs, and say hello. Raises DriverError."""
        if self._process is not None and self.hello is not None:
            return self.hello
        if self._failed_starts >= _BROKEN_AFTER:
            raise DriverCrashed(
                f"the driver of {self.port.name} looks broken: it failed to start "
                f"{self._failed_starts} times in a row",
                exit_code=None,
            )
        self._failed_starts += 1
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.port.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=self._limits.line,
                cwd=schemas.ROOT,
                start_new_session=True,
            )
        except OSError as error:
            raise DriverCrashed(
                f"{self.port.command[0]}: {error.strerror}", exit_code=None
            ) from error
        self._stderr = asyncio.create_task(self._listen(self._process))
        try:
            self.hello = await self._exchange("hello", {"protocol": PROTOCOL}, frozenset(), None)
        except DriverError:
            await self._end()
            raise
        self._failed_starts = 0
        return self.hello

    async def call(
        self,
        op: str,
        args: Mapping[str, Any],
        *,
        required: frozenset[str] = frozenset(),
        deadline: float | None = None,
    ) -> dict[str, Any]:
        """The result of an operation. `required`: capabilities of the open case, all declared.

        Raises the DriverError that says what happened instead, and CaseError where `args` are
        wrong under the schema: a request that is not sent.
        """
        if wrong := schemas.problem("driver", args, f"args.{op}"):
            raise CaseError(f"{op}: {wrong}")
        await self.start()
        return await self._exchange(op, args, required, deadline)

    async def close(self) -> None:
        """Say bye, and end the process where that is not enough."""
        if self._process is None:
            return
        with contextlib.suppress(DriverError):
            await self._exchange("bye", {}, frozenset(), self._limits.grace)
        await self._end()

    async def _exchange(
        self, op: str, args: Mapping[str, Any], required: frozenset[str], deadline: float | None
    ) -> dict[str, Any]:
        del self._heard[:]
        try:
            reply = await self._ask(op, args, deadline or self._limits.deadline)
        except DriverError as error:
            error.stderr = "\n".join(self._heard)
            raise
        if "err" in reply:
            refused = from_reply(reply["err"], op, required)
            refused.stderr = "\n".join(self._heard)
            raise refused
        result: dict[str, Any] = reply["ok"]
        return result

    async def _ask(self, op: str, args: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        self._count += 1
        number = self._count
        await self._send({"id": number, "op": op, "args": args}, op)
        try:
            async with asyncio.timeout(deadline):
                reply = await self._reply(op, number)
        except TimeoutError:
            killed = await self._settle(number)
            message = f"no reply to {op} within {deadline:g} s; {killed}"
            raise DriverTimeout(message, killed=killed) from None
        except ProtocolError:
            await self._end()
            raise
        return reply

    async def _send(self, message: Mapping[str, Any], op: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        line = json.dumps(message, separators=(",", ":"))
        self._transcript.add(self.port.name, "in", line)
        try:
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            raise await self._crashed(op) from None

    async def _reply(self, op: str, number: int) -> dict[str, Any]:
        line = await self._line(op)
        value = self._parsed(line)
        if value.get("id") != number:
            raise ProtocolError(
                f"the reply to request {number} ({op}) has id {value.get('id')!r}",
                reason="wrong-id",
            )
        wrong = schemas.problem("driver", value, "reply")
        if wrong is None and "ok" in value:
            wrong = schemas.problem("driver", value["ok"], f"ok.{op}")
        if wrong is not None:
            raise ProtocolError(f"the reply to {op} is wrong: {wrong}", reason="schema")
        return value

    async def _line(self, op: str) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise ProtocolError(
                f"a line of the reply to {op} is longer than {self._limits.line} bytes",
                reason="too-large",
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            rest = getattr(error, "partial", b"")
            if rest:
                self._transcript.add(self.port.name, "out", _text(rest))
            raise await self._crashed(op) from None
        self._transcript.add(self.port.name, "out", _text(line.removesuffix(b"\n")))
        return line

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict):
            return value
        shown = _text(line.strip())[:120]
        if line.lstrip().startswith(b"{"):
            raise ProtocolError(f"a JSON object cut by a line end: {shown}", reason="broken-line")
        raise ProtocolError(f"noise on stdout: {shown}", reason="noise")

    async def _crashed(self, op: str) -> DriverCrashed:
        assert self._process is not None
        process = self._process
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.grace):
                await process.wait()
        await self._end()
        code = process.returncode
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        return DriverCrashed(f"the driver ended during {op} ({how})", exit_code=code)

    async def _settle(self, number: int) -> str:
        """Cancel request `number`; end the process unless it answers. Says what was needed."""
        with contextlib.suppress(TimeoutError, DriverError):
            async with asyncio.timeout(self._limits.grace):
                self._count += 1
                cancel = self._count
                await self._send({"id": cancel, "op": "cancel", "args": {}}, "cancel")
                open_ids = {number, cancel}
                while open_ids:
                    open_ids.discard(self._parsed(await self._line("cancel")).get("id"))
                return "cancelled"
        return await self._end()

    async def _end(self) -> str:
        """End the process: wait where it is ending, then SIGTERM, then SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return "ended"
        how = "ended"
        if process.stdin is not None:
            process.stdin.close()
        for way, wait in (("ended", 0.2), ("terminated", self._limits.patience), ("killed", None)):
            how = way
            if way != "ended" and process.returncode is None:
                number = signal.SIGTERM if way == "terminated" else signal.SIGKILL
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            try:
                async with asyncio.timeout(wait):
                    await process.wait()
                break
            except TimeoutError:
                continue
        if self._stderr is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._stderr
            self._stderr.cancel()
        self._transcript.add(self.port.name, "note", f"process {how} ({process.returncode})")
        return how

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = b""
        while chunk := await process.stderr.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._hear(line)
        if rest:
            self._hear(rest)

    def _hear(self, line: bytes) -> None:
        text = _text(line)
        self._heard.append(text)
        self._transcript.add(self.port.name, "err", text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="backslashreplace")
