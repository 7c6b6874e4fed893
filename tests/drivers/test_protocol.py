"""What every driver owes the protocol, whatever it is asked."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from conformance.harness.schemas import ROOT, problem
from tests.drivers.conftest import PORTS, Bench

pytestmark = pytest.mark.anyio

_PYTHON_NOISE = """
import os, runpy, threading, time

def noise():
    while True:
        print("noise")
        os.system("echo noise")
        time.sleep(0.05)

threading.Timer(0.3, noise).start()
runpy.run_module("conformance.drivers.python", run_name="__main__")
"""
_NODE_NOISE = (
    "data:text/javascript,setTimeout(() => setInterval(() => "
    "{ console.log('noise'); console.info('noise'); process.stdout.write('noise\\n'); }, 20), 300)"
)
NOISY = {
    "python": (sys.executable, "-c", _PYTHON_NOISE),
    "typescript": ("node", "--import", _NODE_NOISE, "typescript/dist/driver.js"),
}


async def talk(command: tuple[str, ...], *lines: bytes, wait: float = 0) -> tuple[list[Any], int]:
    """Every reply to `lines`, written at once, and the exit code."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
        limit=32 * 1024 * 1024,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for line in lines[:-1]:
        process.stdin.write(line + b"\n")
    await process.stdin.drain()
    await asyncio.sleep(wait)
    process.stdin.write(lines[-1] + b"\n")
    async with asyncio.timeout(30):
        out, _ = await process.communicate(b"")
    assert process.returncode is not None
    return [json.loads(line) for line in out.splitlines()], process.returncode


def request(number: int, op: str, **args: Any) -> bytes:
    return json.dumps({"id": number, "op": op, "args": args}).encode()


async def test_hello_names_port_sdk_and_capabilities(port: str, bench: Bench) -> None:
    said = await bench.drivers[port].start()
    assert problem("driver", said, "ok.hello") is None
    assert said["port"]["language"] == port
    assert said["sdk"]["version"] == {"python": "0.24.0", "typescript": "0.20.0"}[port]
    assert said["sdk"]["schema"] == {"python": "1.21", "typescript": "1.22"}[port]
    assert "run.recover" not in said["capabilities"]


async def test_replies_are_in_order_and_bye_comes_last(port: str) -> None:
    replies, code = await talk(
        PORTS[port].command,
        request(1, "hello", protocol=1),
        request(2, "effects.read"),
        request(3, "no.such"),
        request(4, "run.recover", path="x"),
        request(5, "hello", protocol=2),
        request(6, "bye"),
    )
    assert code == 0
    assert [reply["id"] for reply in replies] == [1, 2, 3, 4, 5, 6]
    kinds = [(reply.get("err") or {}).get("kind") for reply in replies]
    assert kinds == [None, "protocol", "protocol", "unsupported", "protocol", None]
    assert all(problem("driver", reply, "reply") is None for reply in replies)


async def test_lines_that_are_no_request_are_told_so(port: str) -> None:
    long = b'{"id":1,"op":"ping","args":{"x":"' + b"x" * (16 * 1024 * 1024) + b'"}}'
    replies, code = await talk(
        PORTS[port].command,
        b"no json",
        b"[1]",
        b'{"id":1,"op":"ping","args":[]}',
        long,
        request(2, "ping"),
        request(3, "bye"),
    )
    assert code == 0
    codes = [(reply.get("err") or {}).get("code") for reply in replies]
    assert codes == ["not-json", "bad-request", "bad-request", "message-too-long", None, None]


async def test_a_line_may_hold_any_text(port: str) -> None:
    document = {"format": "\u2028\u2029\x85 \U0001f600", "version": "\ud800"}
    replies, _ = await talk(
        PORTS[port].command,
        json.dumps(
            {"id": "\u2028", "op": "ping", "args": {"document": document["format"]}},
            ensure_ascii=False,
        ).encode(),
        json.dumps(
            {
                "id": 2,
                "op": "state.convert",
                "args": {"payload": document, "from": "portable", "to": "native"},
            }
        ).encode(),
        request(3, "bye"),
    )
    assert [reply["id"] for reply in replies] == ["\u2028", 2, 3]
    assert replies[1]["err"]["kind"] == "implementation"


async def test_what_others_print_does_not_reach_stdout(port: str) -> None:
    replies, code = await talk(
        NOISY[port], request(1, "hello", protocol=1), request(2, "bye"), wait=2
    )
    assert code == 0
    assert [reply["id"] for reply in replies] == [1, 2]


async def test_the_end_of_input_ends_the_driver(port: str) -> None:
    replies, code = await talk(PORTS[port].command, request(1, "hello", protocol=1))
    assert code == 0
    assert [reply["id"] for reply in replies] == [1]
