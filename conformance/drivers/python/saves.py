"""The operations that keep a run: save and load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents import RunState

from timestep import RunStateStore
from timestep.state import digest, dump_run_state, load_run_state, to_native

from .case import Case
from .outcome import interruptions, position
from .protocol import Failure, required


async def save(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`state.save`: the run as a document, as the SDK's own snapshot, or in a file."""
    state = case.paused()
    match required(args, "form", str):
        case "native":
            return {"payload": state.to_json()}
        case "portable":
            converted = dump_run_state(state)
            return {
                "payload": converted.document,
                "digest": digest(converted.document),
                "lossy": list(converted.lossy),
            }
        case "file":
            await _file(case, args).save(state)
            return {"digest": digest(json.loads(_path(case, args).read_text()))}
        case form:
            raise Failure("protocol", "bad-request", f"there is no form {form}")


async def load(case: Case, args: Mapping[str, Any]) -> dict[str, Any]:
    """`state.load`: a kept run becomes the run of the case."""
    # Damaged on purpose in negative cases: the port is the one to refuse it.
    payload: Any = args.get("payload")
    context = args.get("context")
    lossy: list[str] = []
    match required(args, "form", str):
        case "native":
            state = await RunState.from_json(case.agent, payload, context_override=context)
        case "portable":
            state = await load_run_state(payload, case.agent, context=context)
            lossy = list(to_native(payload, case.agent, context=context).lossy)
        case "file":
            state = await _file(case, args).load(context=context)
        case form:
            raise Failure("protocol", "bad-request", f"there is no form {form}")
    snapshot = position(state)
    case.state = state
    case.turn = snapshot["current_turn"]
    return {
        "interruptions": interruptions(state),
        "current_agent": snapshot["current_agent"]["name"],
        "lossy": lossy,
    }


def _file(case: Case, args: Mapping[str, Any]) -> RunStateStore[Any]:
    """The store of a file: the same one as before, which knows what it has read."""
    path = _path(case, args)
    return case.files.setdefault(path, RunStateStore(path, case.agent))


def _path(case: Case, args: Mapping[str, Any]) -> Path:
    path: str = required(args, "path", str)
    return case.workdir / path
