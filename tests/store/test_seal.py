"""Sealing: the same bytes in every port, keys that rotate, and nothing said about a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from timestep.errors import StoreError
from timestep.store.seal import Keyring, is_sealed, keyring, open_sealed

pytestmark = pytest.mark.anyio

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "seal.json").read_text())
KEYS = {name: b64decode(key) for name, key in VECTORS["keys"].items()}
CASES = [*VECTORS["by_python"], *VECTORS["by_typescript"]]
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLACE = "timestep:item:chat"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_what_either_port_sealed_opens(case: dict[str, Any]) -> None:
    sealed = b64decode(case["sealed"])
    assert is_sealed(sealed)
    assert await Keyring(KEYS).open(sealed, case["place"]) == b64decode(case["data"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_both_ports_seal_to_the_same_bytes(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(case["nonce"])[:size])
    sealed = await Keyring(KEYS, case["key"]).seal(b64decode(case["data"]), case["place"])
    assert b64encode(sealed).decode() == case["sealed"]


async def test_no_nonce_comes_twice() -> None:
    keys = Keyring({"a": OLD})
    assert len({await keys.seal(b"same", PLACE) for _ in range(50)}) == 50


async def test_new_values_take_the_current_key_and_old_ones_open_with_theirs() -> None:
    before = await Keyring({"old": OLD}).seal(b"before", PLACE)
    rotated = Keyring({"new": NEW, "old": OLD})
    after = await rotated.seal(b"after", PLACE)
    assert [await rotated.open(sealed, PLACE) for sealed in (before, after)] == [
        b"before",
        b"after",
    ]
    assert await Keyring({"new": NEW}).open(after, PLACE) == b"after"
    named = await Keyring({"new": NEW, "old": OLD}, "old").seal(b"named", PLACE)
    assert await Keyring({"old": OLD}).open(named, PLACE) == b"named"


async def test_a_callable_finds_keys_and_may_be_async() -> None:
    asked: list[str | None] = []
    known = {"old": OLD, "new": NEW}

    async def later(key_id: str | None) -> tuple[str, bytes] | None:
        asked.append(key_id)
        name = key_id or "new"
        return (name, known[name]) if name in known else None

    keys = Keyring(later)
    sealed = await keys.seal(b"x", PLACE)
    assert await keys.open(sealed, PLACE) == b"x"
    assert asked == [None, "new"]

    at_once = Keyring(lambda key_id: (key_id or "old", known[key_id or "old"]))
    assert await at_once.open(sealed, PLACE) == b"x"
    named = await Keyring(later, "old").seal(b"x", PLACE)
    assert await Keyring({"old": OLD}).open(named, PLACE) == b"x"

    other = await Keyring({"gone": OLD}).seal(b"x", PLACE)
    assert (await refused(keys.open(other, PLACE))).code == "wrong-key"
    assert (await refused(Keyring(lambda _: None).seal(b"x", PLACE))).code == "wrong-key"
    with pytest.raises(ValueError, match="asked for the key new, the callable gave the key old"):
        await Keyring(lambda _: ("old", OLD)).open(sealed, PLACE)
    with pytest.raises(ValueError, match="the key short has 5 bytes"):
        await Keyring(lambda _: ("short", b"short")).seal(b"x", PLACE)


async def test_a_key_that_is_not_there_or_another_one_is_a_wrong_key() -> None:
    sealed = await Keyring({"a": OLD}).seal(b"x", PLACE)
    missing = await refused(Keyring({"b": OLD}).open(sealed, PLACE))
    assert (missing.code, "sealed with the key a, which is not there" in missing.message) == (
        "wrong-key",
        True,
    )
    another = await refused(Keyring({"a": NEW}).open(sealed, PLACE))
    assert (another.code, "another key" in another.message) == ("wrong-key", True)
    none = await refused(open_sealed(sealed, PLACE, None))
    assert (none.code, "there are no keys" in none.message) == ("wrong-key", True)
    assert await open_sealed(sealed, PLACE, Keyring({"a": OLD})) == b"x"


async def test_a_value_opens_at_its_place_alone() -> None:
    sealed = await Keyring({"a": OLD}).seal(b"x", "timestep:piece:run:1")
    for place in ("timestep:piece:run:2", "timestep:piece:nur:1", "timestep:item:run"):
        assert (await refused(Keyring({"a": OLD}).open(sealed, place))).code == "wrong-key"


async def test_every_damaged_byte_is_noticed() -> None:
    keys = Keyring({"a": OLD})
    sealed = await keys.seal(b"a few bytes", PLACE)
    for index in range(len(sealed)):
        damaged = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        assert (await refused(keys.open(damaged, PLACE))).code == "wrong-key", index
        assert (await refused(keys.open(sealed[:index], PLACE))).code == "wrong-key", index


@pytest.mark.parametrize("key_id", ["", "a b", "a:b", "ä", "x" * 65, "a\n"])
def test_an_id_that_cannot_be_is_refused(key_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 characters"):
        Keyring({key_id: OLD})


def test_keys_that_cannot_be_are_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match="the key a has 5 bytes, not 32"):
        Keyring({"a": b"12345"})
    with pytest.raises(TypeError, match="the key a is str, not bytes"):
        Keyring({"a": "secret" * 6})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="needs a key"):
        Keyring({})
    with pytest.raises(ValueError, match="'b' is not among the keys"):
        Keyring({"a": OLD}, "b")
    with pytest.raises(TypeError):
        Keyring(OLD)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Keyring({1: OLD})  # type: ignore[dict-item]


async def test_the_environment_holds_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIMESTEP_ENCRYPTION_KEYS", raising=False)
    assert keyring(None) is None
    monkeypatch.setenv("TIMESTEP_ENCRYPTION_KEYS", " \n")
    assert keyring(None) is None
    entries = [f"{name}:{b64encode(key).decode()}" for name, key in (("n", NEW), ("o", OLD))]
    monkeypatch.setenv("TIMESTEP_ENCRYPTION_KEYS", " , ".join(entries) + "\n")
    keys = keyring(None)
    assert keys is not None
    assert await Keyring({"n": NEW}).open(await keys.seal(b"x", PLACE), PLACE) == b"x"
    assert await keys.open(await Keyring({"o": OLD}).seal(b"x", PLACE), PLACE) == b"x"
    assert keyring(keys) is keys
    assert repr(keyring({"a": OLD})) == "<Keyring a; current a>"


@pytest.mark.parametrize(
    "text",
    [
        b64encode(OLD).decode(),
        f"a:{b64encode(OLD).decode()},",
        f"a:{b64encode(OLD).decode()[:-4]}",
        f"a b:{b64encode(OLD).decode()}",
        f"a:{b64encode(OLD + OLD).decode()}",
        f"a:{b64encode(OLD).decode()},a:{b64encode(NEW).decode()}",
    ],
)
def test_an_environment_that_cannot_be_is_refused_without_telling_a_key(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTEP_ENCRYPTION_KEYS", text)
    with pytest.raises(ValueError, match="TIMESTEP_ENCRYPTION_KEYS") as caught:
        keyring(None)
    assert "AAECAwQ" not in str(caught.value)


async def test_no_key_is_shown() -> None:
    key = b"\x7fsecret-key-of-32-bytes-exactly!!"[:32]
    keys = Keyring({"a": key})
    sealed = await keys.seal(b"x", PLACE)
    error = await refused(Keyring({"a": OLD}).open(sealed, PLACE))
    for shown in (repr(keys), str(keys), str(error), repr(error), error.hint):
        assert "secret-key" not in shown
        assert b64encode(key).decode() not in shown
    assert repr(Keyring(lambda _: ("a", key))) == "<Keyring callable; current as the callable says>"


def test_cryptography_is_loaded_when_it_is_needed_and_missed_by_name() -> None:
    code = """
import asyncio, sys
from timestep.store.seal import Keyring
keys = Keyring({"a": bytes(32)})
assert "cryptography" not in sys.modules
sys.modules["cryptography"] = None
try:
    asyncio.run(keys.seal(b"x", "place"))
except Exception as error:
    print(error.code, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "missing-dependency Install timestep[encryption], or give no keys.\n"


async def refused(work: Any) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await work
    return caught.value
