"""The model behind the cases: a local HTTP server that plays cassettes.

Each run of a case has its own base URL, `http://127.0.0.1:PORT/<session>/v1`. A request without
a recorded answer gets a status that no OpenAI client retries, and is a failure of the case.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx

from .cassette import Cassette, Interaction, Player, Request
from .upstream import Recorder

Split = int | tuple[int | None, ...] | None

_MISS = 400


@dataclass
class Session:
    """One run of a case at the server. `sender` is the role whose port is acting.

    `split` is for every stream, or one after the other.
    """

    base_url: str
    player: Player
    split: Split
    sender: str = ""
    recorder: Recorder | None = None
    streams: int = 0

    def next_split(self) -> int | None:
        """The bytes of a piece of the next stream; None for pieces as recorded."""
        number, self.streams = self.streams, self.streams + 1
        if isinstance(self.split, tuple):
            return self.split[number] if number < len(self.split) else None
        return self.split


@dataclass
class CassetteServer:
    """Serves on `port` of this machine, or a free one, between `async with` and its end.

    `heard` is told of every request: the session's name, and the request with its turn.
    """

    port: int = 0
    heard: Callable[[str, Request], None] | None = None
    sessions: dict[str, Session] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> CassetteServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def open(
        self,
        name: str,
        cassette: Cassette | None,
        *,
        split: Split = None,
        recorder: Recorder | None = None,
    ) -> Session:
        """A session under `name`, which is used once. With a recorder nothing is played."""
        assert self._server is not None
        if name in self.sessions:
            raise ValueError(f"session {name} is open")
        port = self._server.sockets[0].getsockname()[1]
        session = Session(
            f"http://127.0.0.1:{port}/{name}/v1", Player(cassette), split, recorder=recorder
        )
        self.sessions[name] = session
        return session

    def close(self, name: str) -> Player:
        """End a session; the player holds its requests and problems."""
        return self.sessions.pop(name).player

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._exchange(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False at the end of the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {
            key.strip().lower(): value.strip()
            for key, value in (line.split(":", 1) for line in lines)
        }
        raw = await _read_body(reader, headers)
        name, _, rest = target.lstrip("/").partition("/")
        path = "/" + rest.partition("?")[0].removeprefix("v1").lstrip("/")
        session = self.sessions.get(name)
        if session is None:
            await _send_json(writer, 404, {"error": _error(f"no session {name}")}, ())
            return True
        if session.recorder is not None:
            await _pass_on(writer, session.recorder, method, path, raw)
            return True
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw.decode(errors="replace")
        key = headers.get("authorization")
        found = session.player.answer(session.sender, method, path, body, key)
        if self.heard is not None:
            self.heard(name, session.player.requests[-1])
        if isinstance(found, str):
            await _send_json(writer, _MISS, {"error": _error(found)}, ())
        else:
            split = session.next_split() if found.streamed else None
            await _play(writer, found, split)
        return headers.get("connection", "").lower() != "close"


async def _pass_on(
    writer: asyncio.StreamWriter, recorder: Recorder, method: str, path: str, raw: bytes
) -> None:
    """The answer of the live service, piece by piece as it arrives."""
    try:
        async with recorder.ask(method, path, raw) as answer:
            writer.write(_head(answer.status, [*answer.headers, ("transfer-encoding", "chunked")]))
            async for piece in answer.pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
    except httpx.ConnectError as error:
        await _send_json(writer, _MISS, {"error": _error(f"the live service: {error}")}, ())
        return
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


async def _play(writer: asyncio.StreamWriter, found: Interaction, split: int | None) -> None:
    if not found.streamed:
        await _send(writer, found.status, found.headers, found.data)
        return
    head = [*found.headers, ("transfer-encoding", "chunked")]
    writer.write(_head(found.status, head))
    for piece in found.pieces(split):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _send_json(
    writer: asyncio.StreamWriter, status: int, value: Any, headers: tuple[tuple[str, str], ...]
) -> None:
    typed = (*headers, ("content-type", "application/json"))
    await _send(writer, status, typed, json.dumps(value).encode())


async def _send(
    writer: asyncio.StreamWriter, status: int, headers: tuple[tuple[str, str], ...], data: bytes
) -> None:
    writer.write(_head(status, [*headers, ("content-length", str(len(data)))]) + data)
    await writer.drain()


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {'OK' if status < 400 else 'Error'}"]
    lines += [f"{key}: {value}" for key, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _error(message: str) -> dict[str, Any]:
    """An error body as the OpenAI API writes it."""
    return {"message": message, "type": "cassette", "param": None, "code": "cassette-miss"}
