"""The open case: its agents, its model, its session and its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents import RunConfig, RunState, SQLiteSession

from .catalogue import Catalogue
from .effects import Ledger
from .faults import disarm
from .ids import numbered
from .protocol import Failure, required
from .stores import Stores, keys
from .tracing import trace

if TYPE_CHECKING:
    from agents import Agent
    from agents.models.interface import ModelProvider

    from timestep import RunStateStore


def _provider(model: Mapping[str, Any], stack: AsyncExitStack) -> ModelProvider:
    """The port's own provider, all of whose models are at the case's server."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    from timestep import MultiModelProvider, MultiModelProviderMap, OllamaModelProvider

    base_url = required(model, "base_url", str)
    # A plain address needs no certificates, and reading them takes longer than most cases.
    transport = DefaultAsyncHttpxClient(verify=base_url.startswith("https:"))
    client = AsyncOpenAI(
        base_url=base_url,
        api_key=required(model, "api_key", str),
        max_retries=0,
        http_client=transport,
    )
    stack.push_async_callback(client.close)
    own = MultiModelProviderMap()
    server = base_url.removesuffix("/v1")
    own.add_provider("ollama", OllamaModelProvider(base_url=server, new_id=numbered()))
    provider = MultiModelProvider(own, openai_client=client, openai_use_responses=True)
    stack.push_async_callback(provider.aclose)
    return provider


async def _session(name: str, args: Mapping[str, Any], stack: AsyncExitStack) -> Any:
    given = args.get("session")
    if not isinstance(given, Mapping):
        return None
    if "location" in given:
        from timestep import Session

        own = Session(required(given, "id", str), location=given["location"], keys=keys(given))
        stack.push_async_callback(own.aclose)
        session: Any = own
    else:
        session = SQLiteSession(name)
        stack.callback(session.close)
    if items := given.get("items"):
        await session.add_items(list(items))
    return session


def _stores(args: Mapping[str, Any], agent: Any, stack: AsyncExitStack) -> Stores | None:
    given = args.get("store")
    if not isinstance(given, Mapping):
        return None
    stores = Stores(given, agent)
    stack.push_async_callback(stores.aclose)
    return stores


@dataclass
class Case:
    """One case of the suite. `state` is the run, once there is one, and `turn` its last turn."""

    catalogue: Catalogue
    ledger: Ledger
    provider: ModelProvider
    run_config: RunConfig
    session: Any
    stores: Stores | None
    workdir: Path
    _stack: AsyncExitStack
    files: dict[Path, RunStateStore[Any]] = field(default_factory=dict)
    state: RunState[Any, Any] | None = field(default=None)
    turn: int = field(default=0)

    @classmethod
    async def open(cls, args: Mapping[str, Any]) -> Case:
        """A case from the arguments of `case.open`. Its MCP servers are running."""
        tracing = bool(args.get("tracing"))
        ledger = Ledger()
        try:
            catalogue = Catalogue(required(args, "agents", dict), ledger)
        except (KeyError, TypeError) as error:
            raise Failure("protocol", "bad-agents", f"no agents can be made: {error!r}") from error
        async with AsyncExitStack() as stack:
            if catalogue.mcp_servers:
                from agents.mcp import MCPServerManager

                # Servers have to be closed by the task that opened them, which the manager sees to.
                await stack.enter_async_context(
                    MCPServerManager(
                        catalogue.mcp_servers,
                        connect_timeout_seconds=60,
                        connect_in_parallel=True,
                        strict=True,
                    )
                )
            trace(on=tracing)
            return cls(
                catalogue=catalogue,
                ledger=ledger,
                provider=_provider(required(args, "model", dict), stack),
                run_config=RunConfig(tracing_disabled=not tracing),
                session=await _session(required(args, "case", str), args, stack),
                stores=_stores(args, catalogue.root, stack),
                workdir=Path(required(args, "workdir", str)),
                _stack=stack.pop_all(),
            )

    @property
    def agent(self) -> Agent[Any]:
        """The agent a run starts at."""
        return self.catalogue.root

    def paused(self) -> RunState[Any, Any]:
        """The run's state. Raises `Failure` where there is no run yet."""
        if self.state is None:
            raise Failure("protocol", "no-run", "the case has no run yet")
        return self.state

    @property
    def stored(self) -> Stores:
        """The stores of the case. Raises `Failure` where it has none."""
        if self.stores is None:
            raise Failure("protocol", "no-store", "the case was opened without a store")
        return self.stores

    @property
    def conversation(self) -> Any:
        """The session of the case. Raises `Failure` where it has none."""
        if self.session is None:
            raise Failure("protocol", "no-session", "the case was opened without a session")
        return self.session

    async def read_effects(self) -> dict[str, Any]:
        """What tools did since the case was opened."""
        return {"effects": self.ledger.entries}

    async def close(self) -> None:
        """Stops the MCP servers and closes what the case opened."""
        trace(on=False)
        disarm()
        for store in self.files.values():
            await store.aclose()
        await self._stack.aclose()
