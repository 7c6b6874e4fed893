"""`python -m conformance.record`: cassettes from live services, through the cassette server.

Without arguments every cassette in cassettes/ that came from a live service is recorded anew: its
requests are sent again, and the new answers take the place of the old ones. NAME ... picks some.

`--to FILE -- COMMAND ...` records what a command asks: OPENAI_BASE_URL and OLLAMA_HOST point it at
the server. OpenAI is found through OPENAI_API_KEY and OPENAI_BASE_URL, Ollama through OLLAMA_HOST
and, for ollama.com, OLLAMA_API_KEY.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import yaml

from conformance.harness import cassette, schemas, script
from conformance.harness.server import CassetteServer
from conformance.harness.upstream import Recorder, Service, services

_TRANSIENT = {401, 403, 429, *range(500, 600)}
"""Statuses that say something of the day or the key, and nothing of the API."""

_BY = "python -m conformance.record"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where everything that could be recorded was; missing services are named, not failures."""
    parser = argparse.ArgumentParser(prog=_BY, description=__doc__)
    parser.add_argument("--to", type=Path, metavar="FILE", help="the cassette of a command")
    parser.add_argument("rest", nargs="*", metavar="NAME | COMMAND")
    options = parser.parse_args(arguments)
    if options.to is not None:
        if not options.rest:
            parser.error("--to needs a command")
        return asyncio.run(to_file(options.to, options.rest))
    return asyncio.run(anew(options.rest))


async def to_file(path: Path, command: Sequence[str]) -> int:
    """Record what a command asks into `path`."""
    found = services()
    missing = [reason for each in found.values() if (reason := await each.missing())]
    if len(missing) == len(found):
        print(f"not recorded: {', '.join(missing)}")
        return 0
    recorder = Recorder(found)
    async with CassetteServer() as server:
        url = server.open("record", None, recorder=recorder).base_url
        own = {"OPENAI_BASE_URL": url, "OLLAMA_HOST": url.removesuffix("/v1")}
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "OPENAI_API_KEY": "recording", **own}
        )
        code = await process.wait()
    if code:
        print(f"not recorded: the command ended with code {code}")
        return 1
    if not recorder.entries:
        print("not recorded: the command asked no model")
        return 1
    return _write(path, recorder.cassette(date.today().isoformat(), _BY))


async def anew(names: Sequence[str]) -> int:
    """Send the requests of live cassettes again."""
    paths = sorted(script.FOLDER.glob("*.yaml"))
    loaded = {path: yaml.load(path.read_bytes(), yaml.CSafeLoader) for path in paths}
    live = {path: data for path, data in loaded.items() if data["recorded"]["from"] != "scripted"}
    if unknown := set(names) - {path.stem for path in live}:
        print(f"not recorded: no live cassette is named {', '.join(sorted(unknown))}")
        return 1
    found = services()
    for each in found.values():
        if reason := await each.missing():
            print(f"{each.name}: {reason}: its cassettes stay as they are")
    if not live:
        print(f"nothing to record anew: all {len(paths)} cassettes are made from scripts")
    failed = 0
    for path, data in live.items():
        if not names or path.stem in names:
            failed |= await rerecord(path, data, found)
    return failed


async def rerecord(path: Path, data: Any, found: dict[str, Service]) -> int:
    """Send the requests of the cassette at `path` again, and write the answers there."""
    service = found[data["recorded"]["from"]]
    if reason := await service.missing():
        print(f"{path.name}: not recorded: {reason}")
        return 0
    recorder = Recorder(found)
    async with CassetteServer() as server, httpx.AsyncClient(timeout=None) as client:
        url = server.open("record", None, recorder=recorder).base_url
        for each in data["interactions"]:
            request = each["request"]
            at = cassette.path_of(request["uri"])
            body = request["body"]
            await client.request(
                request["method"], url + at if "/api/" not in at else url[:-3] + at, content=body
            )
    for old, new in zip(data["interactions"], recorder.entries, strict=True):
        was, now = (each["response"]["status"]["code"] for each in (old, new))
        if was != now:
            print(f"{path.name}: not written: an answer has status {now}, before it was {was}")
            return 1
        new.update({key: old[key] for key in ("turn", "contains") if key in old})
    return _write(path, recorder.cassette(date.today().isoformat(), _BY))


def _write(path: Path, data: Any) -> int:
    """Write a cassette that holds no secret; 1 where it is not written."""
    text = script.dump(data)
    problems = [*filter(None, [schemas.problem("cassette", data)])]
    problems += cassette.lint(path.name, text, data)
    codes = {each["response"]["status"]["code"] for each in data["interactions"]}
    problems += [f"an answer has status {code}" for code in sorted(codes & _TRANSIENT)]
    if problems:
        print(f"{path.name}: not written: {'; '.join(problems)}")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{path.name}: {len(data['interactions'])} answers recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
