"""The portable run state and the codec between it and openai-agents snapshots.

Importing this package loads no SDK; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Bound here and now: loading the module of that name later would take the name.
from timestep.state.canonical import canonical

if TYPE_CHECKING:
    from timestep.state.document import Converted, digest, validate
    from timestep.state.native import to_native
    from timestep.state.portable import to_portable
    from timestep.state.sdk import dump_run_state, load_run_state

__all__ = [
    "Converted",
    "canonical",
    "digest",
    "dump_run_state",
    "load_run_state",
    "to_native",
    "to_portable",
    "validate",
]

_MODULES = {
    "Converted": "document",
    "digest": "document",
    "validate": "document",
    "to_native": "native",
    "to_portable": "portable",
    "dump_run_state": "sdk",
    "load_run_state": "sdk",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"timestep.state.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
