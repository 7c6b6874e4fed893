"""Canonical JSON (RFC 8785), with the two cases it leaves open fixed.

An integer beyond 2^53 keeps all its digits, and a lone surrogate is written as a lower-case
``\\udxxx`` escape, as ECMAScript's ``JSON.stringify`` does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from timestep.errors import DocumentError

_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SAFE = 2**53
_LAST_BEFORE_SURROGATES = "\ud7ff"

_encode_string = json.JSONEncoder(ensure_ascii=False).encode
_encode_plain = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
).encode


def canonical(value: Any) -> str:
    """RFC 8785 text of a JSON value.

    Raises ``DocumentError`` (``malformed``) for NaN, Infinity and anything that is not JSON.
    """
    try:
        text = _encode_plain(_plain(value))
    except _NotPlain:
        text = _write(value)
    if _SURROGATE.search(text):
        text = _SURROGATE.sub(_escape, _PAIR.sub(_join, text))
    return text


class _NotPlain(Exception):
    """The standard encoder would write this value differently."""


def _plain(value: Any) -> Any:
    """The value as the standard encoder must see it, unchanged parts shared.

    The standard encoder differs from RFC 8785 in floats and in the order of keys beyond the
    Basic Multilingual Plane.
    """
    if isinstance(value, dict):
        changed: dict[str, Any] | None = None
        for key, item in value.items():
            if not isinstance(key, str):
                raise _not_json(key)
            if not key.isascii() and max(key) > _LAST_BEFORE_SURROGATES:
                raise _NotPlain
            if isinstance(item, str) or item is None:
                continue
            plain = _plain(item)
            if plain is not item:
                if changed is None:
                    changed = dict(value)
                changed[key] = plain
        return value if changed is None else changed
    if isinstance(value, list):
        items: list[Any] | None = None
        for index, item in enumerate(value):
            if isinstance(item, str):
                continue
            plain = _plain(item)
            if plain is not item:
                if items is None:
                    items = list(value)
                items[index] = plain
        return value if items is None else items
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _not_json(value)
        if value.is_integer() and abs(value) < _SAFE:
            return int(value)
        if "e" in repr(value) or value.is_integer():
            raise _NotPlain
        return value
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping | tuple):
        raise _NotPlain
    raise _not_json(value)


def _write(value: Any) -> str:
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _encode_string(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise _not_json(key)
        keys = sorted(value, key=utf16)
        return "{" + ",".join(f"{_encode_string(key)}:{_write(value[key])}" for key in keys) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_write, value)) + "]"
    raise _not_json(value)


def utf16(text: str) -> bytes:
    """Sort key that orders text by UTF-16 code units, as RFC 8785 orders keys."""
    return text.encode("utf-16-be", "surrogatepass")


def number(value: float) -> str:
    """Text of a float as ECMAScript writes it: shortest digits, exponent from 1e21 and 1e-7."""
    if not math.isfinite(value):
        raise _not_json(value)
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.DIGITS times ten to the power of `point`.
    point = len(whole) + int(exponent or 0)
    if whole.strip("0") == "":
        point -= len(whole) + len(fraction) - len(digits)
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    shown = f"{digits[0]}.{digits[1:]}" if count > 1 else digits
    return f"{sign}{shown}e{'+' if power > 0 else '-'}{abs(power)}"


def _join(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _escape(unit: re.Match[str]) -> str:
    return f"\\u{ord(unit[0]):04x}"


def _not_json(value: Any) -> DocumentError:
    if isinstance(value, float):
        return DocumentError(f"{value} is not a JSON number", code="malformed")
    return DocumentError(f"a {type(value).__name__} is not JSON", code="malformed")
