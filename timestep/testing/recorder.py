"""vcrpy with the settings that make a cassette playable in both languages.

vcrpy 9 gives a client the whole body at once and keeps no lengths, so four functions of its stub
for httpx and httpx2 (the clients of ollama and openai) are replaced while a cassette is in use.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from timestep.testing import matching

_NOTE = "x-cassette-interaction"
"""A header that carries `contains` and the form of the answer to the matcher; never written."""

_CHUNKS = "timestep_chunks"


def recorder(*, record: str = "none", split: int | None = None, **options: Any) -> Any:
    """A `vcr.VCR`: `recorder().use_cassette(path)`, with all that vcrpy can do besides.

    `record` is vcrpy's record mode: `none` plays only, and a request that was not recorded is an
    error; `once` records a file that does not exist. `split` is a number of bytes to cut the
    bodies of streams into, in place of the recorded pieces. Other options are vcrpy's own.

    Recorded are the headers of `REQUEST_HEADERS` and `RESPONSE_HEADERS` alone, addresses without
    query and credentials, and the lengths of the pieces that a stream arrived in. Raises
    ImportError where vcrpy is not installed.

    vcrpy plays every interaction once. Where a cassette holds each answer whole and as a stream, a
    test asks for one of the two forms throughout.
    """
    import vcr  # type: ignore[import-untyped]
    from vcr.stubs import httpx_stubs  # type: ignore[import-untyped]

    replaced: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        "_deserialize_response": lambda made: _player(made, split),
        "_serialize_response": _noted,
        "_vcr_handle_request": _counted,
        "_vcr_handle_async_request": _counted,
    }
    patches = tuple(
        (httpx_stubs, name, wrap(getattr(httpx_stubs, name))) for name, wrap in replaced.items()
    )
    made = vcr.VCR(
        record_mode=record,
        serializer="timestep",
        match_on=("place", "body of the place"),
        before_record_request=_scrubbed_request,
        before_record_response=_scrubbed_response,
        decode_compressed_response=True,
        custom_patches=patches,
        **options,
    )
    made.register_serializer("timestep", _Serializer)
    made.register_matcher("place", _match_place)
    made.register_matcher("body of the place", _match)
    return made


class _Serializer:
    """vcrpy's YAML, with what a cassette of ours says besides handed to the matcher."""

    @staticmethod
    def deserialize(text: str) -> Any:
        from vcr.serializers import yamlserializer  # type: ignore[import-untyped]

        data = yamlserializer.deserialize(text)
        for each in data["interactions"]:
            response = each["response"]
            types = matching.kept_headers(response["headers"], frozenset({"content-type"}))
            chunks = response["body"].get("chunks") or ()
            streamed = matching.is_streamed("".join(types.get("content-type", ())), chunks)
            note = {
                "contains": each.get("contains", []),
                "streamed": None if response["status"]["code"] >= 400 else streamed,
            }
            each["request"]["headers"] = {**each["request"]["headers"], _NOTE: [json.dumps(note)]}
        return data

    @staticmethod
    def serialize(data: Any) -> str:
        from vcr.serializers import yamlserializer

        for each in data["interactions"]:
            each["request"]["headers"].pop(_NOTE, None)
            _settle_chunks(each)
        paths = {urlsplit(each["request"]["uri"]).path for each in data["interactions"]}
        source = "ollama" if any("/api/" in path for path in paths) else "openai"
        recorded = {"from": source, "at": date.today().isoformat(), "by": "timestep.testing"}
        text = yamlserializer.serialize({"recorded": recorded, **data})
        assert isinstance(text, str)
        return text


def _settle_chunks(interaction: dict[str, Any]) -> None:
    """Keep the lengths of pieces of a stream only, and only where they are those of the body."""
    body = interaction["response"]["body"]
    if "chunks" not in body:
        return
    asked = matching.parsed(interaction["request"]["body"])
    streamed = isinstance(asked, dict) and asked.get("stream") is True
    if not streamed or sum(body["chunks"]) != len(str(body["string"]).encode()):
        del body["chunks"]


def _match_place(asked: Any, recorded: Any) -> None:
    """Method and path alone: of what fits here, vcrpy says why the body does not."""
    found = matching.difference(
        matching.Asked(asked.method, asked.uri), matching.Asked(recorded.method, recorded.uri)
    )
    if found is not None:
        raise AssertionError(found)


def _match(asked: Any, recorded: Any) -> None:
    note = json.loads(recorded.headers.get(_NOTE) or "{}")
    found = matching.difference(
        matching.Asked(asked.method, asked.uri, _text(asked.body)),
        matching.Asked(
            recorded.method,
            recorded.uri,
            _text(recorded.body),
            tuple(note.get("contains", ())),
            note.get("streamed"),
        ),
    )
    if found is not None:
        raise AssertionError(found)


def _text(body: Any) -> str | None:
    return body.decode(errors="replace") if isinstance(body, bytes) else body


def _scrubbed_request(request: Any) -> Any:
    allowed = {*matching.REQUEST_HEADERS, _NOTE}
    for name in list(request.headers):
        if name.lower() not in allowed:
            del request.headers[name]
    parts = urlsplit(request.uri)
    request.uri = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return request


def _scrubbed_response(response: dict[str, Any]) -> dict[str, Any]:
    kept = matching.kept_headers(response["headers"], matching.RESPONSE_HEADERS)
    return {**response, "headers": kept}


def _counted(handle: Callable[..., Any]) -> Callable[..., Any]:
    """A stub's handler that notes the lengths of the pieces of a real response."""

    def counting(cassette: Any, real: Callable[..., Any], self: Any, *rest: Any) -> Any:
        def noted(response: Any) -> Any:
            response.stream = _Counting(response.stream)
            response.extensions[_CHUNKS] = response.stream.lengths
            return response

        def real_sync(*args: Any) -> Any:
            return noted(real(*args))

        async def real_async(*args: Any) -> Any:
            return noted(await real(*args))

        asynchronous = "async" in handle.__name__
        return handle(cassette, real_async if asynchronous else real_sync, self, *rest)

    return counting


class _Counting:
    """The stream of a response, sync or async, that keeps the lengths of its pieces."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.lengths: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self.lengths.append(len(piece))
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self.lengths.append(len(piece))
            yield piece


def _noted(serialise: Callable[..., Any]) -> Callable[..., Any]:
    """The stub's record of a response, with the lengths of its pieces."""

    def noting(response: Any, content: bytes) -> Any:
        record = serialise(response, content)
        lengths = [length for length in response.extensions.get(_CHUNKS, ()) if length]
        return {**record, "body": {**record["body"], "chunks": lengths}}

    return noting


def _player(deserialise: Callable[..., Any], split: int | None) -> Callable[..., Any]:
    """The stub's response, whose body arrives in pieces where it was a stream."""

    def playing(record: Any, module: Any) -> Any:
        response = deserialise(record, module)
        chunks = record["body"].get("chunks") or ()
        if matching.is_streamed(response.headers.get("content-type", ""), chunks):

            class Pieces(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
                def __iter__(self) -> Iterator[bytes]:
                    yield from matching.pieces(record["body"]["string"], chunks, split)

                async def __aiter__(self) -> AsyncIterator[bytes]:
                    for piece in self:
                        yield piece

            response.stream = Pieces()
        return response

    return playing
