"""Structured output known by its JSON schema alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agents import AgentOutputSchemaBase


class JsonOutput(AgentOutputSchemaBase):
    """An output type that takes any JSON and hands the schema to the model as it is."""

    def __init__(
        self, schema: Mapping[str, Any], *, strict: bool = True, plain: bool = False
    ) -> None:
        self._schema = dict(schema)
        self._strict = strict
        self._plain = plain

    def is_plain_text(self) -> bool:
        return self._plain

    def name(self) -> str:
        return str(self._schema.get("title") or "Output")

    def json_schema(self) -> dict[str, Any]:
        return self._schema

    def is_strict_json_schema(self) -> bool:
        return self._strict

    def validate_json(self, json_str: str) -> Any:
        return json.loads(json_str)
