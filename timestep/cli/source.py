"""The FILE of a command: what it holds and in which form."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from timestep.errors import SnapshotError, StoreError
from timestep.state import to_portable, validate
from timestep.store.text import decode, raw_snapshot


@dataclass(frozen=True)
class Source:
    """A run state that was read: its form, its text as JSON, and the portable document of it.

    `lossy` are the paths of a raw snapshot that its portable document does not keep.
    """

    name: str
    form: Literal["portable", "python"]
    content: dict[str, Any]
    document: dict[str, Any]
    lossy: tuple[str, ...] = ()


def add_file(parser: argparse.ArgumentParser) -> None:
    """Adds the FILE of a command to its arguments."""
    parser.add_argument("file", metavar="FILE", help="a run state; - reads standard input")


def read_text(file: str) -> tuple[str, dict[str, Any]]:
    """The name of `file` for messages, and the JSON object in it. `-` is standard input."""
    if file == "-":
        return "standard input", decode(sys.stdin.buffer.read(), "standard input")
    try:
        return file, decode(Path(file).read_bytes(), file)
    except FileNotFoundError:
        raise StoreError(f"no file {file}", code="state-not-found", hint="check the path") from None


def read(file: str) -> Source:
    """The run state in `file`: a portable document, or a raw snapshot of the Python SDK.

    Raises `StoreError`, `DocumentError`, and `SnapshotError` (`foreign-writer`) for a raw snapshot
    of the TypeScript SDK, which only the TypeScript port converts.
    """
    name, content = read_text(file)
    raw = raw_snapshot(content)
    if raw is None:
        validate(content)
        return Source(name, "portable", content, content)
    sdk, schema = raw
    if sdk != "openai-agents":
        raise SnapshotError(
            f"{name} is a raw {sdk} snapshot (schema {schema})",
            code="foreign-writer",
            hint="convert it in TypeScript: toPortable(JSON.parse(text)).document "
            "from @timestep-ai/timestep",
        )
    converted = to_portable(content)
    return Source(name, "python", content, converted.document, converted.lossy)
