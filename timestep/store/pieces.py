"""Documents as the pieces a store keeps: whole ones, and deltas (`docs/storage.md`)."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from timestep.errors import DocumentError, StoreError
from timestep.state.patch import Memory
from timestep.store.base import Piece, StoredRun
from timestep.store.delta import apply, delta, dictionary
from timestep.store.seal import Keyring, is_sealed, open_sealed
from timestep.store.text import dumps

LEAST: Final = 262_144
"""Bytes of deltas that are always worth keeping before the next whole document."""
MOST: Final = 2**29
"""Bytes of JSON a piece may hold: more was never written, and would not fit into memory."""


@dataclass(frozen=True, slots=True)
class Known:
    """The newest revision a store has read or written. It shares nothing with anybody."""

    revision: int
    document: dict[str, Any] = field(repr=False)
    whole: int
    """Length of the JSON of the newest whole document up to here, in bytes."""
    since: int
    """What the deltas since then take where they are stored, in bytes."""
    memory: Memory = field(default_factory=dict, repr=False, compare=False)
    """Spares the next delta a look at most of the document."""


async def encode(
    run_id: str, document: dict[str, Any], known: Known | None, keys: Keyring | None
) -> tuple[Piece, Known]:
    """The piece that stores a document as the revision after the known one, and what is known then.

    A delta where that is what to write, else the whole document, in clear as ``text``. Raises
    ``StoreError`` (``wrong-key``, ``missing-dependency``) and ``ValueError`` for NaN.
    """
    revision = 1 if known is None else known.revision + 1
    if known is not None and known.since <= max(LEAST, known.whole):
        memory: dict[tuple[str, int], bytes] = {}
        text = dumps(delta(known.document, document, known.memory, memory))
        if len(text) < known.whole:
            data = await _seal(_compress(text), run_id, revision, keys)
            piece = Piece(revision, revision - 1, checksum(revision, revision - 1, data), data)
            newest = apply(known.document, json.loads(text))
            return piece, Known(revision, newest, known.whole, known.since + len(data), memory)
    text = dumps(document)
    if keys is None:
        piece = Piece(revision, None, checksum(revision, None, text), b"", text.decode())
    else:
        data = await _seal(zlib.compress(text), run_id, revision, keys)
        piece = Piece(revision, None, checksum(revision, None, data), data)
    return piece, Known(revision, json.loads(text), len(text), 0)


async def decode(run_id: str, stored: StoredRun, keys: Keyring | None) -> Known:
    """The document that pieces hold.

    Raises ``StoreError``: ``damaged-history`` with the first damaged revision and the newest
    before it that these pieces still give, if any (revisions before the first piece were not
    looked at); ``wrong-key``, ``missing-dependency``.
    """
    known: Known | None = None
    for piece in stored.pieces:
        expected = piece.base if known is None else known.revision + 1
        if expected is not None and piece.revision != expected:
            raise _damaged(run_id, expected, known, "is missing")
        if piece.base not in (None, piece.revision - 1):
            raise _damaged(run_id, piece.revision, known, "does not start from the one before")
        try:
            known = _next(piece, await _open(run_id, piece, keys), known)
        except (DocumentError, ValueError, RecursionError, zlib.error) as error:
            raise _damaged(run_id, piece.revision, known, f"is damaged ({error})") from error
    if known is None or known.revision < stored.revision:
        missing = stored.revision if known is None else known.revision + 1
        raise _damaged(run_id, missing, known, "is missing")
    return known


def checksum(revision: int, base: int | None, stored: bytes) -> bytes:
    """What tells a piece from a damaged one: of its stored bytes, or of its JSON text in UTF-8
    where it is a whole document in clear."""
    return hashlib.sha256(b"%d:%d:%s" % (revision, base or 0, stored)).digest()[:8]


def _next(piece: Piece, text: bytes, known: Known | None) -> Known:
    """What is known after a piece. The document of ``known`` is used up."""
    value = _JSON.decode(text.decode())
    if piece.base is None or known is None:
        if not isinstance(value, dict):
            raise ValueError("no document")
        return Known(piece.revision, value, len(text), 0)
    document = apply(known.document, value, owned=True)
    return Known(piece.revision, document, known.whole, known.since + len(piece.data))


async def _open(run_id: str, piece: Piece, keys: Keyring | None) -> bytes:
    """The JSON of a piece. Raises ``ValueError`` and ``zlib.error`` where it is damaged."""
    in_clear = piece.base is None and not is_sealed(piece.data)
    if in_clear:
        text = _decompress(piece.data) if piece.text is None else piece.text.encode()
    if checksum(piece.revision, piece.base, text if in_clear else piece.data) != piece.checksum:
        raise ValueError("its checksum is wrong")
    if in_clear:
        return text
    data = piece.data
    if is_sealed(data):
        data = await open_sealed(data, _place(run_id, piece.revision), keys)
    return _decompress(data)


async def _seal(data: bytes, run_id: str, revision: int, keys: Keyring | None) -> bytes:
    return data if keys is None else await keys.seal(data, _place(run_id, revision))


def _place(run_id: str, revision: int) -> str:
    return f"timestep:piece:{run_id}:{revision}"


def _compress(text: bytes) -> bytes:
    """The JSON of a delta, which repeats mostly what the dictionary says."""
    stream = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zdict=dictionary())
    return stream.compress(text) + stream.flush()


def _decompress(data: bytes) -> bytes:
    stream = zlib.decompressobj(zdict=dictionary())  # used where the data says so
    text = stream.decompress(data, MOST)
    if not stream.eof or stream.unused_data:
        raise ValueError("it is cut off, goes on after its end, or is too large")
    return text


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_JSON: Final = json.JSONDecoder(parse_constant=_refuse)


def _damaged(run_id: str, revision: int, known: Known | None, what: str) -> StoreError:
    return StoreError(
        f"revision {revision} of {run_id} {what}",
        code="damaged-history",
        revision=revision,
        loadable=None if known is None else known.revision,
    )
