"""Recorded answers of Ollama and OpenAI through both ports, and into the other port's run items.

An answer is played by the cassette server, byte for byte. What each port makes of it has to be
equal, and hold everything of the recording that a person or a tool sees. The items of OpenAI's
answers then go into a run state of one port and through the other port's.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.harness import answer, match
from conformance.harness.cassette import Cassette, Interaction, Provenance
from conformance.harness.driver import Driver
from conformance.harness.errors import CaseError, DriverError, PortError
from conformance.harness.ports import Port
from conformance.harness.server import CassetteServer
from conformance.harness.transcript import Transcript

from .exchanges import Exchange, Unreadable, exchanges
from .outcome import REFUSALS
from .seen import expected, seen

Json = dict[str, Any]

_PATHS = {
    "ollama-chat": "/api/chat",
    "openai-responses": "/responses",
    "openai-chat": "/chat/completions",
}
_RUN_ITEMS = {
    "message": "message_output_item",
    "reasoning": "reasoning_item",
    "compaction": "compaction_item",
    "mcp_list_tools": "mcp_list_tools_item",
    "mcp_approval_request": "mcp_approval_request_item",
    "tool_search_call": "tool_search_call_item",
    "tool_search_output": "tool_search_output_item",
    **dict.fromkeys(("shell_call_output", "program_output"), "tool_call_output_item"),
}
_NOT_COMPLETED = frozenset({"incomplete", "failed", "cancelled"})
"""Both SDKs take a response of such a status for a failure, what it holds or not."""

_OTHER = {"python": "typescript", "typescript": "python"}
_USAGE: Json = {
    "requests": 1,
    "input_tokens": 1,
    "output_tokens": 1,
    "total_tokens": 2,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
    "entries": [],
}


@dataclass(frozen=True)
class Result:
    """What became of a recording: `problem` None where all is as it has to be.

    `refused` is the code where its items are bound to a language by the table of
    docs/run-state.md, and `failed` the one where there was no whole answer to convert.
    """

    exchange: Exchange
    problem: str | None = None
    refused: str | None = None
    failed: str | None = None


def table(results: list[Result]) -> list[str]:
    """Counts by source and API, as lines of text."""
    lines = []
    keys = sorted({(each.exchange.source, each.exchange.api) for each in results})
    for source, api in keys:
        own = [
            each for each in results if (each.exchange.source, each.exchange.api) == (source, api)
        ]
        bad = sum(1 for each in own if each.problem)
        told = [f"{len(own) - bad} of {len(own)} as recorded"]
        for word in ("failed", "refused"):
            codes = Counter(code for each in own if (code := getattr(each, word)))
            told += [f"{count} {word} with {code}" for code, count in codes.most_common()]
        lines.append(f"  {source:<26}{api:<18}{', '.join(told)}")
    return lines


async def run(
    folder: Path, ports: Mapping[str, Port], *, lanes: int = 2, every: int = 1
) -> tuple[list[Result], list[Unreadable]]:
    """Each `every`-th exchange with what went wrong, and what could not be read."""
    found = list(exchanges(folder))
    readable = [each for each in found if isinstance(each, Exchange)][::every]
    queue = iter(enumerate(readable))
    results: list[Result] = []

    async def work(server: CassetteServer) -> None:
        transcript = Transcript()
        drivers = {name: Driver(port, transcript) for name, port in ports.items()}
        try:
            for number, each in queue:
                judge = _Judge(each, drivers, server, f"r{number}")
                results.append(await judge.result())
                transcript.take()
        finally:
            for driver in drivers.values():
                await driver.close()

    async with CassetteServer() as server:
        await asyncio.gather(*(work(server) for _ in range(lanes)))
    return results, [each for each in found if isinstance(each, Unreadable)]


@dataclass(frozen=True)
class _Judge:
    exchange: Exchange
    drivers: Mapping[str, Driver]
    server: CassetteServer
    session: str

    async def result(self) -> Result:
        """What became of it; of problems the first."""
        replies: dict[str, Json] = {}
        failures: dict[str, PortError] = {}
        try:
            for language in self.drivers:
                try:
                    replies[language] = await self._ask(language)
                except PortError as error:
                    failures[language] = error
            if failures:
                return self._failed(replies, failures)
            problem = next(self._differences(replies), None)
            return Result(self.exchange, problem or await self._crossed(replies))
        except PortError as error:
            if error.code in REFUSALS or (error.code == "load-failed" and _without_id(replies)):
                return Result(self.exchange, refused=error.code)
            return Result(self.exchange, f"{error.code}: {error}")
        except (DriverError, CaseError) as error:
            return Result(self.exchange, f"{type(error).__name__}: {error}")

    async def _ask(self, language: str) -> Json:
        exchange = self.exchange
        name = f"{self.session}-{language}"
        opened = self.server.open(name, _cassette(exchange))
        ollama = exchange.api == "ollama-chat"
        args: Json = {
            "model": f"{'ollama' if ollama else 'openai'}/m",
            "base_url": opened.base_url.removesuffix("/v1") if ollama else opened.base_url,
            "api_key": "unused",
            "input": "Go on.",
            "stream": exchange.streamed,
        }
        if exchange.api == "openai-chat":
            args["openai_use_responses"] = False
        try:
            return await self.drivers[language].call("model.call", args)
        finally:
            self.server.close(name)

    def _failed(self, replies: Mapping[str, Json], failures: Mapping[str, PortError]) -> Result:
        """A recorded error has to be one in both ports, and nothing else may be."""
        told = ", ".join(f"{name}: {each.code}: {each}" for name, each in failures.items())
        codes = {each.code for each in failures.values()}
        if replies:
            problem = f"only one port fails: {told}"
        elif self.exchange.status < 400 and not _never_answered(self.exchange):
            problem = f"no answer: {told}"
        elif len(codes) > 1 and self.exchange.api == "ollama-chat":
            problem = f"the ports fail differently: {told}"
        else:
            return Result(self.exchange, failed=codes.pop())
        return Result(self.exchange, problem)

    def _differences(self, replies: Mapping[str, Json]) -> Iterator[str]:
        if self.exchange.status >= 400:
            yield f"an answer in place of status {self.exchange.status}"
            return
        wanted = expected(self.exchange)
        items = {}
        for language, reply in replies.items():
            for each in match.differences(wanted, seen(reply, self.exchange)):
                yield f"{language}: {each}"
            items[language] = _items(reply["output"], self.exchange)
        if self.exchange.api == "openai-chat":
            # Each SDK's own way to keep a chat completion; ours is only to carry it.
            return
        for each in match.differences(items["python"], items["typescript"], "/output"):
            yield f"typescript against python: {each}"
        for each in match.differences(replies["python"]["usage"], replies["typescript"]["usage"]):
            yield f"typescript against python, usage: {each}"
        if self.exchange.api == "openai-responses":
            recorded = _items(_response(self.exchange)["output"], self.exchange)
            for language, made in items.items():
                for each in match.differences(recorded, made, "/output"):
                    yield f"{language} against the recording: {each}"

    async def _crossed(self, replies: Mapping[str, Json]) -> str | None:
        """The items of each port through its run state, the other's, and back to the wire."""
        if self.exchange.api == "ollama-chat":
            return None
        for language in self.drivers:
            output = replies[language]["output"]
            document = await self._converted(language, _state(output))
            document = await self._converted(_OTHER[language], document)
            made = [each["item"] for each in document["items"][: len(output)]]
            # What a chat model notes about an item is no part of the wire.
            wanted, got = (
                [{**each, "provider_data": None} for each in _items(items, self.exchange)]
                for items in (output, made)
            )
            for each in match.differences(wanted, got, "/items"):
                return f"from {language} into {_OTHER[language]}: {each}"
        return None

    async def _converted(self, language: str, document: Json) -> Json:
        """The document that the port writes when its SDK has loaded this one."""
        driver = self.drivers[language]
        native = await driver.call(
            "state.convert",
            {
                "payload": document,
                "from": "portable",
                "to": "native",
                "graph": {"agents": [{"name": "assistant"}], "root": 0},
            },
        )
        made = await driver.call(
            "state.convert", {"payload": native["payload"], "from": "native", "to": "portable"}
        )
        # A residue would bring back what the items lack.
        return {key: value for key, value in made["payload"].items() if key != "residue"}


def _cassette(exchange: Exchange) -> Cassette:
    interaction = Interaction(
        turn=1,
        method="POST",
        path=_PATHS[exchange.api],
        body=None,
        contains=(),
        status=exchange.status,
        headers=(("content-type", exchange.content_type),),
        data=exchange.data,
        chunks=exchange.chunks,
    )
    return Cassette(exchange.id, Provenance("scripted", "", exchange.source), (interaction,))


def _items(items: list[Json], exchange: Exchange) -> list[Any]:
    """Items in the short form of the cases, without what the ports write differently."""
    bare = match.normalise({"input": items}, ports_differ=True)["input"]
    for each in bare:
        if each["type"] == "shell_call_output":
            # Python notes a status and never sends it.
            each.pop("status", None)
    model = "ollama/m" if exchange.api == "ollama-chat" else "m"
    return [answer.short(each, model) for each in bare]


def _response(exchange: Exchange) -> Json:
    """The response object of an answer of the Responses API; empty where a stream has none."""
    if not exchange.streamed:
        response: Json = json.loads(exchange.data)
        return response
    for line in exchange.data.decode().splitlines():
        if line.startswith("data: {"):
            event = json.loads(line[6:])
            if event.get("type") == "response.completed":
                return dict(event["response"])
    return {}


def _without_id(replies: Mapping[str, Json]) -> bool:
    """Whether a call has an empty id, which both SDKs refuse to go on with."""
    return any(item.get("call_id") == "" for reply in replies.values() for item in reply["output"])


def _never_answered(exchange: Exchange) -> bool:
    """Whether the recording has no whole answer, so that a port has to say so."""
    if exchange.api == "openai-responses":
        response = _response(exchange)
        return response.get("status") in _NOT_COMPLETED or not response.get("output")
    if exchange.api == "ollama-chat":
        return b'"done":true' not in exchange.data.replace(b": ", b":")
    made = expected(exchange)
    return not (made["text"] or made["calls"])


def _state(output: list[Json]) -> Json:
    """A run state after a turn in which the model said `output` and its calls were answered."""
    items: list[Json] = [
        {"type": _RUN_ITEMS.get(each["type"], "tool_call_item"), "item": each, "agent": "assistant"}
        for each in output
    ]
    for each in output:
        if each["type"] == "function_call":
            result = {
                "type": "function_call_output",
                "call_id": each["call_id"],
                "output": "done",
            } | {key: each[key] for key in ("caller",) if key in each}
            items.append(
                {"type": "tool_call_output_item", "item": result, "agent": "assistant"}
                | {"executed": True}
            )
    return {
        "format": "timestep.run_state",
        "version": "1",
        "writer": {
            "port": "timestep",
            "port_version": "0.1.0",
            "sdk": "openai-agents",
            "sdk_version": "0.24.0",
            "sdk_schema": "1.21",
            "language": "python",
        },
        "status": "run_again",
        "current_turn": 1,
        "max_turns": 10,
        "current_agent": "assistant",
        "input": "Go on.",
        "items": items,
        "response": {"start": len(items), "count": 0, "tools_used": []},
        "interruptions": [],
        "responses": [{"output": output, "usage": _USAGE, "response_id": "resp_1"}],
        "usage": _USAGE,
        "context": None,
        "context_type": "none",
        "tool_use": {},
        "guardrails": {"input": [], "output": [], "tool_input": [], "tool_output": []},
        "session": {"persisted_items": 0},
        "decisions": [],
    }
