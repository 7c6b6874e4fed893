"""A claim on a run: nobody else resumes or saves it until the claim ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from secrets import token_hex
from types import TracebackType
from typing import Self

from timestep.errors import StoreError
from timestep.store.base import Backend, Claimed


def new_owner() -> str:
    """A name for who claims a run: the machine, the process, and something of its own."""
    return f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"


class Claim:
    """A run that is held, renewed in the background until it is released.

    `async with` releases it at the end. Where it could not be renewed in time and somebody else
    has taken the run, `lost` is true, and the next save of its store raises `StoreError`
    (`claim-lost`). One that lapsed and that nobody took is renewed: the work done meanwhile is
    not lost, and a revision saved by others in between is `stale-state` as ever.
    """

    def __init__(
        self,
        backend: Backend,
        run_id: str,
        claimed: Claimed,
        seconds: float,
        ended: Callable[[], None],
    ) -> None:
        self.owner = claimed.owner
        self.until: datetime = claimed.until
        """When the claim ends if it is not renewed."""
        self.lost = False
        self.holder: Claimed | None = None
        """Who holds the run, where somebody else has got it."""
        self._backend = backend
        self._run_id = run_id
        self._seconds = seconds
        self._ended = ended
        self._renewal: asyncio.Task[None] | None = asyncio.create_task(self._renew_always())

    async def release(self) -> None:
        """Gives the run back. Twice is no error, nor is a claim that was lost."""
        await self.stop()
        with suppress(StoreError):
            await self._backend.release(self._run_id, self.owner)
        self._ended()

    async def stop(self) -> None:
        """Renews the claim no more, so that it ends at `until`."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.cancel()
            await asyncio.wait([renewal])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()

    def lose(self, owner: str | None, until: datetime | None) -> None:
        """Notes that the claim was lost, and to whom."""
        self.lost = True
        if owner is not None and until is not None:
            self.holder = Claimed(owner, until)

    async def _renew_always(self) -> None:
        while not self.lost:
            await asyncio.sleep(self._seconds / 3)
            await self._renew()

    async def _renew(self) -> None:
        try:
            claimed = await self._backend.claim(self._run_id, self.owner, self._seconds)
        except StoreError as error:
            # Anything else may pass; until it does, the next save asks the store itself.
            if error.code in ("already-claimed", "state-not-found"):
                self.lose(error.owner, error.until)
        except OSError:
            pass
        else:
            self.until = claimed.until
