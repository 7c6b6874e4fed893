"""The portable run state as a document: its parts, its schema, its digest.

The contract is ``schemas/run-state.schema.json``; ``docs/run-state.md`` says what a schema cannot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from timestep.errors import DocumentError
from timestep.state.canonical import canonical, utf16
from timestep.state.shape import Json

if TYPE_CHECKING:
    import jsonschema_rs

FORMAT: Final = "timestep.run_state"
VERSION: Final = "1"
OUTSIDE_CORE: Final = frozenset({"writer", "residue"})


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted run state.

    ``document`` is the portable document or the native snapshot. ``lossy`` lists JSON Pointers
    to what was not carried over: into the native snapshot after ``to_portable``, into the
    document after ``to_native``. ``checked`` says that the official SDK loaded the snapshot and
    restored what was written.
    """

    document: Json
    lossy: tuple[str, ...] = ()
    checked: bool = False


def core(document: Mapping[str, Any]) -> Json:
    """The facts of a document: everything but who wrote it and what one language keeps."""
    return {key: value for key, value in document.items() if key not in OUTSIDE_CORE}


def digest(document: Mapping[str, Any]) -> str:
    """Lower-case hex SHA-256 of the canonical core, equal in every port for the same facts."""
    return hashlib.sha256(canonical(core(document)).encode()).hexdigest()


def sorted_set(entries: Iterable[Json]) -> list[Json]:
    """The entries without doubles, by their canonical JSON in UTF-16 order."""
    unique = {canonical(entry): entry for entry in entries}
    return [unique[key] for key in sorted(unique, key=utf16)]


def validate(document: Any) -> None:
    """Check a document against the schema of its version.

    Raises ``DocumentError``: ``not-a-run-state`` where it is no portable run state at all,
    ``newer-version`` where a later release wrote it, else ``malformed`` with a pointer.
    """
    if not isinstance(document, dict):
        raise DocumentError("a run state is a JSON object", code="malformed", pointer="")
    if document.get("format") != FORMAT:
        raise DocumentError(_what_it_is(document), code="not-a-run-state", pointer="/format")
    version = document.get("version")
    if _is_newer(version):
        raise DocumentError(
            f"version {version} of the format is newer than {VERSION}",
            code="newer-version",
            pointer="/version",
        )
    if not _is_finite(document):
        raise DocumentError("NaN and Infinity are no JSON", code="malformed", pointer="")
    try:
        error = next(iter(_validator().iter_errors(document)), None)
    except ValueError as problem:
        error = _unreadable(document, problem)
    if error is not None:
        raise DocumentError(
            _shorten(error.message), code="malformed", pointer=pointer(error.instance_path)
        )
    _check_range(document, "")


def _check_range(run: Json, at: str) -> None:
    """What JSON Schema cannot say: the response's range lies inside the history."""
    response = run["response"]
    if response is None:
        return
    if response.get("start", 0) + response.get("count", 0) > len(run["items"]):
        raise DocumentError(
            "the response ends beyond the last item", code="malformed", pointer=f"{at}/response"
        )
    for identifier, nested in response.get("nested_runs", {}).items():
        _check_range(nested, at + pointer(("response", "nested_runs", identifier)))


def pointer(path: Iterable[str | int]) -> str:
    """JSON Pointer (RFC 6901) of a path of keys and indexes."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def schema_path(name: str) -> Path:
    """Where a published schema is: in the installed package, or in a checkout beside it."""
    package = Path(__file__).parents[1]
    inside = package / "schemas" / name
    return inside if inside.exists() else package.parent / "schemas" / name


@cache
def _validator() -> jsonschema_rs.Validator:
    import jsonschema_rs

    schema = json.loads(schema_path("run-state.schema.json").read_text("utf-8"))
    return jsonschema_rs.Draft202012Validator(schema)


def _unreadable(document: Json, problem: ValueError) -> jsonschema_rs.ValidationError | None:
    """Validate a document that the validator could not read as it is.

    It reads neither lone surrogates, which are part of JSON, nor what is no JSON, which is an
    error of its own.
    """
    text = canonical(document)
    readable = json.loads(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    try:
        return next(iter(_validator().iter_errors(_without_surrogates(readable))), None)
    except ValueError:
        raise DocumentError(str(problem), code="malformed", pointer="") from problem


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def _is_newer(version: Any) -> bool:
    whole = isinstance(version, str) and version.isascii() and version.isdigit()
    return whole and int(version) > int(VERSION)


def _what_it_is(document: Mapping[str, Any]) -> str:
    schema = document.get("$schemaVersion")
    if "current_turn" in document:
        return f"this is a raw openai-agents snapshot (schema {schema})"
    if "currentTurn" in document:
        return f"this is a raw @openai/agents snapshot (schema {schema})"
    return f"format is not {FORMAT!r}"


def _shorten(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:200]} ... {message[-80:]}"


def _is_finite(value: Json) -> bool:
    """Whether a value holds no NaN or Infinity, which the validator lets pass."""
    stack: list[Any] = [value]
    while stack:
        container = stack.pop()
        for item in container.values() if type(container) is dict else container:
            kind = type(item)
            if kind is float:
                if item - item != 0:
                    return False
            elif kind is dict or kind is list:
                stack.append(item)
    return True
