"""A document as the content of a file: its JSON text, or sealed."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from timestep.errors import DocumentError
from timestep.store.seal import Keyring, open_sealed
from timestep.store.text import decode, encode

FORMAT: Final = "timestep.sealed"
VERSION: Final = "1"

_PLACE: Final = "timestep:file"


async def to_content(document: Mapping[str, Any], keys: Keyring | None) -> bytes:
    """The content of a file that keeps a document. Raises `StoreError` as `Keyring.seal` does."""
    text = encode(document)
    if keys is None:
        return text
    sealed = b64encode(await keys.seal(text, _PLACE)).decode()
    return encode({"format": FORMAT, "version": VERSION, "data": sealed})


async def from_content(content: bytes, source: str, keys: Keyring | None) -> dict[str, Any]:
    """The document in a file; `source` names the file in errors.

    Raises `DocumentError` (`malformed` with line and column, `newer-version`) and `StoreError`
    (`wrong-key`, `missing-dependency`).
    """
    value = decode(content, source)
    if value.get("format") != FORMAT:
        return value
    if value.get("version") != VERSION:
        raise DocumentError(
            f"{source} is sealed in version {value.get('version')} of the form, not {VERSION}",
            code="newer-version",
        )
    try:
        sealed = b64decode(value["data"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise DocumentError(f"{source} holds no sealed data", code="malformed") from None
    return decode(await open_sealed(sealed, _PLACE, keys), source)
