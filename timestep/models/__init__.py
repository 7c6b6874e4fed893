"""Models by name: which provider answers, and the models of Ollama.

The names are loaded when they are first used; they need the SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timestep.models.ollama.model import OllamaModel
    from timestep.models.ollama.provider import OllamaModelProvider
    from timestep.models.routing import MultiModelProvider, MultiModelProviderMap

__all__ = ["MultiModelProvider", "MultiModelProviderMap", "OllamaModel", "OllamaModelProvider"]

_MODULES = {
    "MultiModelProvider": "timestep.models.routing",
    "MultiModelProviderMap": "timestep.models.routing",
    "OllamaModel": "timestep.models.ollama.model",
    "OllamaModelProvider": "timestep.models.ollama.provider",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
