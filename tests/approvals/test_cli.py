"""`timestep approvals`: what it prints and refuses, alike in both ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest

from tests.approvals.conftest import KINDS
from tests.approvals.runs import RUN, finished, greeting_agent, told, waiting
from tests.model import call, weather_agent
from timestep import Approvals

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
]

ROOT = Path(__file__).parents[2]
PORTS = {
    "python": [sys.executable, "-m", "timestep.cli"],
    "typescript": ["node", str(ROOT / "typescript" / "dist" / "cli" / "main.js")],
}
KEYS = f"one:{'A' * 43}="
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
SCHEMA = jsonschema_rs.Draft202012Validator(
    json.loads((ROOT / "schemas" / "approvals.schema.json").read_bytes()), validate_formats=True
)


def timestep(port: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of the command of a port, as a process."""
    dropped = ("TIMESTEP_USER", "TIMESTEP_LOCATION", "TIMESTEP_ENCRYPTION_KEYS", "COLUMNS")
    inherited = {key: value for key, value in os.environ.items() if key not in dropped}
    return subprocess.run(
        [*PORTS[port], *arguments],
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        env={**inherited, "TIMESTEP_USER": "ada", **environment},
        timeout=60,
    )


@pytest.fixture(params=PORTS)
def port(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def greeting(call_id: str, arguments: Any) -> dict[str, Any]:
    """A call of the tool `greet`: with arguments as JSON, or as any text."""
    return {**call("greet", call_id), "arguments": arguments}


def shell(command: str) -> str:
    """What a shell command says on standard error."""
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True).stderr


def printed(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def both(*arguments: str, **environment: str) -> str:
    """What both ports print, which is the same."""
    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda port: timestep(port, *arguments, **environment), PORTS)
        python, typescript = done
    assert (python.returncode, python.stderr) == (typescript.returncode, typescript.stderr)
    assert python.stdout == typescript.stdout
    return python.stdout or python.stderr


async def test_a_new_user_lists_shows_and_approves(port: str, folder: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    listed = printed(timestep(port, "approvals", "list", TIMESTEP_LOCATION=folder))
    assert listed[0] == "No call waits for a decision."
    assert "RunStateStore" in " ".join(listed)
    await waiting(folder, agent)

    head, row, *more = printed(timestep(port, "approvals", "list", "--location", folder))
    assert head.split() == ["RUN", "CALL", "AGENT", "TOOL", "ASKED", "DIGEST", "ARGUMENTS"]
    assert re.fullmatch(
        rf"run  call_1  Weather  get_weather  {TIME}  [0-9a-f]{{12}}  {{\"city\":\"Oslo\"}}", row
    )
    assert row.index("call_1") == head.index("CALL")
    assert row.index('{"') == head.index("ARGUMENTS")
    assert "timestep approvals approve RUN CALL" in " ".join(more)

    shown = printed(timestep(port, "approvals", "show", RUN, "--location", folder))
    assert shown[:4] == [
        "Run        run",
        "Call       call_1",
        "Agent      Weather",
        "Tool       get_weather (function)",
    ]
    assert "Status     waits for a decision" in shown
    at = shown.index("Arguments")
    assert shown[at + 1 : at + 4] == ["  {", '    "city": "Oslo"', "  }"]
    [command] = [line for line in shown if line.startswith("Decide it: ")]
    words = command.removeprefix("Decide it: timestep ").split()
    assert words[-2:] == ["--location", folder]

    [first, second, third] = printed(timestep(port, *words))
    assert re.fullmatch(rf"call_1 of run run: approved by ada at {TIME}", first)
    assert second == '  get_weather {"city":"Oslo"}'
    assert third == "It is applied when the run is loaded."
    listed = printed(timestep(port, "approvals", "list", "--location", folder))
    assert listed[-1] == "1 decided call has not been applied yet: timestep approvals list --all"
    await finished(folder, agent)
    assert calls == ["Oslo"]

    head, row, *_ = printed(timestep(port, "approvals", "list", "--all", "--location", folder))
    assert "STATUS" in head
    assert re.search(rf"  approved by ada at {TIME}, applied  {{\"city\"", row)
    again = timestep(port, *words)
    assert again.returncode == 1
    assert again.stdout == ""
    assert again.stderr == (
        "error[approval-not-found]: call call_1 of run run was resolved: its run has gone on\n"
        "hint: List what waits with `timestep approvals list`.\n"
    )


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_every_option_of_a_decision_is_taken(port: str, decision: str, folder: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    await waiting(folder, agent)
    async with Approvals(folder) as inbox:
        digest = (await inbox.get(RUN)).arguments_digest
    options = ["--digest", digest[:8], "--always", "--message", "Grüße 🌦", "--expires", "2h"]
    done = timestep(
        port, "approvals", decision, RUN, "call_1", *options, "--by", "Zoë", "--location", folder
    )
    assert re.search(
        rf"call_1 of run run: {decision}\w+ always by Zoë at {TIME}, until {TIME}", done.stdout
    ), done.stderr
    async with Approvals(folder) as inbox:
        found = await inbox.get(RUN, "call_1")
    assert (found.decision, found.always, found.message) == (decision, True, "Grüße 🌦")
    assert found.expires_at is not None
    assert abs(found.expires_at - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=5)
    requests = await finished(folder, agent)
    assert calls == (["Oslo"] if decision == "approve" else [])
    assert told(requests) == ["Oslo is sunny" if decision == "approve" else "Grüße 🌦"]


async def test_both_ports_print_the_same_of_the_same_store(many: str) -> None:
    texts = {
        "plain": "Oslo",
        "none": "",
        "escape": "\x1b[31mred\x1b]0;title\x07 \x9b2J",
        "bidi": "abc\u202egnp.exe \u200b",
        "emoji": "👩\u200d🔬 \U0001f327 ไทย 中文",
        "quote": "a \"b\" 'c' \\ \n\t end",
        "long": "long " * 100,
    }
    agent = greeting_agent([])
    for name, text in texts.items():
        await waiting(many, agent, [greeting(f"call {name}", {"name": text})], run_id=f"the {name}")
    raw = [
        '{"name": 1.50, "x": [1, {}, []], "big": 12345678901234567890}',
        "no { json\n\x1b[2J",
        "",
        r'{"name": "\u00c5s \ud83c\udf26 \u001b[2J"}',
    ]
    for number, text in enumerate(raw):
        written = [greeting(f"raw_{number}", text)]
        await waiting(many, agent, written, run_id=f"raw {number}")
    async with Approvals(many) as inbox:
        await inbox.approve("the plain", by="ada", expires=timedelta(days=1))
        await inbox.reject("the bidi", by="Zoë\u200d", message="no\x1b[1m\nnever", always=True)
        assert len(await inbox.list()) == 11
    at = ("--location", many)

    for width in ("80", "wide"):
        listed = both("approvals", "list", *at, COLUMNS=width)
        assert len(listed.splitlines()) == 14
    everything = both("approvals", "list", "--all", *at)
    assert "approved by ada" in everything
    shown = "".join(
        both("approvals", "show", f"the {name}", f"call {name}", *at)
        for name in ("escape", "emoji")
    )
    shown += "".join(both("approvals", "show", f"raw {number}", *at) for number in range(len(raw)))
    for text in (listed, everything, shown):
        assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]", text) == []
    assert "\\u001b[31mred" in shown
    assert '    "name": 1.50,' in shown
    assert "12345678901234567890" in shown
    assert r'"Ås 🌦 \u001b[2J"' in shown
    assert "👩\u200d🔬 \U0001f327 ไทย 中文" in shown

    for arguments in (["list"], ["list", "--all"], ["show", "the bidi", "call bidi"]):
        value = json.loads(text := both("approvals", *arguments, "--json", *at))
        SCHEMA.validate(value)
        assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text) == []
    assert json.loads(value["arguments"]) == {"name": texts["bidi"]}
    assert value["message"] == "no\x1b[1m\nnever"
    assert (value["decision"], value["decided_by"], value["waits"]) == (
        "reject",
        "Zoë\u200d",
        False,
    )


@pytest.mark.parametrize("many", KINDS[1:], indirect=True)
async def test_json_of_a_decision_is_the_decided_call(port: str, many: str) -> None:
    await waiting(many, weather_agent([]))
    done = timestep(port, "approvals", "reject", RUN, "--json", "--location", many)
    value = json.loads(done.stdout)
    SCHEMA.validate(value)
    assert (value["decision"], value["decided_by"], value["message"]) == ("reject", "ada", None)
    assert value["waits"] is False


async def test_what_is_refused_is_the_same_text_and_exit_code_1(folder: str) -> None:
    agent = weather_agent([])
    await waiting(folder, agent, [call(), call(call_id="call_2\x1b[2J")])
    at = ("--location", folder)
    several = "error[approval-not-found]: 2 calls of run run wait: call_1, call_2\\u001b[2J\n"
    expected: dict[tuple[str, ...], str] = {
        ("approve", "other", "call_1"): "error[approval-not-found]: there is no run other\n",
        ("show", RUN, "call_3"): "error[approval-not-found]: run run has no call call_3\n",
        ("approve", RUN): several,
        ("list", "other"): "error[approval-not-found]: there is no run other\n",
        ("reject", RUN, "call_1", "--digest", "0" * 64): "error[approval-mismatch]: ",
    }
    for arguments, words in expected.items():
        done = [timestep(port, "approvals", *arguments, *at) for port in PORTS]
        assert [each.returncode for each in done] == [1, 1]
        assert done[0].stderr == done[1].stderr
        assert done[0].stderr.startswith(words)
        assert "\nhint: " in done[0].stderr
        assert [each.stdout for each in done] == ["", ""]
    timestep("python", "approvals", "approve", RUN, "call_1", *at)
    refused = both("approvals", "reject", RUN, "call_1", *at)
    assert re.match(
        r"error\[already-decided\]: call call_1 of run run was approved by ada at [-\d]+T[:.\d]+Z\n"
        r"hint: The first decision stands",
        refused,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("mend",),
        ("approve",),
        ("show",),
        ("list", "one", "two"),
        ("list", "--always"),
        ("approve", "run", "call", "--mess", "x"),
        ("approve", "run", "call", "--message"),
        ("approve", "run", "call", "--digest", "abc"),
        ("approve", "run", "call", "--expires", "soon"),
        ("approve", "run", "call", "--expires", "0s"),
        ("approve", "run", "call", "--expires", "2020-01-01T00:00:00Z"),
        ("approve", "run", "call", "--expires", "2999-02-30T00:00:00Z"),
        ("approve", "run", "call", "--expires", "2999-01-01T00:00:00"),
        ("approve", "run", "call", "--by", ""),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(port: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    at = () if len(arguments) < 2 else ("--location", str(tmp_path))
    done = timestep(port, "approvals", *arguments, *at)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: timestep approvals")
    assert "Traceback" not in done.stderr


def test_help_is_there(port: str) -> None:
    assert "approvals" in timestep(port, "--help").stdout
    for arguments in (["approvals", "-h"], *(["approvals", each, "--help"] for each in ACTIONS)):
        done = timestep(port, *arguments)
        assert done.returncode == 0
        assert done.stdout.startswith("usage: timestep approvals")
    assert set(re.findall(r"--\w+", done.stdout)) >= OPTIONS
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", timestep(port, "--version").stdout)


ACTIONS = ("list", "show", "approve", "reject")
OPTIONS = {"--location", "--json", "--digest", "--always", "--message", "--expires", "--by"}


@pytest.mark.parametrize("many", KINDS[1:], indirect=True)
async def test_of_processes_that_decide_at_once_one_wins(many: str) -> None:
    agent = weather_agent([])
    for number in range(2):
        await waiting(many, agent, run_id=f"run-{number}")

    def decide(number: int, port: str, decision: str) -> subprocess.CompletedProcess[str]:
        by = ("--by", f"{port} {decision}", "--location", many)
        return timestep(port, "approvals", decision, f"run-{number}", "call_1", *by)

    with ThreadPoolExecutor() as pool:
        for number in range(2):
            each = [("python", "approve"), ("typescript", "reject"), ("typescript", "approve")]
            done = list(pool.map(lambda one, number=number: decide(number, *one), each))
            assert sorted(one.returncode for one in done) == [0, 1, 1]
            async with Approvals(many) as inbox:
                who = (await inbox.get(f"run-{number}", "call_1")).decided_by
            assert who is not None
            for one in done:
                assert f"by {who} at" in one.stdout + one.stderr


async def test_sealed_arguments_are_shown_with_the_key_alone(port: str, folder: str) -> None:
    calls: list[str] = []
    agent = weather_agent(calls)
    keys = {"one": bytes(32)}
    await waiting(folder, agent, keys=keys)
    at = ("--location", folder)
    assert "  (sealed)" in both("approvals", "list", *at)
    assert "Arguments  sealed" in both("approvals", "show", RUN, *at)
    assert json.loads(both("approvals", "show", RUN, "--json", *at))["arguments"] is None
    assert '"city": "Oslo"' in both("approvals", "show", RUN, *at, TIMESTEP_ENCRYPTION_KEYS=KEYS)
    wrong = timestep(port, "approvals", "list", *at, TIMESTEP_ENCRYPTION_KEYS="nonsense")
    assert wrong.returncode == 2
    assert "TIMESTEP_ENCRYPTION_KEYS" in wrong.stderr
    reject = ("approvals", "reject", RUN, "--message", "secret")
    printed(timestep(port, *reject, *at, TIMESTEP_ENCRYPTION_KEYS=KEYS))
    assert "secret" not in both("approvals", "show", RUN, "call_1", *at)
    shown = both("approvals", "show", RUN, "call_1", *at, TIMESTEP_ENCRYPTION_KEYS=KEYS)
    assert "Message    secret" in shown
    assert told(await finished(folder, agent, keys=keys)) == ["secret"]
    assert calls == []


async def test_a_reader_that_leaves_early_is_no_trace(port: str, folder: str) -> None:
    await waiting(folder, weather_agent([]))
    command = " ".join([*PORTS[port], "approvals", "list", "--location", folder])
    assert shell(f"{command} | true") == ""


def test_listing_loads_no_sdk_no_validator_and_no_driver(tmp_path: Path) -> None:
    code = f"""
import sys
from timestep.cli import main
assert main(["approvals", "list", "--location", {str(tmp_path)!r}]) == 0
heavy = ("agents", "openai", "pydantic", "jsonschema_rs", "psycopg", "cryptography", "ollama")
print(*(name for name in heavy if name in sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


def test_listing_in_typescript_loads_no_package_at_all(tmp_path: Path) -> None:
    hook = """
export async function resolve(specifier, context, next) {
  if (!/^(node:|file:|[./]|data:)/.test(specifier)) throw new Error('loaded ' + specifier);
  return next(specifier, context);
}"""
    loader = f"data:text/javascript,{quote(hook)}"
    node, script = PORTS["typescript"]
    done = subprocess.run(
        [node, "--no-warnings", "--experimental-loader", loader, script, "approvals", "list"],
        capture_output=True,
        text=True,
        env={**os.environ, "TIMESTEP_LOCATION": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
