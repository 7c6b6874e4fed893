"""A document as text."""

from __future__ import annotations

import pytest

from timestep import DocumentError
from timestep.store.text import decode, encode


@pytest.mark.parametrize(
    "data", [b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json_value_is_malformed(data: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        decode(data, "x")
    assert caught.value.code == "malformed"


def test_a_lone_surrogate_survives() -> None:
    document = {"a": "\ud83d", "b": "🌦"}
    assert decode(encode(document), "x") == document
