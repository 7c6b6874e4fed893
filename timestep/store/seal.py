"""Values that are sealed with a key, bound to their place (`docs/encryption.md`)."""

from __future__ import annotations

import inspect
import os
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from timestep.errors import StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENVIRONMENT: Final = "TIMESTEP_ENCRYPTION_KEYS"
KEY_SIZE: Final = 32
"""Length of a key in bytes."""

KeyPair = tuple[str, bytes]
"""A key and its id."""
KeySource = Callable[[str | None], KeyPair | Awaitable[KeyPair | None] | None]
"""Finds the key with an id, or the current key where the id is None; None if there is no such key.

May be async.
"""

_MARK: Final = b"\x01"
_NONCE: Final = 12
_TAG: Final = 16
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BASE64_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=")


class Keyring:
    """The keys of a store: new values are sealed with the current one, old ones open with theirs.

    `keys` maps key ids to keys of 32 bytes, or finds them when asked. `current` is the id of the
    key for new values; left out, it is the first of a mapping, or what the callable gives for
    None. Key ids are 1 to 64 characters of `A-Z a-z 0-9 . _ -`.

    Raises `ValueError` for an id, a key or a `current` that cannot be, `TypeError` for a key that
    is not bytes. Neither says anything of a key but its length.
    """

    def __init__(self, keys: Mapping[str, bytes] | KeySource, current: str | None = None) -> None:
        if current is not None:
            _check_id(current)
        self._keys: dict[str, bytes] = {}
        self._find: KeySource | None = None
        self._current = current
        if isinstance(keys, Mapping):
            for key_id, key in keys.items():
                _check_id(key_id)
                self._keys[key_id] = _checked_key(key_id, key)
            if not self._keys:
                raise ValueError("a keyring needs a key")
            if current is None:
                self._current = next(iter(self._keys))
            elif current not in self._keys:
                raise ValueError(f"the current key {current!r} is not among the keys")
        elif callable(keys):
            self._find = keys
        else:
            raise TypeError("keys are a mapping of key ids to bytes, or a callable")

    @classmethod
    def from_environment(cls) -> Keyring | None:
        """The keys in `TIMESTEP_ENCRYPTION_KEYS`, or None where it is not set or empty.

        It holds `id:base64,id:base64`; the first key is the current one. Raises `ValueError`.
        """
        text = os.environ.get(ENVIRONMENT, "").strip()
        if not text:
            return None
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(text.split(","), start=1):
            key_id, _, key = (part.strip() for part in entry.partition(":"))
            if _KEY_ID.fullmatch(key_id) is None or _BASE64_KEY.fullmatch(key) is None:
                raise ValueError(
                    f"entry {number} of {ENVIRONMENT} is no key id with the base64 of "
                    f"{KEY_SIZE} bytes, as in main:{'A' * 43}="
                )
            if key_id in keys:
                raise ValueError(f"{ENVIRONMENT} has the key id {key_id} twice")
            keys[key_id] = b64decode(key)
        return cls(keys)

    async def seal(self, data: bytes, place: str) -> bytes:
        """`data`, sealed with the current key for this place and no other.

        Raises `StoreError` (`wrong-key` if a callable has no current key, `missing-dependency`).
        """
        pair = await self._key(self._current)
        if pair is None:
            raise _wrong_key(f"there is no current key to seal {place} with")
        key_id, key = pair
        nonce = os.urandom(_NONCE)
        name = key_id.encode()
        sealed = _cipher(key).encrypt(nonce, data, _bound(place))
        return b"".join((_MARK, bytes([len(name)]), name, nonce, sealed))

    async def open(self, data: bytes, place: str) -> bytes:
        """What was sealed for this place.

        Raises `StoreError` (`wrong-key`) for a value sealed with a key that is not there or is
        another one, or for another place, and for one that was damaged; `missing-dependency`.
        """
        key_id, nonce, sealed = _parse(data, place)
        pair = await self._key(key_id)
        if pair is None:
            raise _wrong_key(f"{place} is sealed with the key {key_id}, which is not there")
        cipher = _cipher(pair[1])
        from cryptography.exceptions import InvalidTag

        try:
            return cipher.decrypt(nonce, sealed, _bound(place))
        except InvalidTag:
            raise _wrong_key(
                f"the key {key_id} does not open {place}: it is another key, or the value was "
                "damaged or belongs elsewhere"
            ) from None

    async def _key(self, key_id: str | None) -> KeyPair | None:
        if self._find is None:
            key = None if key_id is None else self._keys.get(key_id)
            return None if key_id is None or key is None else (key_id, key)
        found = self._find(key_id)
        pair = await found if inspect.isawaitable(found) else found
        if pair is None:
            return None
        name, key = pair
        _check_id(name)
        if key_id is not None and name != key_id:
            raise ValueError(f"asked for the key {key_id}, the callable gave the key {name}")
        return name, _checked_key(name, key)

    def __repr__(self) -> str:
        keys = "callable" if self._find is not None else ", ".join(self._keys)
        return f"<Keyring {keys}; current {self._current or 'as the callable says'}>"


def keyring(keys: Keyring | Mapping[str, bytes] | KeySource | None) -> Keyring | None:
    """The keyring of what a user gave; None takes the environment's, or none at all."""
    if keys is None:
        return Keyring.from_environment()
    return keys if isinstance(keys, Keyring) else Keyring(keys)


def is_sealed(data: bytes) -> bool:
    """Whether stored bytes are a sealed value; in clear they start with another byte."""
    return data[:1] == _MARK


async def open_sealed(data: bytes, place: str, keys: Keyring | None) -> bytes:
    """What was sealed for this place, where there may be no keys at all.

    Raises `StoreError` (`wrong-key`, `missing-dependency`).
    """
    if keys is None:
        key_id, _, _ = _parse(data, place)
        raise _wrong_key(f"{place} is sealed with the key {key_id}, and there are no keys")
    return await keys.open(data, place)


def _parse(data: bytes, place: str) -> tuple[str, bytes, bytes]:
    """Key id, nonce, and ciphertext with tag."""
    start = 2 + (data[1] if len(data) > 1 else 0)
    name = data[2:start].decode("ascii", "replace")
    if not is_sealed(data) or len(data) < start + _NONCE + _TAG or _KEY_ID.fullmatch(name) is None:
        raise _wrong_key(f"{place} is no sealed value, or was damaged")
    return name, data[start : start + _NONCE], data[start + _NONCE :]


def _bound(place: str) -> bytes:
    """The place in UTF-8; lone surrogates, which that cannot hold, are U+FFFD in every port."""
    return place.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _check_id(key_id: object) -> None:
    if not isinstance(key_id, str):
        raise TypeError(f"a key id is text, not {type(key_id).__name__}")
    if _KEY_ID.fullmatch(key_id) is None:
        raise ValueError("a key id is 1 to 64 characters of A-Z a-z 0-9 . _ -")


def _checked_key(key_id: str, key: object) -> bytes:
    if not isinstance(key, bytes | bytearray | memoryview):
        raise TypeError(f"the key {key_id} is {type(key).__name__}, not bytes")
    if len(bytes(key)) != KEY_SIZE:
        raise ValueError(f"the key {key_id} has {len(bytes(key))} bytes, not {KEY_SIZE}")
    return bytes(key)


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise StoreError(
            "encryption needs the package cryptography",
            code="missing-dependency",
            hint="Install timestep[encryption], or give no keys.",
        ) from None
    return AESGCM(key)


def _wrong_key(message: str) -> StoreError:
    return StoreError(message, code="wrong-key")
