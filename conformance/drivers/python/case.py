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
from .ids import numbered
from .protocol import Failure, required
from .tracing import trace

if TYPE_CHECKING:
    from agents import Agent
    from agents.models.interface import ModelProvider


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
    if not isinstance(args.get("session"), Mapping):
        return None
    session = SQLiteSession(name)
    stack.callback(session.close)
    await session.add_items(list(required(args["session"], "items", list)))
    return session


@dataclass
class Case:
    """One case of the suite. `state` is the run, once there is one, and `turn` its last turn."""

    catalogue: Catalogue
    ledger: Ledger
    provider: ModelProvider
    run_config: RunConfig
    session: Any
    workdir: Path
    _stack: AsyncExitStack
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

    async def read_session(self) -> dict[str, Any]:
        """What the session holds, as wire items."""
        if self.session is None:
            raise Failure("protocol", "no-session", "the case was opened without a session")
        return {"items": await self.session.get_items()}

    async def read_effects(self) -> dict[str, Any]:
        """What tools did since the case was opened."""
        return {"effects": self.ledger.entries}

    async def close(self) -> None:
        """Stops the MCP servers and closes what the case opened."""
        trace(on=False)
        await self._stack.aclose()
