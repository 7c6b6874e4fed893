"""A portable document as the text of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

from timestep.errors import DocumentError


def encode(document: Mapping[str, Any], *, indent: int | None = None) -> bytes:
    """The document as JSON in UTF-8: one line, or indented for people.

    A store writes one line: Python's JSON encoder is several times slower when it indents, and
    `timestep inspect` is the way to read a run state.
    """
    return dumps(document, indent=indent) + b"\n"


def dumps(value: Any, *, indent: int | None = None) -> bytes:
    """A value as JSON in UTF-8. Raises `ValueError` for NaN and Infinity."""
    separators = (",", ":") if indent is None else (",", ": ")
    dump = partial(json.dumps, value, allow_nan=False, indent=indent, separators=separators)
    try:
        return dump(ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return dump(ensure_ascii=True).encode()


def decode(data: bytes, source: str) -> dict[str, Any]:
    """The JSON object in `data`; `source` names it in errors.

    Raises `DocumentError` (`malformed`) with the line and column of the damage, both from 1.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _malformed(source, data, error.start, "not UTF-8") from None
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"{source} is not JSON: {error.msg} at line {error.lineno} column {error.colno}",
            code="malformed",
            hint=_DAMAGED,
        ) from None
    except (RecursionError, ValueError) as error:
        raise DocumentError(
            f"{source} is not readable as JSON: {error}", code="malformed", hint=_DAMAGED
        ) from None
    if not isinstance(value, dict):
        raise DocumentError(
            f"{source} holds no JSON object at line 1 column 1", code="malformed", hint=_DAMAGED
        )
    return value


def raw_snapshot(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """The SDK package and schema version of a raw SDK snapshot; None for anything else.

    The dialects are told apart by keys: the SDKs' schema versions overlap without being related.
    """
    if "format" in document:
        return None
    schema = str(document.get("$schemaVersion", "unknown"))
    if "current_turn" in document:
        return "openai-agents", schema
    if "currentTurn" in document:
        return "@openai/agents", schema
    return None


def refuse_raw_snapshot(document: Mapping[str, Any], source: str) -> None:
    """Raises `DocumentError` (`not-a-run-state`) if `document` is a raw SDK snapshot."""
    if (raw := raw_snapshot(document)) is None:
        return
    sdk, schema = raw
    port = {"openai-agents": "timestep", "@openai/agents": "@timestep-ai/timestep"}[sdk]
    raise DocumentError(
        f"{source} is a raw {sdk} snapshot (schema {schema}), no portable run state",
        code="not-a-run-state",
        hint=f"save it with {port} or convert it with `timestep convert`",
    )


_DAMAGED = "restore the file from a copy; saves replace it whole, so something else changed it"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _malformed(source: str, data: bytes, offset: int, what: str) -> DocumentError:
    line = data.count(b"\n", 0, offset) + 1
    column = offset - data.rfind(b"\n", 0, offset)
    return DocumentError(
        f"{source} is {what} at line {line} column {column}", code="malformed", hint=_DAMAGED
    )
