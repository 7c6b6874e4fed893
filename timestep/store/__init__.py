"""Where run states are kept between processes and languages.

Importing this package loads nothing; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timestep.store.base import Approval, Revision, RunSummary
    from timestep.store.claim import Claim
    from timestep.store.run_state_store import RunStateStore

__all__ = ["Approval", "Claim", "Revision", "RunStateStore", "RunSummary"]

_MODULES = {
    "Approval": "base",
    "Claim": "claim",
    "Revision": "base",
    "RunStateStore": "run_state_store",
    "RunSummary": "base",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"timestep.store.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
