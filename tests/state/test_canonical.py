import json
import math
from pathlib import Path
from typing import Any

import pytest

from timestep.errors import DocumentError
from timestep.state import canonical

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "canonical.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["value"][:40])
def test_vectors(vector: dict[str, Any]) -> None:
    assert canonical(json.loads(vector["value"])) == vector["canonical"]


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["value"][:40])
def test_canonical_is_a_fixed_point(vector: dict[str, Any]) -> None:
    assert canonical(json.loads(vector["canonical"])) == vector["canonical"]


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}, {1: 2}, {"a": {1, 2}}])
def test_what_is_no_json_is_malformed(value: Any) -> None:
    with pytest.raises(DocumentError) as caught:
        canonical(value)
    assert caught.value.code == "malformed"


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert canonical("\ud83d\ude00") == '"\N{GRINNING FACE}"'


def test_the_value_is_left_alone() -> None:
    value = {"a": [1.0, {"b": 2.0}]}
    canonical(value)
    assert [type(value["a"][0]), value] == [float, {"a": [1.0, {"b": 2.0}]}]
