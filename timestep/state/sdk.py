"""The one place that touches openai-agents, its private names included.

Written against openai-agents 0.24.0. Private names are used for what has no public one: which
agent is behind a handoff or an agent tool, and what a run state restored.
"""

from __future__ import annotations

import json
import logging
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from timestep.errors import CrossingError, DocumentError, LoadError, TimestepError
from timestep.state import document as documents
from timestep.state import native
from timestep.state.document import Converted
from timestep.state.graph import AgentView
from timestep.state.portable import to_portable
from timestep.state.shape import Json

if TYPE_CHECKING:
    from agents import Agent, RunState


_PROCESSED: Final = {
    "functions": "functions",
    "handoffs": "handoffs",
    "computer_actions": "computer_actions",
    "custom_tool_actions": "custom_tool_calls",
    "local_shell_actions": "local_shell_calls",
    "shell_actions": "shell_calls",
    "apply_patch_actions": "apply_patch_calls",
    "mcp_approval_requests": "mcp_approval_requests",
}
"""Lists of calls in a snapshot and the attributes they are restored to."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a run state was loaded from, to tell later whether only decisions were added."""

    document: Json
    baseline: Json
    decisions: list[Json]


class SessionWithoutIds:
    """A session whose items have no ids that stand for none.

    The SDK asks it by a private name, to tell whether a write was done by comparing items.
    """

    _ignore_ids_for_matching = True


_loaded: dict[int, _Loaded] = {}
"""By the id of the run state, since the SDK's run states are not hashable; gone when it is."""


def reachable(agent: Agent[Any]) -> Iterator[Agent[Any]]:
    """The agents the SDK finds from one, through handoffs and agent tools, breadth first."""
    from agents._run_state_agent_identity import _iter_agent_graph

    return _iter_agent_graph(agent)


def view(agent: Agent[Any]) -> AgentView:
    """What a run may name of one live agent."""
    from agents import Agent, FunctionTool, Handoff, HostedMCPTool, handoff
    from agents._tool_identity import get_function_tool_lookup_keys

    handoffs: dict[str, str] = {}
    for target in getattr(agent, "handoffs", ()):
        made = handoff(target) if isinstance(target, Agent) else target
        if isinstance(made, Handoff):
            handoffs[made.tool_name] = made.agent_name
    functions: dict[tuple[str, ...], Any] = {}
    kinds: set[str] = set()
    labels: set[str] = set()
    for tool in getattr(agent, "tools", ()):
        if isinstance(tool, FunctionTool):
            for key in get_function_tool_lookup_keys(tool):
                functions[key] = getattr(tool, "_agent_instance", None)
        elif isinstance(tool, HostedMCPTool):
            labels.add(str(tool.tool_config.get("server_label")))
        else:
            kinds |= _kinds(tool)
    servers = frozenset(server.name for server in getattr(agent, "mcp_servers", ()))
    return AgentView(agent.name, handoffs, functions, frozenset(kinds), frozenset(labels), servers)


def _kinds(tool: Any) -> set[str]:
    from agents import ApplyPatchTool, ComputerTool, CustomTool, LocalShellTool, ShellTool

    if isinstance(tool, CustomTool):
        return {f"custom_tool_call:{tool.name}"}
    pairs = (
        (ComputerTool, "computer_call"),
        (ShellTool, "shell_call"),
        (LocalShellTool, "local_shell_call"),
        (ApplyPatchTool, "apply_patch_call"),
    )
    return {kind for tool_type, kind in pairs if isinstance(tool, tool_type)}


async def load_run_state(
    document: Mapping[str, Any], agent: Agent[Any], *, context: Any = None
) -> RunState[Any]:
    """The SDK's own run state, from a portable document.

    Converts the document, lets openai-agents restore it, and compares what was restored with what
    was written. ``context`` replaces the stored context, as the SDK's ``context_override`` does.

    Raises ``DocumentError``, ``CrossingError``, ``GraphError`` and ``LoadError``.
    """
    converted = native.to_native(document, agent, context=context)
    snapshot = _detached(converted.document)
    state = await _load(agent, snapshot, context)
    self_check(state, snapshot)
    _remember(state, document)
    return state


def dump_run_state(state: RunState[Any]) -> Converted:
    """The portable document of a live run state.

    Where the state came from ``load_run_state`` and only decisions were added, it is the loaded
    document with those decisions added, so what the other language kept is still there.
    """
    snapshot = state.to_json()
    converted = to_portable(snapshot)
    loaded = _loaded.get(id(state))
    if loaded is not None and "typescript" in loaded.document.get("residue", {}):
        kept = _decided(loaded, converted.document)
        if kept is not None:
            return Converted(kept, converted.lossy, converted.checked)
    return converted


def set_max_turns(state: RunState[Any], max_turns: int | None) -> None:
    """Give a run state another turn limit; None is no limit.

    The SDK has no public way: a resumed run takes the limit from its state alone.
    """
    state._max_turns = max_turns


def self_check(state: RunState[Any], snapshot: Json) -> None:
    """Compare what the SDK restored with what was written, nested runs included.

    Raises ``LoadError`` (``self-check-failed``).
    """
    _check_run(state, snapshot, "")


async def _load(agent: Agent[Any], snapshot: Json, context: Any) -> RunState[Any]:
    from agents import RunState

    dropped = _Dropped()
    logger = logging.getLogger("openai.agents")
    logger.addHandler(dropped)
    try:
        return await RunState.from_json(agent, snapshot, context_override=context)
    except Exception as error:
        _blame(snapshot)
        said = "; ".join([await _reason(agent, snapshot, context, error), *dropped.messages])
        raise LoadError(
            f"openai-agents did not restore the run: {said}", code="load-failed"
        ) from error
    finally:
        logger.removeHandler(dropped)


async def _reason(agent: Agent[Any], snapshot: Json, context: Any, error: Exception) -> str:
    """Why the SDK refused: its public loader says only that details are redacted.

    Texts the SDK wrote itself are repeated, for any other error its kind; data of the run is not.
    """
    from agents.exceptions import AgentsException
    from agents.run_state import _build_run_state_from_json

    try:
        await _build_run_state_from_json(agent, snapshot, context_override=context)
    except AgentsException as cause:
        return str(cause)
    except KeyError as cause:
        return f"the snapshot has no {cause}"
    except Exception as cause:
        return f"{type(cause).__name__} ({error})"
    return str(error)


def _blame(snapshot: Json) -> None:
    """Name the model output that openai-agents does not read; its own error says nothing.

    Raises ``CrossingError`` (``unsupported-item``).
    """
    from agents.items import TResponseOutputItem
    from pydantic import TypeAdapter, ValidationError

    adapter: TypeAdapter[Any] = TypeAdapter(TResponseOutputItem)
    for index, answer in enumerate(snapshot.get("model_responses") or []):
        for place, item in enumerate(answer["output"]):
            try:
                adapter.validate_python(item)
            except ValidationError as error:
                raise CrossingError(
                    f"openai-agents reads no {item.get('type')} of this form",
                    code="unsupported-item",
                    pointer=f"/responses/{index}/output/{place}",
                ) from error


class _Dropped(logging.Handler):
    """What the SDK says while it restores; its errors themselves are often redacted."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _detached(snapshot: Json) -> Json:
    """A copy the SDK may keep parts of; the document stays as it is."""
    try:
        copy: Json = json.loads(json.dumps(snapshot, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DocumentError(str(error), code="malformed") from error
    return copy


def _remember(state: RunState[Any], document: Mapping[str, Any]) -> None:
    """Keep what the state came from, where a later save could lose another port's residue."""
    if "typescript" not in document.get("residue", {}):
        return
    try:
        baseline = to_portable(state.to_json()).document
    except TimestepError:
        return
    _loaded[id(state)] = _Loaded(
        dict(document), _without_decisions(baseline), baseline["decisions"]
    )
    weakref.finalize(state, _loaded.pop, id(state), None).atexit = False


def _decided(loaded: _Loaded, now: Json) -> Json | None:
    """The loaded document with the decisions of now, ``None`` where more than those changed."""
    if _without_decisions(now) != loaded.baseline:
        return None
    document = loaded.document
    before, taken = document["decisions"], now["decisions"]
    added = [decision for decision in taken if decision not in loaded.decisions]
    undone = [decision for decision in loaded.decisions if decision not in taken]
    if not added and not undone:
        return document
    kept = [decision for decision in before if decision not in undone]
    residue = {
        language: own if "decisions" in own else {**own, "decisions": before}
        for language, own in document["residue"].items()
    }
    return {**document, "decisions": documents.sorted_set([*kept, *added]), "residue": residue}


def _without_decisions(document: Json) -> Json:
    return {key: value for key, value in documents.core(document).items() if key != "decisions"}


def _check_run(state: Any, snapshot: Json, at: str) -> None:
    """Compare one run."""
    written = snapshot.get("generated_items") or []
    _expect("history items", len(written), len(state._generated_items), f"{at}/generated_items")
    if "session_items" in snapshot:
        session = len(snapshot["session_items"] or [])
        _expect("session items", session, len(state._session_items), f"{at}/session_items")
    step = snapshot.get("current_step") or {}
    pending = (step.get("data") or {}).get("interruptions", step.get("interruptions")) or []
    _expect(
        "interruptions",
        [_identifier(entry.get("raw_item")) for entry in pending],
        [_identifier(item.raw_item) for item in state.get_interruptions()],
        f"{at}/current_step",
    )
    agent = snapshot["current_agent"]["name"]
    _expect("current agent", agent, state._current_agent.name, f"{at}/current_agent")
    if state._current_step is not None:
        _check_processed(state, snapshot, at)
    marks = snapshot["context"].get("tool_invocations") or {}
    completed = sorted(key for key, mark in marks.items() if mark.get("completed"))
    restored = state._context._tool_invocations.items()
    _expect(
        "completed calls",
        completed,
        sorted(key for key, record in restored if record.completed and key in marks),
        f"{at}/context/tool_invocations",
    )


def _check_processed(state: Any, snapshot: Json, at: str) -> None:
    from agents.agent_tool_state import peek_agent_tool_run_result

    processed = snapshot.get("last_processed_response")
    if not processed:
        return
    restored = state._last_processed_response
    at = f"{at}/last_processed_response"
    answered = {_answered(item.raw_item) for item in state._generated_items}
    for field, attribute in _PROCESSED.items():
        calls = [_call(entry) for entry in processed.get(field) or []]
        kept = [_restored_call(run) for run in getattr(restored, attribute)]
        _expect(
            f"pending {field}",
            [_identifier(call) for call in calls if _identifier(call) not in answered],
            [_identifier(call) for call in kept if _identifier(call) not in answered],
            f"{at}/{field}",
        )
    runs = {_identifier(run.tool_call): run for run in restored.functions}
    for index, entry in enumerate(processed.get("functions") or []):
        nested = entry.get("agent_run_state")
        if not isinstance(nested, dict):
            continue
        place = f"{at}/functions/{index}/agent_run_state"
        run = runs.get(_identifier(entry["tool_call"]))
        result = run and peek_agent_tool_run_result(
            run.tool_call, scope_id=state._agent_tool_state_scope_id
        )
        waits = bool(((nested.get("current_step") or {}).get("data") or {}).get("interruptions"))
        _expect("a nested run", waits, result is not None, place)
        if result is not None:
            _check_run(result.to_state(), nested, place)


def _call(entry: Json) -> Any:
    return entry["request_item"]["raw_item"] if "request_item" in entry else entry["tool_call"]


def _restored_call(run: Any) -> Any:
    return run.request_item if hasattr(run, "request_item") else run.tool_call


def _identifier(item: Any) -> Any:
    return _field(item, "call_id") or _field(item, "id")


def _answered(item: Any) -> Any:
    kind = str(_field(item, "type"))
    if kind == "mcp_approval_response":
        return _field(item, "approval_request_id")
    return _field(item, "call_id") if kind.endswith("_output") else None


def _field(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, dict) else getattr(item, name, None)


def _expect(what: str, written: Any, restored: Any, at: str) -> None:
    if written != restored:
        raise LoadError(
            f"{what}: {written!r} written, {restored!r} restored",
            code="self-check-failed",
            pointer=at,
        )
