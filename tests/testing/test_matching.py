"""When a request is the recorded one: tests/vectors/matching.json, which TypeScript reads too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from timestep.testing import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Asked,
    difference,
    kept_headers,
    pieces,
)
from timestep.testing.matching import is_streamed

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "matching.json").read_bytes())


def request(row: dict[str, Any]) -> Asked:
    return Asked(**{**row, "contains": tuple(row.get("contains", ()))})


@pytest.mark.parametrize("row", VECTORS["requests"], ids=lambda row: row["why"])
def test_requests(row: dict[str, Any]) -> None:
    found = difference(request(row["asked"]), request(row["recorded"]))
    assert (found is None) == row["same"], found


@pytest.mark.parametrize("row", VECTORS["headers"], ids=lambda row: row["side"])
def test_headers(row: dict[str, Any]) -> None:
    allowed = REQUEST_HEADERS if row["side"] == "request" else RESPONSE_HEADERS
    assert kept_headers(row["given"], allowed) == row["kept"]


@pytest.mark.parametrize("row", VECTORS["pieces"], ids=lambda row: repr(row["data"]))
def test_pieces(row: dict[str, Any]) -> None:
    cut = pieces(row["data"].encode(), row.get("chunks", ()), row.get("split"))
    assert [piece.decode() for piece in cut] == row["pieces"]


@pytest.mark.parametrize("row", VECTORS["forms"], ids=str)
def test_forms(row: dict[str, Any]) -> None:
    assert is_streamed(row["content_type"], row.get("chunks", ())) == row["streamed"]
