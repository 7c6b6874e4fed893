"""Reading JSON of which nothing is known yet."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
"""A JSON object."""


def as_list(value: Any) -> list[Any]:
    """The value where it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def as_object(value: Any) -> Json:
    """The value where it is an object, else an empty object."""
    return value if isinstance(value, dict) else {}


def is_text(value: Any) -> bool:
    """Whether the value is a string with something in it."""
    return isinstance(value, str) and bool(value)
