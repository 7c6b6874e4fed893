"""Durable OpenAI Agents runs that cross languages.

Importing this package loads no SDK; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timestep.approvals import Approvals
    from timestep.errors import (
        ApprovalError,
        CrossingError,
        DocumentError,
        GraphError,
        InterruptionException,
        LoadError,
        ModelError,
        OllamaError,
        SnapshotError,
        StoreError,
        TimestepError,
    )
    from timestep.models import (
        MultiModelProvider,
        MultiModelProviderMap,
        OllamaModel,
        OllamaModelProvider,
    )
    from timestep.run import consume_result, run_agent
    from timestep.session import Session
    from timestep.store import Approval, Claim, Revision, RunStateStore, RunSummary
    from timestep.store.seal import Keyring

__all__ = [
    "Approval",
    "ApprovalError",
    "Approvals",
    "Claim",
    "CrossingError",
    "DocumentError",
    "GraphError",
    "InterruptionException",
    "Keyring",
    "LoadError",
    "ModelError",
    "MultiModelProvider",
    "MultiModelProviderMap",
    "OllamaError",
    "OllamaModel",
    "OllamaModelProvider",
    "Revision",
    "RunStateStore",
    "RunSummary",
    "Session",
    "SnapshotError",
    "StoreError",
    "TimestepError",
    "consume_result",
    "run_agent",
]

_MODULES = {
    "Approval": "timestep.store",
    "Approvals": "timestep.approvals",
    "Claim": "timestep.store",
    "Keyring": "timestep.store.seal",
    "MultiModelProvider": "timestep.models",
    "MultiModelProviderMap": "timestep.models",
    "OllamaModel": "timestep.models",
    "OllamaModelProvider": "timestep.models",
    "Revision": "timestep.store",
    "RunStateStore": "timestep.store",
    "RunSummary": "timestep.store",
    "Session": "timestep.session",
    "consume_result": "timestep.run",
    "run_agent": "timestep.run",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "timestep.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
