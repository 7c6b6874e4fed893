"""What a store writes for a run in which every call waits, and what reading it back costs."""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from agents import Agent, OpenAIProvider, RunState, function_tool
from openai import AsyncOpenAI

from bench.measure import medians
from conformance.harness import cassette, script, services
from conformance.harness.server import CassetteServer
from timestep import RunStateStore, run_agent
from timestep.state import dump_run_state, load_run_state, to_native
from timestep.state.portable import writer
from timestep.store.base import Piece, StoredRun
from timestep.store.facts import facts
from timestep.store.location import open_backend
from timestep.store.pieces import Known, decode, encode

TYPESCRIPT = Path(__file__).parent.parent / "typescript"

TURNS = 200
"""Approvals of the run whose bytes are counted."""
DEPTH = 1000
"""Revisions of the run that is read back."""
SIZES = (2, 20, 200, 2000)
"""Items of the runs whose saves are timed."""
_ROUNDS = 41
_TEXT = 500

_TABLE = "CREATE TABLE bench (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text)"


def text(number: int) -> str:
    """Half a kilobyte of words, others for each number."""
    rng = random.Random(number)
    words = (f"{rng.choice('bdfgklmnprstv')}{rng.choice('aeiou')}" for _ in range(10_000))
    said = f'número {number} "quoted"\n'
    while len(said) < _TEXT:
        said += "".join(next(words) for _ in range(rng.randrange(1, 5))) + " "
    return said


def asking(number: int) -> dict[str, Any]:
    """The arguments of a turn's call."""
    return {"query": f"{number} {text(-number - 1)}"}


def turn_items(number: int) -> list[dict[str, Any]]:
    """What a turn adds to a conversation: a call and its output."""
    call_id = f"call_{number:08d}"
    call = {
        "type": "function_call",
        "id": f"fc_{number:08d}",
        "call_id": call_id,
        "name": "lookup",
        "arguments": json.dumps(asking(number), ensure_ascii=False),
        "status": "completed",
    }
    output = {"type": "function_call_output", "call_id": call_id, "output": text(number)}
    return [call, output]


def lines(number: int) -> str:
    """A turn's items as an append to a file would have them."""
    written = (json.dumps(each, ensure_ascii=False) for each in turn_items(number))
    return "".join(f"{line}\n" for line in written)


def agent() -> Agent[Any]:
    """The agent of the runs: a tool whose calls all wait."""

    @function_tool(needs_approval=True)
    def lookup(query: str) -> str:
        """Looks something up."""
        return text(int(query.split()[0]))

    return Agent(name="Bench", model="gpt-x", tools=[lookup])


async def written() -> dict[str, list[int]]:
    """Bytes of each turn of one run: of the bare items, of its pieces, and in each place.

    The bytes of PostgreSQL are those of its write-ahead log, and its floor is one row with the
    turn's items, committed.
    """
    bytes_of: dict[str, list[int]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(services.postgres())
        bench = await psycopg.AsyncConnection.connect(url, autocommit=True)
        await bench.execute(_TABLE)
        if services.GIVEN not in os.environ:
            # Whole pages, which the log gets after a checkpoint, would blur the bytes of a turn.
            await bench.execute("ALTER SYSTEM SET full_page_writes = off")
            await bench.execute("SELECT pg_reload_conf()")
        live = agent()
        stores = [RunStateStore(location, live, run_id="bench") for location in (folder, url)]

        async def log(work: Coroutine[Any, Any, object]) -> int:
            before = await _logged(bench)
            await work
            return await _logged(bench) - before

        for store in stores:
            await store.list()  # whatever it creates, it creates before
        known: Known | None = None
        async for number, state in _run(live):
            piece, known = await encode("bench", dump_run_state(state).document, known, None)
            items = lines(number)
            before = _size(Path(folder))
            await stores[0].save(state)
            row = bench.execute("INSERT INTO bench (item) VALUES (%s)", [items])
            sizes = {
                "items": len(items.encode()),
                "pieces": len(piece.data or zlib.compress((piece.text or "").encode())),
                "folder": _size(Path(folder)) - before,
                "postgresql": await log(stores[1].save(state)),
                "row": await log(row),
            }
            for name, size in sizes.items():
                bytes_of.setdefault(name, []).append(size)
        await bench.close()
        for store in stores:
            await store.aclose()
    return bytes_of


def flatness(sizes: list[int]) -> float:
    """A turn at the end of a run against one at its beginning."""
    tenth = len(sizes) // 10
    return statistics.median(sizes[-2 * tenth :]) / statistics.median(sizes[tenth : 3 * tenth])


async def read_back() -> dict[str, float]:
    """CPU seconds at the end of a run of `DEPTH` approvals, by work."""
    documents = _documents(DEPTH)
    known: Known | None = None
    last: Known | None = None
    pieces: list[Piece] = []
    for document in documents:
        last = known
        piece, known = await encode("bench", document, known, None)
        pieces.append(piece)
    whole = max(index for index, piece in enumerate(pieces) if piece.base is None)
    stored = StoredRun(len(pieces), len(pieces), pieces[whole:])
    live = agent()
    native = to_native(documents[-1]).document
    state = await RunState.from_json(live, native)
    times: dict[str, list[float]] = {"from_json": [], "read": []}
    for _ in range(5):
        for name, snapshot in (("from_json", native), ("read", None)):
            began = time.process_time()
            if snapshot is None:
                read = await decode("bench", stored, None)
                snapshot = to_native(read.document).document
            await RunState.from_json(live, snapshot)
            times[name].append(time.process_time() - began)
    return {
        **{name: statistics.median(each) for name, each in times.items()},
        **medians(
            {
                "to_json": state.to_json,
                "encode": lambda: _drive(encode("bench", documents[-1], last, None)),
            }
        ),
    }


async def commits() -> dict[int, float]:
    """A save in PostgreSQL in the middle of a run, as a ratio to committing one row with the two
    items of its turn, by items of the run."""
    ratios: dict[int, float] = {}
    documents = _documents(SIZES[-1] // 2 + _ROUNDS)
    gc.collect()
    gc.freeze()  # collecting these again and again would be counted as work of the save
    with services.postgres() as url:
        bench = await psycopg.AsyncConnection.connect(url, autocommit=True)
        await bench.execute(_TABLE)
        backend = await open_backend(url)
        for round, size in enumerate((SIZES[0], *SIZES)):  # the first time to warm the server up
            first = size // 2 - 1
            piece, known = await encode("bench", documents[first], None, None)
            run_id = f"run {round}"
            await backend.save(run_id, piece, facts(documents[first], None, {}))
            saves: list[float] = []
            rows: list[float] = []
            for number in range(first + 1, first + _ROUNDS):
                document = documents[number]
                said = facts(document, known.document, {})
                piece, known = await encode("bench", document, known, None)
                items = lines(number)
                began = time.perf_counter()
                await backend.save(run_id, piece, said)
                saved = time.perf_counter()
                await bench.execute("INSERT INTO bench (item) VALUES (%s)", [items])
                rows.append(time.perf_counter() - saved)
                saves.append(saved - began)
            ratios[size] = statistics.median(saves) / statistics.median(rows)
        await backend.aclose()
        await bench.close()
    gc.unfreeze()
    return ratios


def typescript() -> Mapping[str, Any]:
    """The same numbers of the TypeScript port, whose SDK is slower: of a shorter run."""
    command = ["node", "--expose-gc", "bench/pieces.mjs"]
    process = subprocess.run(command, cwd=TYPESCRIPT, stdout=subprocess.PIPE, check=False)
    if process.returncode:
        sys.exit("the TypeScript port could not be measured")
    measured: dict[str, Any] = json.loads(process.stdout)
    return measured


async def _run(live: Agent[Any]) -> Any:
    """Turns of the run with their states: each is approved and goes on from its document."""
    called = {"type": "function_call", "name": "lookup"}
    calls = [
        [{**called, "call_id": f"call_{number:08d}", "arguments": asking(number)}]
        for number in range(TURNS)
    ]
    played = cassette.parse("bench", script.expand("bench", {"at": "2026-01-01", "turns": calls}))
    async with CassetteServer() as server:
        base_url = server.open("bench", played).base_url
        async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            provider = OpenAIProvider(openai_client=client)
            state: Any = "Go"
            for number in range(TURNS):
                result = await run_agent(live, state, model_provider=provider, max_turns=None)
                yield number, result.to_state()
                state = await load_run_state(dump_run_state(result.to_state()).document, live)
                for waiting in state.get_interruptions():
                    state.approve(waiting)


def _documents(turns: int) -> list[dict[str, Any]]:
    """The documents a run has at each of its approvals, as this port would write them."""
    counts = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    details = {
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    tool = {"kind": "function", "agent": "Bench", "key": {"kind": "bare", "name": "lookup"}}
    items: list[Any] = []
    responses: list[Any] = []
    decisions: list[Any] = []
    for number in range(turns):
        call, output = turn_items(number)
        ran = {"type": "tool_call_output_item", "item": output, "agent": "Bench", "executed": True}
        items += [{"type": "tool_call_item", "item": call, "agent": "Bench"}, ran]
        usage = {"requests": 1, **counts, **details, "entries": []}
        responses.append({"output": [call], "usage": usage, "response_id": f"resp_{number}"})
        decided = {"scope": "call", "call_id": call["call_id"], "decision": "approve"}
        decisions.append({"tool": tool, **decided})
    entries = [{**counts, **details}] * turns
    template: dict[str, Any] = {
        "format": "timestep.run_state",
        "version": "1",
        "writer": writer("1.21"),
        "status": "interrupted",
        "max_turns": None,
        "current_agent": "Bench",
        "input": "Go",
        "context": None,
        "context_type": "none",
        "guardrails": {"input": [], "output": [], "tool_input": [], "tool_output": []},
        "session": {"persisted_items": 0},
        "residue": {"python": {"patch": []}},
    }
    return [
        {
            **template,
            "current_turn": turn,
            "items": items[: 2 * turn - 1],
            "response": {"start": 2 * turn - 2, "count": 1, "tools_used": ["lookup"]},
            "interruptions": [
                {"item": turn_items(turn - 1)[0], "agent": "Bench", "tool_name": "lookup"}
            ],
            "responses": responses[:turn],
            "usage": {
                "requests": turn,
                **{name: count * turn for name, count in counts.items()},
                **details,
                "entries": entries[:turn],
            },
            "tool_use": {"Bench": ["lookup"] * turn},
            "decisions": decisions[: turn - 1],
        }
        for turn in range(1, turns + 1)
    ]


def _drive(work: Coroutine[Any, Any, Any]) -> None:
    """Runs what never waits, without the cost of an event loop."""
    try:
        work.send(None)
    except StopIteration:
        return


async def _logged(connection: psycopg.AsyncConnection[Any]) -> int:
    """How many bytes the server has written to its log."""
    cursor = await connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
