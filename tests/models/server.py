"""A small HTTP server that answers as Ollama does, byte for byte as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

DONE = {"done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 3}


@dataclass(frozen=True)
class Reply:
    """An answer: its pieces go out one by one. With `hang` the last is followed by silence."""

    pieces: Sequence[bytes]
    status: int = 200
    content_type: str = "application/x-ndjson"
    hang: bool = False


@dataclass(frozen=True)
class Sent:
    """A request the server saw."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class OllamaServer:
    """The server: `replies` are used up in order, `sent` are the requests."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there was a request."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has closed the connection of an answer that hangs."""
    connections: int = 0

    @property
    def bodies(self) -> list[Any]:
        """The bodies of the requests."""
        return [each.body for each in self.sent]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (each.partition(":") for each in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.sent.append(Sent(first.split()[1], headers, json.loads(body) if body else None))
        self.asked.set()
        reply = self.replies.pop(0)
        writer.write(
            f"HTTP/1.1 {reply.status} X\r\nContent-Type: {reply.content_type}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for piece in reply.pieces:
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)
        if reply.hang:
            await reader.read(1)
            self.closed.set()
            return
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def ollama_server(*replies: Reply, port: int = 0) -> AsyncIterator[OllamaServer]:
    """A running server. Replies that were not asked for fail at the end."""
    server = OllamaServer("", list(replies))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port)
    async with listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server
    assert server.replies == []


def chunk(content: str = "", **message: Any) -> dict[str, Any]:
    """A chunk that is not the last."""
    return {"message": {"role": "assistant", "content": content, **message}, "done": False}


def called(name: str, arguments: Any, **call: Any) -> dict[str, Any]:
    """A tool call as the server writes it."""
    return {"function": {"name": name, "arguments": arguments}, **call}


def streamed(*chunks: dict[str, Any], split: int | None = None) -> Reply:
    """The chunks as lines, in one piece each or re-split every `split` bytes."""
    lines = [json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in chunks]
    if split is None:
        return Reply(lines)
    data = b"".join(lines)
    return Reply([data[at : at + split] for at in range(0, len(data), split)])


def whole(
    content: str = "", *, done: dict[str, Any] = DONE, logprobs: Any = None, **message: Any
) -> Reply:
    """The answer as one object."""
    answer = {"message": {"role": "assistant", "content": content, **message}, **done}
    if logprobs is not None:
        answer["logprobs"] = logprobs
    return Reply([json.dumps(answer).encode()], content_type="application/json; charset=utf-8")


def failed(status: int, error: Any) -> Reply:
    """An error as the server reports it."""
    body = {"error": error} if isinstance(error, str) else error
    return Reply([json.dumps(body).encode()], status, "application/json")
