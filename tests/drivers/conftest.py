"""Both drivers as processes, and a model for them to talk to."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.harness import cassette, ports, script
from conformance.harness.driver import Driver
from conformance.harness.schemas import ROOT
from conformance.harness.server import CassetteServer, Session
from conformance.harness.transcript import Transcript
from tests.model import Turn

PORTS = {port.name: port for port in ports.load()}
CATALOGUE = ROOT / "conformance" / "agents"

_number = itertools.count()


def catalogue(name: str) -> dict[str, Any]:
    """A file of the agents catalogue."""
    loaded: dict[str, Any] = yaml.safe_load((CATALOGUE / f"{name}.yaml").read_text())
    return loaded


@dataclass
class OpenCase:
    """A case that is open in a driver."""

    driver: Driver
    session: Session

    async def __call__(self, op: str, **args: Any) -> dict[str, Any]:
        return await self.driver.call(op, args)

    @property
    def requests(self) -> list[Any]:
        """The body of every request the model saw."""
        return [request.body for request in self.session.player.requests]


@dataclass
class Bench:
    """Both drivers and the server their models live on."""

    drivers: Mapping[str, Driver]
    server: CassetteServer
    folder: Path

    @asynccontextmanager
    async def case(
        self, port: str, agents: str | dict[str, Any], turns: Sequence[Turn] = (), **args: Any
    ) -> AsyncIterator[OpenCase]:
        """A case with agents of the catalogue and a model that answers with `turns`."""
        name = f"case-{next(_number)}"
        played = None
        if turns:
            played = cassette.parse(
                name, script.expand(name, {"at": "2026-01-01", "turns": list(turns)})
            )
        session = self.server.open(name, played)
        driver = self.drivers[port]
        opened = {
            "case": name,
            "agents": catalogue(agents) if isinstance(agents, str) else agents,
            "model": {"base_url": session.base_url, "api_key": "none"},
            "workdir": str(self.folder),
        }
        await driver.call("case.open", opened | args)
        yield OpenCase(driver, session)
        await driver.call("case.close", {})
        assert self.server.close(name).problems() == []


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Drivers outlive a test, and so does the loop that talks to them."""
    return "asyncio"


@pytest.fixture(scope="session")
async def bench(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bench]:
    """Two drivers that stay open for all tests."""
    drivers = {name: Driver(port, Transcript()) for name, port in PORTS.items()}
    async with CassetteServer() as server:
        yield Bench(drivers, server, tmp_path_factory.mktemp("cases"))
        for driver in drivers.values():
            await driver.close()


@pytest.fixture(params=sorted(PORTS))
def port(request: pytest.FixtureRequest) -> str:
    """The name of a port."""
    return str(request.param)
