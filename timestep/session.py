"""A conversation that both languages can continue (`docs/sessions.md`)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from timestep.errors import DocumentError, StoreError
from timestep.state import canonical, wire
from timestep.state.sdk import SessionWithoutIds
from timestep.store.location import default_location, parse
from timestep.store.opened import BackendUser
from timestep.store.seal import Keyring, KeySource, keyring, open_sealed

if TYPE_CHECKING:
    from agents import SessionSettings, TResponseInputItem


class Session(BackendUser, SessionWithoutIds):
    """The history of a conversation, for `run_agent` and the SDK's `Runner`: its `Session`.

    `session_id` is any text of 1 to 200 characters, and random where it is left out; the
    same id at the same location is the same conversation, in either language. `location` is a
    folder, `postgresql://...` or `pglite:<folder>`; left out, it is `TIMESTEP_LOCATION` or the
    folder `.timestep`. With `keys` (`docs/encryption.md`), or with keys in the environment, items
    are sealed. `session_settings` are the SDK's; their `limit` counts where a read has none.

    Nothing is opened before it is needed. `aclose`, or `async with`, ends what was opened; a
    closed session that is used again opens it again.

    Raises `StoreError` (`unknown-location`) for an id that cannot be, and for a single `.json`
    file, which keeps no sessions.
    """

    session_id: str
    session_settings: SessionSettings | None

    def __init__(
        self,
        session_id: str | None = None,
        *,
        location: str | os.PathLike[str] | None = None,
        keys: Keyring | Mapping[str, bytes] | KeySource | None = None,
        session_settings: SessionSettings | None = None,
    ) -> None:
        from timestep.store.generations import check_id

        self.session_id = str(uuid4()) if session_id is None else check_id(session_id)
        self.location = default_location() if location is None else os.fspath(location)
        if parse(self.location).kind == "file":
            raise StoreError(
                f"{self.location} is a file for one run and keeps no sessions",
                code="unknown-location",
                hint="Give a folder, postgresql://... or pglite:<folder>.",
            )
        self.session_settings = session_settings
        self._keys = keyring(keys)
        self._place = f"timestep:item:{self.session_id}"
        super().__init__(self.location)

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The newest `limit` items, oldest first, as Responses wire items.

        None is the limit of `session_settings`, or all; 0 is none; a negative one is all, as in
        the SDK's `SQLiteSession`. More than there are is all.

        Raises `StoreError` (`wrong-key`, ...) and `DocumentError` (`malformed`).
        """
        if limit is None:
            limit = _limit(self.session_settings)
        if limit == 0:
            return []
        backend = await self._backend()
        stored = await backend.read_items(
            self.session_id, None if limit is None or limit < 0 else limit
        )
        return [await self._item(each) for each in stored]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Appends items, all or none, in the form that a run state gives them.

        Ids that stand for none are left out. Raises `DocumentError` (`malformed`) for an item that
        is no JSON or no Responses item, with its place; nothing is stored then.
        """
        texts = [_text(item, index) for index, item in enumerate(items)]
        if not texts:
            return
        stored: list[str | bytes] = [*texts]
        if self._keys is not None:
            stored = [await self._keys.seal(text.encode(), self._place) for text in texts]
        backend = await self._backend()
        await backend.add_items(self.session_id, stored)

    async def pop_item(self) -> TResponseInputItem | None:
        """Takes the newest item out; None if there is none. No two callers get the same one.

        An item that cannot be read stays: raises `StoreError` (`wrong-key`, ...) and
        `DocumentError` (`malformed`).
        """
        backend = await self._backend()
        for stored in await backend.read_items(self.session_id, 1):
            await self._item(stored)
        popped = await backend.pop_item(self.session_id)
        return None if popped is None else await self._item(popped)

    async def clear_session(self) -> None:
        """Removes the conversation; the same id then starts a new one."""
        backend = await self._backend()
        await backend.clear_items(self.session_id)

    def __repr__(self) -> str:
        return f"<Session {self.session_id}>"

    async def _item(self, stored: str | bytes) -> Any:
        if isinstance(stored, bytes):
            stored = (await open_sealed(stored, self._place, self._keys)).decode()
        item = json.loads(stored)
        if not isinstance(item, dict):
            raise _malformed(f"an item of the session {self.session_id} is no JSON object")
        return item


def _text(item: Any, index: int) -> str:
    """The item as it is stored. What only the SDK's models note of it is kept for them."""
    pointer = f"/{index}"
    try:
        if not wire.is_portable(item):
            raise _malformed("a session keeps Responses items; this is none", pointer)
        kept = wire.to_portable(item)
        if "provider_data" in item:
            kept = {**kept, "provider_data": item["provider_data"]}
        return canonical(kept)
    except DocumentError as error:
        raise _malformed(error.message, error.pointer or pointer) from None
    except (TypeError, RecursionError):
        raise _malformed("the item is no JSON", pointer) from None


def _limit(settings: Any) -> int | None:
    if isinstance(settings, Mapping):
        settings = settings.get("limit")
        return settings if isinstance(settings, int) else None
    return getattr(settings, "limit", None)


def _malformed(message: str, pointer: str | None = None) -> DocumentError:
    return DocumentError(
        message,
        code="malformed",
        hint="Give input items of the Responses API, as JSON.",
        pointer=pointer,
    )
