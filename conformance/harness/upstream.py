"""A live model service behind the cassette server: requests go on to it, answers are kept.

Kept are the bodies, the lengths of the pieces that a stream arrived in, and the headers named
here. Keys are added on the way out, so that neither a client nor a file holds them.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

Json = dict[str, Any]

_HEADERS = frozenset({"content-type", "retry-after", "x-request-id"})
_PATIENCE = 600.0  # seconds; a model may think that long before its first byte


@dataclass(frozen=True)
class Service:
    """A live service: `url` is where its paths begin, `key` goes out as a bearer token."""

    name: str
    url: str
    key: str | None = field(default=None, repr=False)

    def headers(self) -> dict[str, str]:
        """What is sent with every request. Bodies must not be compressed: they are counted."""
        sent = {"content-type": "application/json", "accept-encoding": "identity"}
        return sent | ({"authorization": f"Bearer {self.key}"} if self.key else {})

    async def missing(self) -> str | None:
        """Why nothing can be recorded from it; None where something can."""
        if self.name == "openai":
            return None if self.key else "no OPENAI_API_KEY"
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                await client.get(f"{self.url}/api/version", headers=self.headers())
        except httpx.HTTPError:
            return f"no Ollama at {self.url}"
        return None


def services(env: Mapping[str, str] = os.environ) -> dict[str, Service]:
    """OpenAI and Ollama as the variables of their clients name them."""
    openai = env.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    ollama = env.get("OLLAMA_HOST") or "127.0.0.1:11434"
    if "://" not in ollama:
        ollama = f"http://{ollama}"
    # A key for ollama.com goes nowhere else.
    key = env.get("OLLAMA_API_KEY") if urlsplit(ollama).hostname == "ollama.com" else None
    return {
        "openai": Service("openai", openai.rstrip("/"), env.get("OPENAI_API_KEY") or None),
        "ollama": Service("ollama", ollama.rstrip("/"), key or None),
    }


@dataclass(frozen=True)
class Answer:
    """An answer that is arriving."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: AsyncIterator[bytes]


@dataclass
class Recorder:
    """Hands requests on to the service that has their path, and keeps what was answered."""

    services: Mapping[str, Service]
    entries: list[Json] = field(default_factory=list)

    @property
    def source(self) -> str:
        """Where the traffic came from, as a cassette says it."""
        ollama = any("/api/" in each["request"]["uri"] for each in self.entries)
        return "ollama" if ollama else "openai"

    @asynccontextmanager
    async def ask(self, method: str, path: str, raw: bytes) -> AsyncIterator[Answer]:
        """The answer of the service; it is kept once it has been read to its end.

        Raises httpx.HTTPError where the service cannot be reached.
        """
        service = self.services["ollama" if path.startswith("/api/") else "openai"]
        uri = f"{service.url}{path}"
        async with (
            httpx.AsyncClient(timeout=_PATIENCE) as client,
            client.stream(method, uri, content=raw, headers=service.headers()) as response,
        ):
            headers = tuple(
                (name, value)
                for name, value in response.headers.multi_items()
                if name.lower() in _HEADERS
            )
            data: list[bytes] = []
            yield Answer(response.status_code, headers, _kept(response, data))
            self.entries.append(_entry(method, uri, raw, response, headers, data))

    def cassette(self, at: str, by: str) -> Json:
        """The cassette of everything so far."""
        recorded = {"from": self.source, "at": at, "by": by}
        return {"version": 1, "recorded": recorded, "interactions": self.entries}


async def _kept(response: httpx.Response, data: list[bytes]) -> AsyncIterator[bytes]:
    async for piece in response.aiter_raw():
        if piece:
            data.append(piece)
            yield piece


def _entry(
    method: str,
    uri: str,
    raw: bytes,
    response: httpx.Response,
    headers: tuple[tuple[str, str], ...],
    data: list[bytes],
) -> Json:
    body: Json = {"string": b"".join(data).decode()}
    asked = json.loads(raw) if raw else None
    if isinstance(asked, dict) and _streams(asked, uri) and response.status_code < 400:
        body["chunks"] = [len(piece) for piece in data]
    listed: dict[str, list[str]] = {}
    for name, value in headers:
        listed.setdefault(name.lower(), []).append(value)
    return {
        "request": {
            "method": method,
            "uri": uri,
            "headers": {"content-type": ["application/json"]} if raw else {},
            "body": raw.decode() if raw else None,
        },
        "response": {
            "status": {"code": response.status_code, "message": response.reason_phrase},
            "headers": listed,
            "body": body,
        },
    }


def _streams(asked: Json, uri: str) -> bool:
    """Whether a stream was asked for; Ollama streams where nothing is said."""
    default = "/api/" in uri
    return asked.get("stream", default) is True
