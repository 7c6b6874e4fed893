"""The difference between two revisions of a document, as a JSON Patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from timestep.errors import DocumentError
from timestep.state import patch
from timestep.state.document import schema_path
from timestep.state.patch import Operation, step

LONG: Final = 4096
"""Strings of at least so many characters are copied where the document has them already: they may
lie further apart than the 32 KiB in which compression finds what is repeated."""

_Text = tuple[str, str]
"""A long string: its place in the document, as a JSON Pointer, and the string."""


def delta(
    old: dict[str, Any],
    new: dict[str, Any],
    before: patch.Memory = MappingProxyType({}),
    after: dict[tuple[str, int], bytes] | None = None,
) -> list[Operation]:
    """The patch that turns one document into another; values are shared with ``new``.

    The keys of every object but the document itself keep their order: an SDK compares items by
    their JSON text. Long strings that are there already are copied, at the end of the patch.
    ``before`` and ``after`` are what there is to remember of the two documents.
    """
    operations = patch.diff(old, new, ordered=True, before=before, after=after)
    added = [
        (operation, list(_long(operation.get("value"), operation["path"])))
        for operation in operations
    ]
    if not any(texts for _, texts in added):
        return operations
    own = {path for _, texts in added for path, _ in texts}
    places: dict[str, str] = {}
    for path, text in _long(new, ""):
        if path not in own:
            places.setdefault(text, path)
    copies: list[Operation] = []
    for operation, texts in added:
        for path, text in texts:
            source = places.setdefault(text, path)
            if source != path:
                blank = path[len(operation["path"]) :]
                operation["value"] = _without(operation["value"], blank)
                copies.append({"op": "copy", "from": source, "path": path})
    return operations + copies


def apply(
    document: dict[str, Any], operations: list[Operation], *, owned: bool = False
) -> dict[str, Any]:
    """The document a delta leads to. With ``owned`` it is the same one, changed.

    Raises ``DocumentError`` (``malformed``) where the delta is none, or does not fit.
    """
    if not isinstance(operations, list):
        raise DocumentError("a delta is a list of operations", code="malformed")
    result = patch.apply(document, operations, owned=owned)
    if not isinstance(result, dict):
        raise DocumentError("the delta leaves no document", code="malformed")
    return result


@cache
def dictionary() -> bytes:
    """What deltas have in common: their compression knows it before it begins."""
    return schema_path("delta-dictionary.txt").read_bytes()


def _long(value: Any, path: str) -> Iterator[_Text]:
    """The long strings in a value that are members of objects: these can be set anew."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                if len(item) >= LONG:
                    yield path + step(key), item
            elif isinstance(item, dict | list):
                yield from _long(item, path + step(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _long(item, f"{path}/{index}")


def _without(value: Any, path: str) -> Any:
    """The value with nothing in the place of a string; its key stays, and so does their order."""
    return patch.apply(value, [{"op": "replace", "path": path, "value": ""}])
