"""The driver's life: lines in, one operation at a time, lines out.

`cancel` and `ping` are answered while another operation runs; everything else waits for its turn.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, BinaryIO

from .protocol import (
    MAX_LINE,
    Failure,
    Request,
    as_failure,
    error_line,
    is_expected,
    ok_line,
    parse_request,
)

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class Loop:
    """Serves a table of operations over two byte streams."""

    def __init__(self, operations: Mapping[str, Handler], source: BinaryIO, sink: BinaryIO) -> None:
        self._operations = operations
        self._source = source
        self._sink = sink
        self._running: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Answers requests until `bye` or the end of input; earlier ones are still answered."""
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        waiting: asyncio.Queue[Request] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop, lines), daemon=True).start()
        worker = asyncio.create_task(self._work(waiting))
        try:
            while line := await lines.get():
                if not await self._take(line, waiting):
                    break
            await waiting.join()
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    def _read(self, loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes]) -> None:
        while True:
            line = self._source.readline(MAX_LINE + 1)
            while line and not line.endswith(b"\n") and len(line) > MAX_LINE:
                # The rest of a line that is too long is read and dropped.
                rest = self._source.readline(MAX_LINE)
                if not rest or rest.endswith(b"\n"):
                    break
            loop.call_soon_threadsafe(lines.put_nowait, line)
            if not line:
                return

    async def _take(self, line: bytes, waiting: asyncio.Queue[Request]) -> bool:
        try:
            request = parse_request(line)
        except Failure as failure:
            self._write(error_line(None, failure))
            return True
        if request.op == "bye":
            await waiting.join()
            self._write(ok_line(request.id, {}))
            return False
        if request.op == "ping":
            self._write(ok_line(request.id, {}))
        elif request.op == "cancel":
            if self._running is not None:
                self._running.cancel()
            self._write(ok_line(request.id, {}))
        else:
            waiting.put_nowait(request)
        return True

    async def _work(self, waiting: asyncio.Queue[Request]) -> None:
        while True:
            request = await waiting.get()
            self._running = asyncio.create_task(self._answer(request))
            try:
                await self._running
            finally:
                self._running = None
                waiting.task_done()

    async def _answer(self, request: Request) -> None:
        try:
            handler = self._operations.get(request.op)
            if handler is None:
                raise Failure("protocol", "unknown-op", f"there is no operation {request.op!r}")
            line = ok_line(request.id, await handler(request.args))
        except asyncio.CancelledError:
            line = error_line(
                request.id, Failure("driver", "cancelled", "the request was cancelled")
            )
        except Exception as error:
            if not is_expected(error):
                traceback.print_exc(file=sys.stderr)
            line = error_line(request.id, as_failure(error))
        self._write(line)

    def _write(self, line: bytes) -> None:
        self._sink.write(line)
        self._sink.flush()
