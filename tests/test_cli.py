"""The timestep command: what it prints, how it refuses, and that it needs no SDK."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agents import RunState

from tests.model import call, message, scripted, weather_agent
from timestep import run_agent
from timestep.cli import main
from timestep.state import digest, to_native, to_portable, validate

pytestmark = pytest.mark.anyio


async def paused(*, decide: bool = False) -> RunState[Any]:
    """The state of a run with one call done and one waiting."""
    async with scripted([[message("Let me look."), call(call_id="call_9")]]) as model:
        result = await run_agent(
            weather_agent([]),
            "Weather in Oslo, please",
            model_provider=model.provider,
            context={"user": "ada"},
        )
    state = result.to_state()
    if decide:
        state.reject(state.get_interruptions()[0], rejection_message="not today")
    return state


async def completed() -> RunState[Any]:
    async with scripted([[message("Done")]]) as model:
        result = await run_agent(weather_agent([]), "Hi", model_provider=model.provider)
    return result.to_state()


@pytest.fixture
async def native(tmp_path: Path, anyio_backend: str) -> Path:
    path = tmp_path / "native.json"
    path.write_text((await paused()).to_string())
    return path


@pytest.fixture
async def portable(tmp_path: Path, anyio_backend: str) -> Path:
    path = tmp_path / "portable.json"
    path.write_text(json.dumps(to_portable((await paused()).to_json()).document))
    return path


def test_inspect_shows_what_a_person_wants_to_know(
    portable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(portable)]) == 0
    shown = capsys.readouterr().out.splitlines()
    writer = json.loads(portable.read_bytes())["writer"]
    assert shown[0] == (
        f"Portable run state by timestep {writer['port_version']} "
        f"(openai-agents {writer['sdk_version']}, schema {writer['sdk_schema']})"
    )
    assert shown[1:] == [
        "Status    waits for 1 decision",
        "Agent     Weather",
        "Turn      1 of 10",
        'Context   {"user": "ada"} (mapping)',
        "",
        "Waiting",
        "  get_weather  (agent Weather, call call_9)",
        "    {",
        '      "city": "Oslo"',
        "    }",
        "",
        "History",
        "  user     Weather in Oslo, please",
        "  Weather  Let me look.",
        '  Weather  calls get_weather {"city": "Oslo"}',
        "",
        "Usage     1 request; tokens: 10 in, 5 out, 15 in all",
        "Crossing  written in Python, can go on in TypeScript too",
    ]


async def test_inspect_shows_decisions_of_a_raw_snapshot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "native.json"
    path.write_text((await paused(decide=True)).to_string())
    assert main(["inspect", str(path), "--history", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Raw openai-agents snapshot (schema 1.21)\n")
    assert "everything is decided" in shown
    assert "  get_weather  (agent Weather, call call_9, rejected)" in shown
    assert "rejected  get_weather  (agent Weather, call call_9): not today" in shown
    assert "  ... 2 entries before\n" in shown


async def test_inspect_shows_the_output_of_a_completed_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "done.json"
    path.write_text((await completed()).to_string())
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "Status    completed\n" in shown
    assert "Output    Done\n" in shown
    assert "Crossing" not in shown


def test_inspect_says_what_cannot_cross_and_why(
    portable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(portable.read_bytes())
    document["cannot_cross"] = [
        {"code": "sandbox-state", "pointer": "/sandbox", "message": "it holds a sandbox"}
    ]
    portable.write_text(json.dumps(document))
    assert main(["inspect", str(portable)]) == 0
    shown = capsys.readouterr().out
    assert "Can only go on in Python:\n  sandbox-state: it holds a sandbox (at /sandbox)" in shown


def test_inspect_keeps_control_characters_from_the_terminal(
    portable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(portable.read_bytes())
    document["input"] = "\x1b[31mred \ud83d"
    portable.write_text(json.dumps(document))
    assert main(["inspect", str(portable)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[31mred" in shown


def test_inspect_prints_json_for_programs(native: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(native), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["status"] == "interrupted"
    assert summary["interruptions"] == [
        {
            "call_id": "call_9",
            "tool": "get_weather",
            "agent": "Weather",
            "arguments": {"city": "Oslo"},
        }
    ]
    assert summary["cannot_cross"] == []
    assert summary["digest"] == digest(to_portable(json.loads(native.read_bytes())).document)


def test_validate_says_what_it_is(portable: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(portable)]) == 0
    shown = capsys.readouterr().out.splitlines()
    document = json.loads(portable.read_bytes())
    assert shown == [
        f"{portable}: a portable run state",
        "version 1, interrupted",
        f"digest  {digest(document)}",
    ]


def test_validate_names_the_place(portable: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(portable.read_bytes())
    document["current_turn"] = "one"
    portable.write_text(json.dumps(document))
    assert main(["validate", str(portable)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[0].startswith("error[malformed]: ")
    assert lines[1] == "at: /current_turn"
    assert lines[2].startswith("hint: ")


def test_validate_names_a_raw_snapshot(native: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(native)]) == 1
    assert "error[not-a-run-state]" in capsys.readouterr().err


def test_convert_goes_to_the_other_form_and_back(
    native: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    document = tmp_path / "document.json"
    assert main(["convert", str(native), "--output", str(document)]) == 0
    validate(json.loads(document.read_bytes()))
    assert document.stat().st_mode & 0o777 == 0o600
    assert main(["convert", str(document)]) == 0
    assert json.loads(capsysbinary.readouterr().out) == json.loads(native.read_bytes())


def test_convert_to_the_form_it_has_changes_nothing(
    portable: Path, native: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for path, form in ((portable, "portable"), (native, "python")):
        assert main(["convert", str(path), "--to", form]) == 0
        assert json.loads(capsysbinary.readouterr().out) == json.loads(path.read_bytes())


def test_convert_lists_what_does_not_come_along(
    native: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = json.loads(native.read_bytes())
    snapshot["trace"] = {
        "object": "trace",
        "id": "trace_1",
        "workflow_name": "w",
        "group_id": None,
        "metadata": None,
        "tracing_api_key": "secret",
    }
    native.write_text(json.dumps(snapshot))
    assert main(["convert", str(native)]) == 0
    printed = capsys.readouterr()
    assert "not carried over: /trace/tracing_api_key" in printed.err
    assert "secret" not in printed.out


def test_convert_names_a_snapshot_only_typescript_converts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ts.json"
    path.write_text('{"$schemaVersion": "1.22", "currentTurn": 1}')
    assert main(["convert", str(path)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error[foreign-writer]: ")
    assert "raw @openai/agents snapshot (schema 1.22)" in printed
    assert "toPortable" in printed


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.json"
    assert main(["inspect", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error[state-not-found]: no file {path}\n")


def test_a_folder_is_an_error_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: Is a directory: {tmp_path}\n"


def test_a_dash_reads_standard_input(
    portable: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(portable.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["validate", "-"]) == 0
    assert capsys.readouterr().out.startswith("standard input: a portable run state")


@pytest.mark.parametrize(
    "arguments", [[], ["inspect"], ["mend", "x"], ["convert", "x", "--to", "go"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("command", ["inspect", "validate", "convert"])
def test_the_installed_command_needs_no_sdk(portable: Path, command: str) -> None:
    code = f"""
import sys
sys.modules["agents"] = sys.modules["openai"] = None
from timestep.cli import main
sys.exit(main([{command!r}, {str(portable)!r}]))
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_reader_that_leaves_early_is_no_traceback(portable: Path) -> None:
    command = f"{sys.executable} -m timestep.cli convert {portable} | true"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stderr == ""


def test_a_converted_snapshot_is_what_the_port_converts(portable: Path) -> None:
    document = json.loads(portable.read_bytes())
    assert to_native(document).document["current_turn"] == document["current_turn"]
