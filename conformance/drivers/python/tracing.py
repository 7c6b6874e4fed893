"""Traces of a driver: on where a case asks for them, and sent nowhere."""

from __future__ import annotations

from agents import set_trace_processors, set_tracing_disabled


def trace(*, on: bool) -> None:
    """Turns tracing on or off. Traces have ids and no exporter."""
    set_trace_processors([])
    set_tracing_disabled(not on)
