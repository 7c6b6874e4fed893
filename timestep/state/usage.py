"""Token usage, between the SDK's shape and the portable one.

openai-agents writes the details of a total as a list of one object with null for what it does not
know; a document holds one object of numbers.
"""

from __future__ import annotations

from typing import Any, Final

from timestep.state.shape import Json

_COUNTS: Final = ("input_tokens", "output_tokens", "total_tokens")
_DETAILS: Final = ("input_tokens_details", "output_tokens_details")
_INPUT_DEFAULTS: Final = {"cached_tokens": 0, "cache_write_tokens": 0}
_OUTPUT_DEFAULTS: Final = {"reasoning_tokens": 0}


def to_portable(usage: Any) -> Json:
    """The usage as a document holds it; what is missing counts as zero."""
    usage = usage if isinstance(usage, dict) else {}
    entries = usage.get("request_usage_entries")
    return {
        "requests": _number(usage.get("requests")),
        **_portable_counts(usage),
        "entries": [
            _portable_counts(entry)
            for entry in (entries if isinstance(entries, list) else ())
            if isinstance(entry, dict)
        ],
    }


def to_python(usage: Json) -> Json:
    """The usage as openai-agents 0.24 writes it."""
    return {
        "requests": usage["requests"],
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": [_input_details(usage)],
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": [{**_OUTPUT_DEFAULTS, **usage["output_tokens_details"]}],
        "total_tokens": usage["total_tokens"],
        "request_usage_entries": [
            {
                **{key: entry[key] for key in _COUNTS},
                "input_tokens_details": _input_details(entry),
                "output_tokens_details": {**_OUTPUT_DEFAULTS, **entry["output_tokens_details"]},
            }
            for entry in usage["entries"]
        ],
    }


def _portable_counts(usage: Json) -> Json:
    return {
        **{key: _number(usage.get(key)) for key in _COUNTS},
        **{key: _sum(usage.get(key)) for key in _DETAILS},
    }


def _sum(details: Any) -> Json:
    total: Json = {}
    for entry in details if isinstance(details, list) else [details]:
        if isinstance(entry, dict):
            for key, value in entry.items():
                if _is_number(value):
                    total[key] = total[key] + value if key in total else value
    return total


def _input_details(usage: Json) -> Json:
    return {
        **_INPUT_DEFAULTS,
        **usage["input_tokens_details"],
        "cache_write_tokens_details": None,
    }


def _number(value: Any) -> Any:
    return value if _is_number(value) else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
