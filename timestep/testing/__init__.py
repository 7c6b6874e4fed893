"""Recorded model traffic in tests: vcrpy set up so that both ports play the same files.

    from timestep.testing import recorder

    with recorder().use_cassette("cassettes/weather.yaml"):
        await run_agent(agent, "Weather in Oslo?")

Needs vcrpy (`pip install timestep[testing]`), which is loaded when `recorder` is called. The same
files are played by `@timestep-ai/timestep/testing`.
"""

from __future__ import annotations

from timestep.testing.matching import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Asked,
    difference,
    kept_headers,
    normalise,
    path_of,
    pieces,
)
from timestep.testing.recorder import recorder

__all__ = [
    "REQUEST_HEADERS",
    "RESPONSE_HEADERS",
    "Asked",
    "difference",
    "kept_headers",
    "normalise",
    "path_of",
    "pieces",
    "recorder",
]
