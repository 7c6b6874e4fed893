"""Documents as pieces: what is written, what is read back, and what damage is called."""

import asyncio
import hashlib
import json
import zlib
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from timestep.errors import StoreError
from timestep.store.base import Piece, StoredRun
from timestep.store.delta import dictionary
from timestep.store.pieces import LEAST, Known, checksum, decode, encode
from timestep.store.seal import Keyring

RUN = "run/1"
KEYS = Keyring({"main": bytes(range(32))})
VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "pieces.json").read_text())


def write(
    document: dict[str, Any], known: Known | None, keys: Keyring | None
) -> tuple[Piece, Known]:
    return asyncio.run(encode(RUN, document, known, keys))


def read(run: StoredRun, keys: Keyring | None) -> Known:
    return asyncio.run(decode(RUN, run, keys))


def document(turns: int, size: int = 300) -> dict[str, Any]:
    """A document that grows by one item a turn, of text that does not compress to nothing."""
    items = [
        {"type": "t", "item": {"id": str(turn), "text": hashlib.sha512(b"%d" % turn).hexdigest()}}
        for turn in range(turns)
    ]
    return {"format": "timestep.run_state", "items": items, "note": "\ud83d \u00e9 " + "n" * size}


def stored(pieces: list[Piece], revision: int | None = None) -> StoredRun:
    newest = revision or pieces[-1].revision
    return StoredRun(newest, newest, pieces)


def history(turns: int, keys: Keyring | None = None) -> list[Piece]:
    pieces: list[Piece] = []
    known: Known | None = None
    for turn in range(turns):
        piece, known = write(document(turn), known, keys)
        pieces.append(piece)
    return pieces


def test_the_first_piece_is_whole_and_the_others_hold_what_is_new() -> None:
    pieces = history(4)
    assert [(piece.revision, piece.base) for piece in pieces] == [(1, None), (2, 1), (3, 2), (4, 3)]
    assert pieces[0].text is not None
    assert json.loads(pieces[0].text) == document(0)
    assert pieces[0].data == b""
    assert json.loads(zlib.decompressobj(zdict=dictionary()).decompress(pieces[2].data)) == [
        {"op": "add", "path": "/items/1", "value": document(2)["items"][1]}
    ]
    for end in range(1, 5):
        known = read(stored(pieces[:end]), None)
        assert (known.revision, known.document) == (end, document(end - 1))


def test_what_is_known_is_the_same_written_or_read() -> None:
    known: Known | None = None
    pieces: list[Piece] = []
    for turn in range(5):
        piece, known = write(document(turn), known, None)
        pieces.append(piece)
        assert read(stored(pieces), None) == known


def test_what_is_known_is_shared_with_nobody() -> None:
    given = document(3)
    piece, first = write(given, None, None)
    given["items"][0]["item"]["id"] = "changed"
    given["items"].append({"new": ["x"]})
    delta, second = write(given, first, None)
    assert first.document == document(3)
    given["items"][-1]["new"].clear()
    assert second.document["items"][-1] == {"new": ["x"]}
    assert (read(stored([piece, delta]), None)).document == second.document


def test_a_save_that_failed_changes_nothing_of_what_is_known() -> None:
    first, known = write(document(100), None, None)
    second, known = write(document(101), known, None)
    failed = document(101)
    failed["items"][5]["item"]["text"] = "never stored"
    write(failed, known, None)
    for given in (document(102), failed):
        third, _ = write(given, known, None)
        assert read(stored([first, second, third]), None).document == given


@pytest.mark.parametrize("whole", [1000, 2 * LEAST])
def test_a_whole_document_is_written_when_the_deltas_have_grown(whole: int) -> None:
    """They may take as much as the newest whole document, and some in any case."""
    before = Known(7, document(3), whole, max(LEAST, whole))
    piece, known = write(document(4), before, None)
    assert (piece.revision, piece.base) == (8, 7)
    assert (known.whole, known.since) == (whole, before.since + len(piece.data))
    piece, known = write(document(5), known, None)
    assert (piece.revision, piece.base, known.since) == (9, None, 0)
    assert piece.text is not None
    assert known.whole == len(piece.text.encode())


def test_a_delta_that_would_be_longer_than_the_document_is_not_written() -> None:
    _, known = write(document(2), None, None)
    piece, _ = write({**document(0), "note": "m" * 5000}, known, None)
    assert piece.base is None


def test_pieces_are_sealed_for_their_run_and_revision() -> None:
    pieces = history(3, KEYS)
    assert all(piece.text is None and piece.data[0] == 1 for piece in pieces)
    assert (read(stored(pieces), KEYS)).document == document(2)
    for keys in (None, Keyring({"main": bytes(32)})):
        with pytest.raises(StoreError) as caught:
            read(stored(pieces), keys)
        assert caught.value.code == "wrong-key"
    with pytest.raises(StoreError) as caught:
        asyncio.run(decode("run/2", stored(pieces), KEYS))
    assert caught.value.code == "wrong-key"


def test_a_run_may_have_pieces_in_clear_and_sealed_ones() -> None:
    first, known = write(document(1), None, None)
    second, _ = write(document(2), known, KEYS)
    assert (read(stored([first, second]), KEYS)).document == document(2)


def test_a_place_may_give_a_whole_document_in_clear_compressed() -> None:
    first, second = history(2)
    assert first.text is not None
    packed = replace(first, data=zlib.compress(first.text.encode()), text=None)
    assert (read(stored([packed, second]), None)).document == document(1)


def _bad(piece: Piece, data: bytes) -> Piece:
    """Other stored bytes, with a checksum that is right."""
    return replace(piece, data=data, text=None, checksum=checksum(piece.revision, piece.base, data))


def _delta(piece: Piece, value: Any) -> Piece:
    return _bad(piece, zlib.compress(json.dumps(value).encode()))


def _packed(text: bytes, zdict: bytes) -> bytes:
    stream = zlib.compressobj(zdict=zdict)
    return stream.compress(text) + stream.flush()


DAMAGE: dict[str, Any] = {
    "cut off": lambda piece: replace(piece, data=piece.data[:-9]),
    "another checksum": lambda piece: replace(piece, checksum=b"01234567"),
    "of another revision": lambda piece: replace(piece, checksum=checksum(9, 8, piece.data)),
    "of another dictionary": lambda piece: _bad(piece, _packed(b"[]", dictionary()[1:])),
    "not compressed": lambda piece: _bad(piece, b"x" * 20),
    "empty": lambda piece: _bad(piece, b""),
    "compressed, cut off": lambda piece: _bad(piece, piece.data[:-9]),
    "goes on after its end": lambda piece: _bad(piece, piece.data + b"x"),
    "not JSON": lambda piece: _bad(piece, zlib.compress(b"[}")),
    "not UTF-8": lambda piece: _bad(piece, zlib.compress(b'["\xff"]')),
    "too deep": lambda piece: _bad(piece, zlib.compress(b"[" * 100_000)),
    "no patch": lambda piece: _delta(piece, {"op": "add"}),
    "no operation": lambda piece: _delta(piece, [1]),
    "does not fit": lambda piece: _delta(piece, [{"op": "remove", "path": "/x"}]),
    "leaves no document": lambda piece: _delta(piece, [{"op": "add", "path": "", "value": 1}]),
    "NaN": lambda piece: _delta(piece, [{"op": "add", "path": "/x", "value": float("nan")}]),
    "too large": lambda piece: _bad(piece, zlib.compress(b" " * (2**29 + 1), 1)),
    "other base": lambda piece: replace(piece, base=1, checksum=checksum(3, 1, piece.data)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_piece_is_named_with_what_can_still_be_read(kind: str) -> None:
    pieces = history(4)
    pieces[2] = DAMAGE[kind](pieces[2])
    with pytest.raises(StoreError) as caught:
        read(stored(pieces), None)
    error = caught.value
    assert (error.code, error.revision, error.loadable) == ("damaged-history", 3, 2)
    assert (read(stored(pieces[:2]), None)).document == document(1)


@pytest.mark.parametrize("text", ["", "[]", "1", '{"a": NaN}', "{", "{}x", "\ud800"])
def test_a_whole_document_that_is_damaged_leaves_nothing(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    piece = Piece(7, None, checksum(7, None, data), b"", text)
    with pytest.raises(StoreError) as caught:
        read(stored([piece]), None)
    error = caught.value
    assert (error.code, error.revision, error.loadable) == ("damaged-history", 7, None)


@pytest.mark.parametrize(
    ("kept", "revision", "loadable"),
    [([], 4, None), ([1, 2, 3], 1, None), ([0, 2, 3], 2, 1), ([0, 1, 3], 3, 2), ([0, 1, 2], 4, 3)],
    ids=str,
)
def test_a_piece_that_is_missing(kept: list[int], revision: int, loadable: int | None) -> None:
    pieces = history(4)
    with pytest.raises(StoreError) as caught:
        read(StoredRun(4, 4, [pieces[index] for index in kept]), None)
    error = caught.value
    assert (error.code, error.revision, error.loadable) == ("damaged-history", revision, loadable)


def test_the_dictionary_of_deltas_never_changes() -> None:
    digest = hashlib.sha256(dictionary()).hexdigest()
    assert digest == VECTORS["dictionary_sha256"]


def test_pieces_of_both_ports_are_read() -> None:
    for run in VECTORS["runs"]:
        pieces = [
            Piece(
                entry["revision"],
                entry.get("base"),
                bytes.fromhex(entry["checksum"]),
                b64decode(entry.get("data", "")),
                entry.get("text"),
            )
            for entry in run["pieces"]
        ]
        keys = {name: b64decode(key) for name, key in run.get("keys", {}).items()}
        ring = Keyring(keys) if keys else None
        known = asyncio.run(decode(run["run_id"], stored(pieces), ring))
        assert known == Known(**run["known"])
