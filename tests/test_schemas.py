"""The published schemas: they are schemas, say what everything is, and have working examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

SCHEMAS = Path(__file__).parent.parent / "schemas"
NAMES = sorted(path.name for path in SCHEMAS.glob("*.schema.json"))
EXAMPLES = sorted(
    path.relative_to(SCHEMAS / "examples").as_posix() for path in SCHEMAS.glob("examples/*/*.json")
)


def load(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_bytes())


def validator(name: str) -> Any:
    """A validator that finds the other schemas by their $id."""
    others = [(schema["$id"], schema) for schema in map(load, NAMES)]
    registry = jsonschema_rs.Registry(others)
    return jsonschema_rs.Draft202012Validator(load(name), registry=registry, validate_formats=True)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_schema_with_an_id(name: str) -> None:
    schema = load(name)
    jsonschema_rs.meta.validate(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"https://timestep.dev/schemas/{name}"
    assert schema["title"]
    validator(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_property_has_a_description(name: str) -> None:
    assert list(undescribed(load(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_there_is_an_example_that_passes_and_one_that_fails(name: str) -> None:
    folder = name.removesuffix(".schema.json")
    kinds = {example.split("/")[1].split("-")[0] for example in EXAMPLES if folder in example}
    assert kinds == {"valid", "invalid"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_is_what_its_name_says(example: str) -> None:
    folder, file = example.split("/")
    instance = load(f"examples/{example}")
    passed = validator(f"{folder}.schema.json").is_valid(instance)
    assert passed is file.startswith("valid-")


def undescribed(schema: dict[str, Any]) -> Iterator[str]:
    """Pointers of properties without a description of their own or of what they refer to."""

    def described(node: Any, seen: tuple[str, ...] = ()) -> bool:
        if not isinstance(node, dict) or node.get("description"):
            return True
        reference = node.get("$ref", "")
        if not reference.startswith("#/") or reference in seen:
            return bool(reference) and not reference.startswith("#")
        target = schema
        for step in reference[2:].split("/"):
            target = target[step]
        return described(target, (*seen, reference))

    def walk(node: Any, pointer: str) -> Iterator[str]:
        if isinstance(node, list):
            for index, each in enumerate(node):
                yield from walk(each, f"{pointer}/{index}")
        if not isinstance(node, dict):
            return
        for key, value in node.items():
            # Conditions only repeat properties that are described where they are defined.
            if key in ("if", "then", "else", "not", "const", "enum", "default", "examples"):
                continue
            if key == "properties":
                for name, each in value.items():
                    constant = isinstance(each, dict) and set(each) <= {"const", "type"}
                    discriminator = constant and "const" in each
                    if not discriminator and not described(each):
                        yield f"{pointer}/properties/{name}"
                    yield from walk(each, f"{pointer}/properties/{name}")
            else:
                yield from walk(value, f"{pointer}/{key}")

    return walk(schema, "")
