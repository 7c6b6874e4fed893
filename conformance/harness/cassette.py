"""Recorded model traffic: vcrpy's YAML format, read into values, and the order it is played in.

Three keys are added to the format, all of which vcrpy ignores: `response.body.chunks` (byte
lengths of the pieces a stream arrived in), `turn` on an interaction (interactions of one turn are
the same answer in two forms, JSON and stream, and count as one) and `contains` (texts that the
request has to hold, for runs that ask in parallel).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from . import schemas
from .errors import CassetteError

_NOT_PLAYED = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "set-cookie"}
    | {"transfer-encoding", "date"}
)

_SECRETS = (
    ("an API key", re.compile(r"\bsk-[A-Za-z0-9_-]{16,}")),
    ("a bearer token", re.compile(r"[Bb]earer\s+(?!REDACTED\b)[A-Za-z0-9._~+/-]{8,}")),
    ("a token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,})")),
)
_SECRET_HEADERS = frozenset(
    {"authorization", "cookie", "set-cookie", "x-api-key", "api-key"}
    | {"openai-organization", "openai-project"}
)


@dataclass(frozen=True)
class Provenance:
    """Where a cassette came from: `openai`, `ollama` or `scripted`, when, and by what."""

    source: str
    at: str
    by: str


@dataclass(frozen=True)
class Interaction:
    """One request and its recorded answer. `body` None matches any request body."""

    turn: int
    method: str
    path: str
    body: Any
    contains: tuple[str, ...]
    status: int
    headers: tuple[tuple[str, str], ...]
    data: bytes
    chunks: tuple[int, ...]

    @property
    def streamed(self) -> bool:
        """Whether the answer is an event stream or JSON lines.

        An answer with chunks is, whatever type it says it has: ollama.com streams JSON lines as
        application/json.
        """
        kind = dict(self.headers).get("content-type", "")
        return bool(self.chunks) or kind.startswith(("text/event-stream", "application/x-ndjson"))

    def pieces(self, split: int | None = None) -> Iterator[bytes]:
        """The answer as it is to arrive: in recorded chunks, or in pieces of `split` bytes."""
        if split is not None:
            sizes: tuple[int, ...] = (split,) * -(-len(self.data) // split)
        elif self.chunks:
            sizes = self.chunks
        else:
            sizes = tuple(len(event) for event in _events(self.data))
        start = 0
        for size in sizes:
            yield self.data[start : start + size]
            start += size


@dataclass(frozen=True)
class Cassette:
    """A named file of interactions."""

    name: str
    recorded: Provenance
    interactions: tuple[Interaction, ...]

    @property
    def turns(self) -> tuple[int, ...]:
        """The turns, in order."""
        return tuple(dict.fromkeys(each.turn for each in self.interactions))


@dataclass(frozen=True)
class Request:
    """A request the server saw: who sent it, what, and the turn that answered it.

    `miss` says why no answer was found, `authorization` is the header of that name.
    """

    sender: str
    method: str
    path: str
    body: Any
    turn: int | None = None
    miss: str | None = None
    authorization: str | None = None


@dataclass
class Player:
    """Plays a cassette once, in order, and keeps every request."""

    cassette: Cassette | None
    requests: list[Request] = field(default_factory=list)
    played: set[int] = field(default_factory=set)

    def answer(
        self, sender: str, method: str, path: str, body: Any, authorization: str | None = None
    ) -> Interaction | str:
        """The recorded answer, or why there is none; the request is kept either way."""
        found = self._find(method, path, body)
        request = Request(sender, method, path, body, authorization=authorization)
        if isinstance(found, Interaction):
            self.requests.append(replace(request, turn=found.turn))
            self.played.add(found.turn)
        else:
            self.requests.append(replace(request, miss=found))
        return found

    def problems(self) -> list[str]:
        """Requests without an answer, and turns nobody asked for."""
        found = [f"unmatched request: {each.miss}" for each in self.requests if each.miss]
        if self.cassette is not None and not found:
            found += [
                f"unused interaction: turn {turn} of cassette {self.cassette.name}"
                for turn in self.cassette.turns
                if turn not in self.played
            ]
        return found

    def _find(self, method: str, path: str, body: Any) -> Interaction | str:
        what = f"{method} {path}"
        if self.cassette is None:
            return f"{what}: the case has no cassette"
        left = [each for each in self.cassette.interactions if each.turn not in self.played]
        if not left:
            total = len(self.cassette.turns)
            return f"{what}: all {total} turns of cassette {self.cassette.name} are played"
        same = [each for each in left if (each.method, each.path) == (method, path)]
        if not same:
            return f"{what}: next is {left[0].method} {left[0].path}"
        text = canonical(body)
        fitting = [each for each in same if _fits(each, body, text)]
        if not fitting:
            return f"{what}: {_nearest(same, text)}"
        stream = isinstance(body, Mapping) and body.get("stream") is True
        turn = fitting[0].turn
        for each in fitting:
            if each.turn == turn and (each.streamed == stream or each.status >= 400):
                return each
        form = "a stream" if stream else "JSON"
        return f"{what}: turn {turn} was not recorded as {form}"


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no spaces, for comparing bodies."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def parse(name: str, data: Any) -> Cassette:
    """A cassette from the parsed YAML of its file. Raises CassetteError."""
    if wrong := schemas.problem("cassette", data):
        raise CassetteError(f"{name}: {wrong}")
    recorded = data["recorded"]
    provenance = Provenance(recorded["from"], recorded["at"], recorded["by"])
    interactions = tuple(
        _interaction(name, number, each) for number, each in enumerate(data["interactions"], 1)
    )
    return Cassette(name, provenance, interactions)


def lint(name: str, text: str, data: Any) -> list[str]:
    """Secrets and things a second language trips over, by where they are."""
    found = [f"{name}: holds {what}" for what, pattern in _SECRETS if pattern.search(text)]
    if "!!binary" in text:
        found.append(f"{name}: holds a !!binary value")
    for number, each in enumerate(data.get("interactions", ()), 1):
        for side in ("request", "response"):
            for key, values in (each[side].get("headers") or {}).items():
                listed = values if isinstance(values, list) else [values]
                if key.lower() in _SECRET_HEADERS and any(v != "REDACTED" for v in listed):
                    found.append(f"{name}: interaction {number} has a {side} header {key}")
                if key.lower() == "content-encoding" and listed != ["identity"]:
                    found.append(f"{name}: interaction {number} has a compressed {side}")
    return found


def _interaction(name: str, number: int, each: Mapping[str, Any]) -> Interaction:
    request, response = each["request"], each["response"]
    data = response["body"]["string"].encode()
    chunks = tuple(response["body"].get("chunks") or ())
    if chunks and sum(chunks) != len(data):
        raise CassetteError(
            f"{name}: interaction {number}: chunks add up to {sum(chunks)} of {len(data)} bytes"
        )
    try:
        body = json.loads(request["body"]) if request["body"] else None
    except ValueError as error:
        raise CassetteError(f"{name}: interaction {number}: the request is no JSON") from error
    return Interaction(
        turn=each.get("turn", number),
        method=request["method"],
        path=path_of(request["uri"]),
        body=body,
        contains=tuple(each.get("contains", ())),
        status=response["status"]["code"],
        headers=tuple(
            (key.lower(), value)
            for key, values in response["headers"].items()
            for value in values
            if key.lower() not in _NOT_PLAYED
        ),
        data=data,
        chunks=chunks,
    )


def path_of(uri: str) -> str:
    """The path from the API on, so that a recording of any host fits.

    It is what follows /v1, or starts at Ollama's /api/.
    """
    path = urlsplit(uri).path or "/"
    if below := re.search(r"/v1(?=/|$)", path):
        return path[below.end() :] or "/"
    start = path.find("/api/")
    return path if start == -1 else path[start:]


def _fits(each: Interaction, body: Any, text: str) -> bool:
    if each.body is not None and canonical(each.body) != text:
        return False
    return all(part in text for part in each.contains)


def _nearest(same: list[Interaction], text: str) -> str:
    """The recorded body most like `text`, as a short difference."""
    wanting = [each for each in same if each.contains and each.body is None]
    if wanting:
        wanted = " or ".join(repr(list(each.contains)) for each in wanting)
        return f"the request does not contain {wanted}"
    best = max(
        same, key=lambda each: difflib.SequenceMatcher(None, canonical(each.body), text).ratio()
    )
    diff = difflib.unified_diff(
        json.dumps(best.body, indent=1, sort_keys=True).splitlines(),
        json.dumps(json.loads(text), indent=1, sort_keys=True).splitlines(),
        f"turn {best.turn}",
        "request",
        lineterm="",
        n=1,
    )
    return "nearest body differs:\n" + "\n".join(list(diff)[:40])


def _events(data: bytes) -> list[bytes]:
    """The bytes after each event of a stream, or each line where there are no events."""
    end = b"\n\n" if b"\n\n" in data else b"\n"
    pieces = [piece + end for piece in data.split(end)]
    pieces[-1] = pieces[-1].removesuffix(end)
    return [piece for piece in pieces if piece]
