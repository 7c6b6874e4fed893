"""The operations on the session of a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .case import Case
from .protocol import required


async def read(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`session.read`: what the session holds, as wire items."""
    return {"items": await case.conversation.get_items(args.get("limit"))}


async def add(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`session.add`: more items."""
    await case.conversation.add_items(list(required(args, "items", list)))
    return {}


async def pop(case: Case, _args: Mapping[str, Any]) -> dict[str, Any]:
    """`session.pop`: the newest item is taken out."""
    return {"item": await case.conversation.pop_item()}


async def clear(case: Case, _args: Mapping[str, Any]) -> dict[str, Any]:
    """`session.clear`: nothing is left."""
    await case.conversation.clear_session()
    return {}
