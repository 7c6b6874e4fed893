"""Asking a model through the drivers: what cases cannot say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conformance.harness.driver import Driver, Limits
from conformance.harness.errors import DriverTimeout, PortError
from conformance.harness.transcript import Transcript
from tests.drivers.conftest import PORTS, Bench

pytestmark = pytest.mark.anyio


async def test_the_environment_is_put_back(port: str, bench: Bench) -> None:
    driver = bench.drivers[port]

    async def host(**env: str | None) -> Any:
        return (await driver.call("model.route", {"name": "ollama/m", "env": env}))["host"]

    before = await host()
    assert await host(OLLAMA_HOST="http://box:1") == "http://box:1"
    assert await host(OLLAMA_HOST=None) == "http://127.0.0.1:11434"
    with pytest.raises(PortError):
        await driver.call("model.route", {"name": "", "env": {"OLLAMA_HOST": "http://box:1"}})
    assert await host() == before


async def test_tools_of_the_model_service_are_known_or_refused(port: str, bench: Bench) -> None:
    driver = bench.drivers[port]
    asked = {"model": "ollama/m", "input": "Hi", "base_url": "http://127.0.0.1:1"}
    for kind in ("web_search", "file_search"):
        with pytest.raises(PortError, match=kind) as error:
            await driver.call("model.call", {**asked, "hosted_tools": [kind]})
        assert error.value.code == "unsupported-tool"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_request_closes_its_connection(port: str, stream: bool) -> None:
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Node opens another connection in place of the one it cut, and sends nothing there.
        asked = await reader.read(4096)
        if asked and stream:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n")
        while await reader.read(4096):
            pass
        if asked:
            closed.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    driver = Driver(PORTS[port], Transcript(), Limits(grace=5.0))
    await driver.start()
    asked = {"model": "ollama/m", "input": "Hi", "base_url": address, "stream": stream}
    with pytest.raises(DriverTimeout) as error:
        await driver.call("model.call", asked, deadline=1.5)
    assert error.value.killed == "cancelled"
    async with asyncio.timeout(5):
        await closed.wait()
    await driver.close()
    server.close()
