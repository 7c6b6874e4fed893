"""The fixtures: every file is accounted for, and the installed SDKs still write such snapshots."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.fixtures import generate
from conformance.harness.document import digest

FOLDER = generate.FOLDER
SOURCES: dict[str, Any] = json.loads(generate.SOURCES.read_text())
RECIPES = generate.read_recipes()


def snapshots() -> Iterator[str]:
    for folder in ("portable", "python", "typescript"):
        for path in sorted((FOLDER / folder).rglob("*.json")):
            yield path.relative_to(FOLDER).as_posix()


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def test_every_file_has_its_source_and_no_source_is_left_over() -> None:
    assert sorted(SOURCES) == list(snapshots())


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_fixture_is_what_was_taken(name: str) -> None:
    assert generate.sha256(FOLDER / name) == SOURCES[name]["sha256"]


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith("portable/")])
def test_a_snapshot_says_which_release_wrote_it(name: str) -> None:
    language, release, _ = name.split("/")
    package = {"python": "openai-agents", "typescript": "@openai/agents"}[language]
    assert SOURCES[name]["sdk"] == f"{package} {release}"
    assert SOURCES[name]["schema"] == read(name)["$schemaVersion"]
    assert SOURCES[name]["recipe"] == Path(name).stem


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_the_installed_sdk_writes_snapshots_of_the_same_shape(language: str) -> None:
    async def fresh() -> dict[str, Any]:
        async with generate.kitchen() as kitchen:
            release = await kitchen.release(language)
            return {
                f"{language}/{release}/{recipe.name}.json": await kitchen.take(recipe, language)
                for recipe in RECIPES.snapshots.values()
                if recipe.fits(language)
            }

    for name, snapshot in asyncio.run(fresh()).items():
        assert generate.shape(snapshot) == generate.shape(read(name)), name


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_the_portable_documents_are_what_the_port_makes_of_the_snapshots(language: str) -> None:
    names = [name for name in SOURCES if name.startswith(f"portable/{language}-")]
    assert len(names) == len(RECIPES.portable)

    async def fresh() -> dict[str, Any]:
        async with generate.kitchen() as kitchen:
            return {
                name: await kitchen.convert(read(SOURCES[name]["from"]), language) for name in names
            }

    for name, document in asyncio.run(fresh()).items():
        assert digest(document) == digest(read(name)), name
        assert document["residue"] == read(name)["residue"], name


def test_shapes_differ_where_a_key_or_a_type_does() -> None:
    assert generate.shape({"a": 1, "b": "x"}) == generate.shape({"a": 2, "b": "y"})
    assert generate.shape({"a": 1}) != generate.shape({"a": "1"})
    assert generate.shape({"a": []}) != generate.shape({"a": [None]})
    assert generate.shape('{"a": 1}') != generate.shape('{"b": 1}')
