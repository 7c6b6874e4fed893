import copy
import random
from typing import Any

import pytest

from timestep.errors import DocumentError
from timestep.state import patch as patches

MOVED = ((0, 0), (1, "first"))


def random_json(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 5:
        return rng.choice([None, True, False, 0, 1, 1.5, "", "a", "a/b~c", "\u00e9"])
    if kind == 5:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(5))]
    keys = ["a", "b", "a/b", "~", "", "0", "type"]
    return {rng.choice(keys): random_json(rng, depth + 1) for _ in range(rng.randrange(5))}


def changed(rng: random.Random, value: Any) -> Any:
    value = copy.deepcopy(value)
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        value[key] = changed(rng, value[key])
    elif isinstance(value, list) and value:
        index = rng.randrange(len(value))
        action = rng.randrange(3)
        if action == 0:
            value[index] = changed(rng, value[index])
        elif action == 1:
            del value[index]
        else:
            value.insert(index, random_json(rng))
    else:
        return random_json(rng)
    return value


@pytest.mark.parametrize("seed", range(300))
def test_a_patch_leads_from_one_value_to_the_other(seed: int) -> None:
    rng = random.Random(seed)
    old = random_json(rng)
    new = random_json(rng) if seed % 3 == 0 else changed(rng, old)
    before = copy.deepcopy(old)
    patched = patches.apply(old, patches.diff(old, new))
    assert patched == new
    assert patches.same(old, before)


def test_parts_that_are_shared_are_copied_before_they_are_changed() -> None:
    shared = {"type": "x", "n": 1}
    old = {"a": [shared], "b": [shared]}
    patch = [{"op": "replace", "path": "/a/0/n", "value": 2}]
    assert patches.apply(old, patch) == {"a": [{"type": "x", "n": 2}], "b": [shared]}
    assert shared["n"] == 1


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ({"op": "remove", "path": "/0"}, [{"n": "last"}]),
        ({"op": "add", "path": "/0", "value": {"n": 9}}, [{"n": "last"}, {"n": 0}, {"n": "first"}]),
        ({"op": "replace", "path": "/0", "value": {"n": 9}}, [{"n": "last"}, {"n": "first"}]),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else None,
)
def test_operations_find_what_earlier_ones_moved(move: dict[str, Any], expected: Any) -> None:
    """The later operation is about the entry that stands first by then."""
    touch = [{"op": "replace", "path": f"/{index}/n", "value": value} for index, value in MOVED]
    last = {"op": "replace", "path": "/0/n", "value": "last"}
    assert patches.apply([{"n": 1}, {"n": 2}], [*touch, move, last]) == expected


def test_entries_that_are_versions_of_each_other_are_patched() -> None:
    old = [{"raw_item": {"id": index}} for index in range(3)]
    new = [{**entry, "tool_name": "x"} for entry in old[1:]]
    assert patches.diff(old, new) == [
        {"op": "remove", "path": "/0"},
        {"op": "add", "path": "/0/tool_name", "value": "x"},
        {"op": "add", "path": "/1/tool_name", "value": "x"},
    ]


def test_only_add_remove_and_replace() -> None:
    patch = patches.diff({"a": 1, "b": [1, 2]}, {"b": [1, 3, 4], "c": 5})
    assert {operation["op"] for operation in patch} <= {"add", "remove", "replace"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "/text/deeper", "value": 1},
        {"op": "replace", "path": "/list/-1", "value": 1},
        {"op": "test", "path": "/list/0", "value": 0},
        {"op": "move", "path": "/list/0", "from": "/missing"},
        {"op": "move", "path": "/list/0", "from": "/list"},
        {"op": "copy", "path": "/list/0", "from": "/missing"},
        {"op": "copy", "path": "/list/0", "from": ""},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "text", "value": 1},
    ],
)
def test_a_patch_that_does_not_fit_is_malformed(operation: dict[str, Any]) -> None:
    with pytest.raises(DocumentError) as caught:
        patches.apply({"list": [0], "text": "a"}, [operation])
    assert caught.value.code == "malformed"
    assert caught.value.pointer == operation["path"]


def test_a_replaced_root() -> None:
    assert patches.apply({"a": 1}, [{"op": "replace", "path": "", "value": [1]}]) == [1]


def test_true_is_not_one() -> None:
    assert not patches.same({"a": [True]}, {"a": [1]})
    assert patches.same({"a": [1.0]}, {"a": [1]})
    assert patches.diff({"a": True}, {"a": 1}) == [{"op": "replace", "path": "/a", "value": 1}]


def test_entries_inserted_in_several_places_move_nothing_else() -> None:
    old = [{"type": "x", "call_id": str(index)} for index in range(50)]
    new = [{**entry, "seen": True} for entry in old]
    for place in (40, 17, 16, 3):
        new.insert(place, {"type": "y", "call_id": str(place)})
    del new[30]
    patch = patches.diff(old, new)
    assert [operation["path"] for operation in patch if operation["op"] == "remove"] == ["/27"]
    assert sum("seen" not in operation["path"] for operation in patch) == 5
    assert len(patch) == 5 + 49
    assert patches.apply(old, patch) == new


def test_entries_of_any_shape_are_told_apart() -> None:
    odd = {"type": ["x"], "call_id": "1", "op": {}, "path": "/a"}
    old = [{**odd, "path": 1}, odd, {"type": {}, "id": "2"}, None, [odd], "text"]
    new = [None, {"new": 1}, *reversed(old)]
    assert patches.apply(old, patches.diff(old, new)) == new
    assert patches.apply(old, patches.diff(old, new, ordered=True)) == new


def test_keys_keep_their_order_where_it_is_asked_for() -> None:
    old = {"items": [{"a": 1, "b": {"c": 1}, "d": 1}], "last": 1}
    new = {"last": 1, "items": [{"e": 1, "b": {"c": 2}, "d": 1, "a": 1}]}
    patch = patches.diff(old, new, ordered=True)
    assert patch == [
        {"op": "add", "path": "/items/0/e", "value": 1},
        {"op": "move", "from": "/items/0/b", "path": "/items/0/b"},
        {"op": "replace", "path": "/items/0/b/c", "value": 2},
        {"op": "move", "from": "/items/0/d", "path": "/items/0/d"},
        {"op": "move", "from": "/items/0/a", "path": "/items/0/a"},
    ]
    assert list(patches.apply(old, patch)["items"][0]) == ["e", "b", "d", "a"]
    assert list(patches.apply(old, patches.diff(old, new))["items"][0]) == ["a", "b", "d", "e"]
    added = {"items": [{"a": 1, "b": {"c": 1}, "d": 1, "e": 1}], "last": 1}
    assert patches.diff(old, added, ordered=True) == [
        {"op": "add", "path": "/items/0/e", "value": 1}
    ]


def test_a_copy_is_a_value_of_its_own() -> None:
    old = {"a": {"b": [1]}}
    patch: list[patches.Operation] = [
        {"op": "copy", "from": "/a", "path": "/c"},
        {"op": "add", "path": "/a/b/-", "value": 2},
        {"op": "copy", "from": "/c/b/0", "path": "/c/b/0"},
    ]
    assert patches.apply(old, patch) == {"a": {"b": [1, 2]}, "c": {"b": [1, 1]}}
    assert old == {"a": {"b": [1]}}


def test_a_move_takes_a_value_from_where_it_is() -> None:
    old = {"a": {"b": [1, {"c": 2}]}, "d": []}
    patch: list[patches.Operation] = [
        {"op": "add", "path": "/a/b/1/x", "value": 3},
        {"op": "move", "from": "/a/b/1", "path": "/d/0"},
        {"op": "add", "path": "/d/0/y", "value": 4},
        {"op": "add", "path": "/a/b/1", "value": 5},
        {"op": "move", "from": "/a/b/0", "path": "/a/b/1"},
    ]
    assert patches.apply(old, patch) == {"a": {"b": [5, 1]}, "d": [{"c": 2, "x": 3, "y": 4}]}
    assert old == {"a": {"b": [1, {"c": 2}]}, "d": []}


def test_a_value_that_is_ours_is_changed_in_place() -> None:
    old = {"a": [1]}
    assert patches.apply(old, [{"op": "add", "path": "/a/1", "value": 2}], owned=True) is old
    assert old == {"a": [1, 2]}
