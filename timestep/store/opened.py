"""A user of a location: what it opens when it is first needed, and ends at the end."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Self

from timestep.store.base import Backend
from timestep.store.location import Location, open_backend


class BackendUser:
    """Opens the backend of a location when it is first asked for.

    `aclose`, or `async with`, ends what was opened; asked again, it opens again, and so it does on
    another event loop.
    """

    def __init__(self, location: str | os.PathLike[str] | Location) -> None:
        self._opens = location
        self._opened: tuple[asyncio.AbstractEventLoop, Backend] | None = None

    async def _backend(self) -> Backend:
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            backend = await open_backend(self._opens)
            if self._opened is not None and self._opened[0] is loop:  # while this one was opened
                await backend.aclose()
            else:
                self._opened = loop, backend
        return self._opened[1]

    async def aclose(self) -> None:
        """Ends what was opened. Used again, it opens again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened[1].aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
