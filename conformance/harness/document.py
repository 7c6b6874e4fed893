"""The harness's own view of a portable run state: canonical form, digest, and JSON Patch.

Written apart from the ports on purpose: where their digests differ from this one, the port that
is wrong is known.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import CaseError

_OUTSIDE = frozenset({"writer", "residue"})


def digest(document: Mapping[str, Any]) -> str:
    """sha256, in hex, of the canonical core (docs/run-state.md)."""
    core = {key: value for key, value in document.items() if key not in _OUTSIDE}
    text = _fast(core) or canonical(core)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> str:
    """RFC 8785 text; integers with all their digits, lone surrogates as lower-case escapes."""
    match value:
        case None | bool():
            return json.dumps(value)
        case int():
            return str(value)
        case float():
            return _number(value)
        case str():
            text = json.dumps(value, ensure_ascii=False)
            if text.isascii():
                return text
            return re.sub(r"[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
        case Mapping():
            keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
            members = (f"{canonical(key)}:{canonical(value[key])}" for key in keys)
            return "{" + ",".join(members) + "}"
        case _:
            return "[" + ",".join(canonical(each) for each in value) + "]"


def _fast(value: Any) -> str | None:
    """The same text by the standard encoder, where it writes the same: no floats, no rare text."""
    if not _without_floats(value):
        return None
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text if max(text) < "\ud800" else None


def _without_floats(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(map(_without_floats, value.values()))
    if kind is list:
        return all(map(_without_floats, value))
    return kind is not float


def _number(value: float) -> str:
    """A double as ECMAScript writes it."""
    if not math.isfinite(value):
        raise ValueError("NaN and Infinity are no JSON")
    if value == 0:
        return "0"
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = int(power or 0) + len(whole.lstrip("0"))
    if not whole.strip("0"):
        exponent = int(power or 0) - (len(fraction) - len(fraction.lstrip("0")))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= exponent <= 21:
        text = digits + "0" * (exponent - count)
    elif 0 < exponent <= 21:
        text = f"{digits[:exponent]}.{digits[exponent:]}"
    elif -6 < exponent <= 0:
        text = "0." + "0" * -exponent + digits
    else:
        point = f".{digits[1:]}" if count > 1 else ""
        text = f"{digits[0]}{point}e{'+' if exponent > 0 else '-'}{abs(exponent - 1)}"
    return f"-{text}" if value < 0 else text


def patched(document: Any, patch: Sequence[Mapping[str, Any]]) -> Any:
    """`document` after a JSON Patch (RFC 6902), itself unchanged. Raises CaseError on a misfit."""
    if not patch:
        return document
    result = copy.deepcopy(document)
    for step in patch:
        try:
            result = _applied(result, step)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise CaseError(f"patch {step['op']} {step['path']}: {error!r}") from error
    return result


def _applied(document: Any, step: Mapping[str, Any]) -> Any:
    op, path = step["op"], step["path"]
    if op == "test":
        if canonical(_at(document, path)) != canonical(step["value"]):
            raise ValueError("another value is there")
        return document
    if op in ("copy", "move"):
        value = copy.deepcopy(_at(document, step["from"]))
        if op == "move":
            document = _applied(document, {"op": "remove", "path": step["from"]})
        return _applied(document, {"op": "add", "path": path, "value": value})
    if path == "":
        return step["value"]
    head, _, last = path.rpartition("/")
    parent, key = _at(document, head), _unescaped(last)
    if isinstance(parent, list):
        index = len(parent) if key == "-" else int(key)
        if op == "add":
            parent.insert(index, step["value"])
        elif op == "remove":
            del parent[index]
        else:
            parent[index] = step["value"]
    elif op == "add":
        parent[key] = step["value"]
    elif op == "remove":
        del parent[key]
    else:
        parent[key]
        parent[key] = step["value"]
    return document


def _at(document: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        key = _unescaped(part)
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
