"""The schemas of the repository, as validators that say in one line what is wrong."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

ROOT = Path(__file__).resolve().parents[2]


@cache
def _schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    return loaded


@cache
def _validator(name: str, part: str | None) -> Any:
    schema = _schema(name)
    if part is not None:
        schema = {
            "$schema": schema["$schema"],
            "$ref": f"#/$defs/{part}",
            "$defs": schema["$defs"],
        }
    return jsonschema_rs.validator_for(schema)


def problem(name: str, value: Any, part: str | None = None) -> str | None:
    """What is wrong with `value` under schemas/<name>.schema.json, or its definition `part`.

    None where nothing is. The first problem only: later ones often follow from it.
    """
    try:
        error = next(_validator(name, part).iter_errors(value), None)
    except ValueError as unreadable:
        return str(unreadable)
    if error is None:
        return None
    where = "/".join(str(step) for step in error.instance_path)
    message = str(error.message)
    if len(message) > 300:
        message = message[:300] + "..."
    return f"/{where}: {message}"
