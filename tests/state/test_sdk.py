"""The codec together with the real SDK: load, decide, dump, resume, and what is caught."""

import copy
import gc
import logging
from typing import Any

import pytest
from agents import Agent, HostedMCPTool, Runner, RunState, function_tool

from tests.model import message as said
from tests.model import scripted
from tests.state.build import (
    AGENT,
    agent,
    call,
    decision,
    document,
    function,
    item,
    message,
    output,
    run,
    tool,
)
from timestep.errors import CrossingError, LoadError
from timestep.state import dump_run_state, load_run_state, sdk, to_native, to_portable
from timestep.state.document import Converted

pytestmark = pytest.mark.anyio
Json = dict[str, Any]


def _ran(effects: list[str], name: str = "get_weather", *, approval: bool = True) -> Any:
    def run_tool(city: str) -> str:
        effects.append(city)
        return f"sunny in {city}"

    return function_tool(run_tool, name_override=name, needs_approval=approval)


async def _finish(facts: Json, live: Agent[Any], answers: list[Any]) -> tuple[Any, list[Any]]:
    """Load a document and run it on, with a model that gives the answers."""
    from agents import RunConfig

    state = await load_run_state(facts, live)
    async with scripted(answers) as model:
        result = await Runner.run(live, state, run_config=RunConfig(model_provider=model.provider))
        return result, model.requests


async def test_a_pending_run_is_loaded() -> None:
    state = await load_run_state(document(), agent())
    assert isinstance(state, RunState)
    assert [entry.name for entry in state.get_interruptions()] == ["get_weather"]


async def test_a_call_that_was_approved_elsewhere_runs_once() -> None:
    effects: list[str] = []
    live = agent(AGENT, _ran(effects))
    facts = document(decisions=[decision()])
    result, requests = await _finish(facts, live, [[said("It is sunny.")]])
    assert effects == ["Oslo"]
    assert result.final_output == "It is sunny."
    assert requests[0]["input"][-1] == output("call_1", "sunny in Oslo")


async def test_a_decision_for_every_call_is_honoured_later() -> None:
    """Without the scope the SDK would never honour it, nor any later approval of the tool."""
    from tests.model import call as calls

    effects: list[str] = []
    facts = document(decisions=[decision(None)])
    answers: list[Any] = [[calls(call_id="call_2", city="Bergen")], [said("Done.")]]
    result, _ = await _finish(facts, agent(AGENT, _ran(effects)), answers)
    assert effects == ["Oslo", "Bergen"]
    assert result.interruptions == []


async def test_a_rejection_reaches_the_model() -> None:
    effects: list[str] = []
    facts = document(decisions=[decision(verdict="reject", message="Too cold.")])
    _, requests = await _finish(facts, agent(AGENT, _ran(effects)), [[said("Ok.")]])
    assert effects == []
    assert requests[0]["input"][-1]["output"] == "Too cold."


async def test_a_call_that_is_done_does_not_run_again() -> None:
    effects: list[str] = []
    done, waits = call("call_0"), call("call_1", arguments='{"city":"Bergen"}')
    facts = document(done, waits, decisions=[decision()])
    facts["items"].append(item("tool_call_output_item", output("call_0"), executed=True))
    facts["interruptions"] = facts["interruptions"][1:]
    _, requests = await _finish(facts, agent(AGENT, _ran(effects)), [[said("Done.")]])
    assert effects == ["Bergen"]
    outputs = [entry for entry in requests[0]["input"] if "output" in entry]
    assert [entry["call_id"] for entry in outputs] == ["call_0", "call_1"]


async def test_every_handoff_call_gets_its_output() -> None:
    first, second = call("h_1", "transfer_to_b", "{}"), call("h_2", "transfer_to_b", "{}")
    facts = document(call(), first, second, decisions=[decision()])
    facts["items"] = [item("tool_call_item", call()), item("handoff_call_item", first)]
    facts["interruptions"] = facts["interruptions"][:1]
    handoffs = {name: {"tool_name": "transfer_to_b"} for name in ("h_1", "h_2")}
    facts["response"] = {"start": 0, "count": 2, "tools_used": [], "handoffs": handoffs}
    live = agent(AGENT, tool(), handoffs=(agent("b"),))
    _, requests = await _finish(facts, live, [[said("Done.")]])
    sent = requests[0]["input"]
    asked = {entry["call_id"] for entry in sent if entry.get("type") == "function_call"}
    answered = {entry["call_id"] for entry in sent if "output" in entry}
    assert asked == answered == {"call_1", "h_1", "h_2"}


async def test_a_handoff_of_typescript_finds_its_agent() -> None:
    handed = call("h_1", "transfer_to_Weather_Agent", "{}")
    facts = document(call(), handed, decisions=[decision()])
    facts["items"][1]["type"] = "handoff_call_item"
    facts["interruptions"] = facts["interruptions"][:1]
    facts["response"]["handoffs"] = {"h_1": {"tool_name": handed["name"]}}
    live = agent(AGENT, tool(), handoffs=(agent("Weather Agent"),))
    result, _ = await _finish(facts, live, [[said("Done.")]])
    assert result.last_agent.name == "Weather Agent"


def _nested() -> Json:
    inner = run(call("inner"), agent="weather")
    response = {"start": 0, "count": 1, "tools_used": ["ask"], "nested_runs": {"call_1": inner}}
    asked = call("call_1", "ask", '{"input":"Oslo?"}')
    return document(asked, response=response, interruptions=inner["interruptions"])


async def test_a_nested_run_goes_on_where_it_waits() -> None:
    effects: list[str] = []
    weather = agent("weather", _ran(effects))
    live = agent(AGENT, weather.as_tool("ask", "ask"))
    facts = _nested()
    facts["decisions"] = [decision("inner", tool=function("get_weather", "weather"))]
    from agents import RunConfig

    async with scripted([[said("Sunny.")], [said("It is sunny.")]]) as model:
        weather.model = model.provider.get_model("gpt-x")
        state = await load_run_state(facts, live)
        config = RunConfig(model_provider=model.provider)
        result = await Runner.run(live, state, run_config=config)
    assert effects == ["Oslo"]
    assert result.final_output == "It is sunny."


async def test_decisions_are_dumped() -> None:
    state = await load_run_state(document(), agent())
    state.approve(state.get_interruptions()[0])
    assert dump_run_state(state).document["decisions"] == [decision()]


def _with_residue() -> Json:
    patch = [{"op": "add", "path": "/currentAgentSpan", "value": None}]
    return document(residue={"typescript": {"patch": patch}})


async def test_a_dump_without_changes_is_the_loaded_document() -> None:
    facts = _with_residue()
    state = await load_run_state(facts, agent())
    assert dump_run_state(state) == Converted(facts)


async def test_added_decisions_keep_the_residue_of_the_other_language() -> None:
    facts = _with_residue()
    facts["decisions"] = [decision("past", "reject")]
    state = await load_run_state(facts, agent())
    state.approve(state.get_interruptions()[0])
    dumped = dump_run_state(state).document
    assert dumped["decisions"] == [decision(), decision("past", "reject")]
    assert dumped["residue"]["typescript"] == {
        **facts["residue"]["typescript"],
        "decisions": facts["decisions"],
    }
    assert {**dumped, "decisions": 0, "residue": 0} == {**facts, "decisions": 0, "residue": 0}


async def test_a_decision_that_was_changed_replaces_the_old_one() -> None:
    facts = _with_residue()
    facts["decisions"] = [decision(verdict="reject")]
    state = await load_run_state(facts, agent())
    state.approve(state.get_interruptions()[0])
    assert dump_run_state(state).document["decisions"] == [decision()]


async def test_a_run_that_went_on_is_written_anew() -> None:
    state = await load_run_state(_with_residue(), agent())
    state.add_input("And Bergen?")
    assert "typescript" not in dump_run_state(state).document["residue"]


async def test_what_is_remembered_goes_with_the_state() -> None:
    state = await load_run_state(_with_residue(), agent())
    key = id(state)
    assert key in sdk._loaded
    del state
    gc.collect()
    assert key not in sdk._loaded


def _decided_elsewhere(native: Json, *added: Json) -> Json:
    """A document of Python to which another writer added decisions."""
    facts = to_portable(native).document
    before = facts["decisions"]
    facts["residue"]["python"]["decisions"] = before
    return {**facts, "decisions": [*before, *added]}


async def test_decisions_added_elsewhere_are_recorded_in_the_old_snapshot() -> None:
    native = to_native(document()).document
    native["generated_prompt_cache_key"] = "kept"
    facts = _decided_elsewhere(native, decision())
    back = to_native(facts)
    assert back.document["generated_prompt_cache_key"] == "kept"
    assert back.document["context"]["function_tool_approvals"] == [
        {
            "agent": {"name": AGENT},
            "tool_key": "get_weather",
            "decision": {"approved": ["call_1"], "rejected": []},
        }
    ]
    assert back.lossy == ()
    effects: list[str] = []
    await _finish(facts, agent(AGENT, _ran(effects)), [[said("Done.")]])
    assert effects == ["Oslo"]


def test_nothing_added_gives_the_old_snapshot() -> None:
    native = to_native(document(decisions=[decision()])).document
    assert to_native(_decided_elsewhere(native)).document == native


def test_a_decision_added_inside_a_nested_run() -> None:
    facts = _nested()
    native = to_native(facts).document
    taken = decision("inner", tool=function("get_weather", "weather"))
    back = to_native(_decided_elsewhere(native, taken)).document
    assert "function_tool_approvals" not in back["context"]
    inner = back["last_processed_response"]["functions"][0]["agent_run_state"]
    assert inner["context"]["function_tool_approvals"][0]["decision"]["approved"] == ["inner"]
    assert (
        "function_tool_approvals"
        not in (native["last_processed_response"]["functions"][0]["agent_run_state"]["context"])
    )


def test_a_call_is_bound_when_it_is_decided() -> None:
    native = to_native(document()).document
    native["context"]["tool_invocations"] = {}
    context = to_native(_decided_elsewhere(native, decision())).document["context"]
    assert set(context["tool_invocations"]) == {"call_1"}


def test_the_owner_of_a_new_decision_has_its_identity() -> None:
    native = to_native(document()).document
    reference = {"name": AGENT, "identity": "assistant#2"}
    native["current_step"]["data"]["interruptions"][0]["agent"] = reference
    context = to_native(_decided_elsewhere(native, decision())).document["context"]
    assert context["function_tool_approvals"][0]["agent"] == reference


def _old(schema: str) -> Json:
    native = copy.deepcopy(to_native(document()).document)
    native["$schemaVersion"] = schema
    return native


@pytest.mark.parametrize("schema", ["1.0", "1.14", "1.15", "1.17", "1.18"])
@pytest.mark.parametrize("sticky", [False, True])
async def test_a_decision_added_to_an_old_snapshot_is_honoured(schema: str, sticky: bool) -> None:
    taken = decision(None) if sticky else decision()
    facts = _decided_elsewhere(_old(schema), taken)
    back = to_native(facts)
    owned = schema == "1.18"
    assert ("function_tool_approvals" in back.document["context"]) is owned
    assert back.lossy == (("/decisions/0",) if sticky and not owned else ())
    effects: list[str] = []
    await _finish(facts, agent(AGENT, _ran(effects)), [[said("Done.")]])
    assert effects == ["Oslo"]


def test_a_hosted_decision_added_to_an_old_snapshot() -> None:
    request = {
        "type": "mcp_approval_request",
        "id": "m",
        "server_label": "srv",
        "name": "search",
        "arguments": "{}",
    }
    facts = document(
        items=[item("mcp_approval_request_item", request)],
        interruptions=[{"item": request, "agent": AGENT, "tool_name": "search"}],
        responses=[],
    )
    native = {**to_native(facts).document, "$schemaVersion": "1.13"}
    taken = decision("m", tool={"kind": "mcp", "server_label": "srv", "name": "search"})
    context = to_native(_decided_elsewhere(native, taken)).document["context"]
    assert context["approvals"] == {"search": {"approved": ["m"], "rejected": []}}


async def test_the_document_is_left_alone() -> None:
    facts = document(context={"a": [1]}, context_type="mapping")
    before = copy.deepcopy(facts)
    state = await load_run_state(facts, agent())
    state._context.context["a"].append(2)  # type: ignore[union-attr]
    assert facts == before


async def test_the_callers_context_replaces_the_stored_one() -> None:
    facts = document(context_type="omitted")
    state = await load_run_state(facts, agent(), context={"user": 1})
    assert state._context is not None
    assert state._context.context == {"user": 1}
    with pytest.raises(CrossingError):
        await load_run_state(facts, agent())


async def test_messages_and_reasoning_without_ids_are_restored() -> None:
    bare = message()
    del bare["id"]
    facts = document(
        items=[
            item("reasoning_item", {"type": "reasoning", "summary": []}),
            item("message_output_item", bare),
            item("tool_call_item", call()),
        ],
        response={"start": 2, "count": 1, "tools_used": []},
    )
    state = await load_run_state(facts, agent())
    assert len(state._generated_items) == 4


async def test_an_item_the_sdk_drops_is_caught(caplog: pytest.LogCaptureFixture) -> None:
    native = to_native(document()).document
    ghost = {
        "type": "message_output_item",
        "raw_item": {"type": "message"},
        "agent": {"name": AGENT},
    }
    native["generated_items"] = [*native["generated_items"], ghost]
    with caplog.at_level(logging.CRITICAL), pytest.raises(LoadError) as caught:
        await load_run_state(to_portable(native).document, agent())
    assert (caught.value.code, caught.value.pointer) == ("self-check-failed", "/generated_items")


async def test_a_session_item_the_sdk_drops_is_caught() -> None:
    native = to_native(document()).document
    ghost = {"type": "input_item", "raw_item": {}, "agent": {"name": "ghost"}}
    native["session_items"] = [*native["session_items"], ghost]
    with pytest.raises(LoadError) as caught:
        await load_run_state(to_portable(native).document, agent())
    assert caught.value.pointer == "/session_items"


async def test_a_call_the_sdk_drops_is_caught() -> None:
    """A tool that is switched off: the SDK would skip the approved call."""
    live = agent(AGENT, tool(is_enabled=False))
    with pytest.raises(LoadError) as caught:
        await load_run_state(document(decisions=[decision()]), live)
    assert caught.value.code == "self-check-failed"
    assert caught.value.pointer == "/last_processed_response/functions"


async def test_a_hosted_request_the_sdk_drops_is_caught() -> None:
    request = {
        "type": "mcp_approval_request",
        "id": "m",
        "server_label": "srv",
        "name": "search",
        "arguments": "{}",
    }
    facts = document(
        items=[item("mcp_approval_request_item", request)],
        interruptions=[{"item": request, "agent": AGENT, "tool_name": "search"}],
        responses=[{"output": [request], "usage": document()["usage"]}],
    )
    config: Any = {"type": "mcp", "server_label": "srv", "server_url": "https://srv.invalid"}
    live = agent(AGENT, HostedMCPTool(tool_config=config))
    snapshot = to_native(facts, live).document
    await load_run_state(facts, live)
    snapshot["last_processed_response"]["mcp_approval_requests"][0]["mcp_tool"] = {}
    state = await RunState.from_json(live, copy.deepcopy(snapshot))
    with pytest.raises(LoadError) as caught:
        sdk.self_check(state, snapshot)
    assert caught.value.pointer == "/last_processed_response/mcp_approval_requests"


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("/current_step", lambda native: native["current_step"]["data"]["interruptions"].pop()),
        ("/current_agent", lambda native: native["current_agent"].update(name="other")),
        (
            "/context/tool_invocations",
            lambda native: native["context"]["tool_invocations"]["call_1"].update(completed=True),
        ),
    ],
)
async def test_any_difference_is_caught(place: str, change: Any) -> None:
    snapshot = copy.deepcopy(to_native(document()).document)
    state = await RunState.from_json(agent(), copy.deepcopy(snapshot))
    sdk.self_check(state, snapshot)
    change(snapshot)
    with pytest.raises(LoadError) as caught:
        sdk.self_check(state, snapshot)
    assert (caught.value.code, caught.value.pointer) == ("self-check-failed", place)


async def test_a_nested_run_the_sdk_drops_is_caught() -> None:
    facts = _nested()
    live = agent(AGENT, agent("weather").as_tool("ask", "ask"))
    await load_run_state(facts, live)
    snapshot = copy.deepcopy(to_native(facts).document)
    nested = snapshot["last_processed_response"]["functions"][0]["agent_run_state"]
    nested["$schemaVersion"] = "9.9"
    state = await RunState.from_json(live, copy.deepcopy(snapshot))
    with pytest.raises(LoadError, match="a nested run"):
        sdk.self_check(state, snapshot)


async def test_the_sdks_refusal_is_told() -> None:
    native = to_native(document()).document
    native["pending_session_write"] = {"session_id": 1}
    with pytest.raises(LoadError, match="pending Session write is invalid") as caught:
        await load_run_state(to_portable(native).document, agent())
    assert caught.value.code == "load-failed"


async def test_data_of_the_run_is_not_told() -> None:
    native = to_native(document()).document
    native["context"]["function_tool_approvals"] = [{"agent": {"name": "secret"}}]
    with pytest.raises(LoadError) as caught:
        await load_run_state(to_portable(native).document, agent())
    assert "secret" not in str(caught.value)


async def test_output_the_sdk_cannot_read_is_named() -> None:
    odd = {"type": "code_interpreter_call", "status": "completed"}
    facts = document()
    facts["responses"][0]["output"].append(odd)
    with pytest.raises(CrossingError) as caught:
        await load_run_state(facts, agent())
    assert (caught.value.code, caught.value.pointer) == (
        "unsupported-item",
        "/responses/0/output/1",
    )
