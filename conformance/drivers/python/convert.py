"""`state.convert`: the port's codec on documents, with or without a description of the agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .protocol import Failure, required


async def convert(args: Mapping[str, Any]) -> dict[str, Any]:
    """The `state.convert` operation: between this SDK's snapshot and the portable document."""
    source = required(args, "from", str)
    target = required(args, "to", str)
    payload = args.get("payload")
    if (source, target) == ("native", "portable"):
        return _to_portable(payload)
    if (source, target) == ("portable", "native"):
        return await _to_native(payload, args.get("graph"), args.get("options") or {})
    raise Failure("protocol", "bad-request", f"there is no conversion from {source} to {target}")


def _to_portable(payload: Any) -> dict[str, Any]:
    from timestep.state import to_portable

    # The options of the protocol are about snapshots of the TypeScript SDK.
    converted = to_portable(payload)
    return {"payload": converted.document, "lossy": list(converted.lossy), "checked": False}


async def _to_native(payload: Any, graph: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    from timestep.state import load_run_state, to_native

    context = options.get("context")
    if graph is None:
        converted = to_native(payload, context=context)
        return {"payload": converted.document, "lossy": list(converted.lossy), "checked": False}

    from .graph import read_graph
    from .stubs import build_agents
    from .tracing import trace

    trace(on=False)
    try:
        root, agents = build_agents(
            read_graph(graph), payload if isinstance(payload, Mapping) else None
        )
    except Exception as error:
        raise Failure("driver", "graph", f"no agents could be built: {error}") from error
    converted = to_native(payload, root, context=context)
    await load_run_state(payload, root, context=context)
    # Handoffs hold their targets weakly: the agents have to live until here.
    agents.clear()
    return {"payload": converted.document, "lossy": list(converted.lossy), "checked": True}
