"""Convert a run state between the portable form and the Python SDK's own.

Paths that do not come along are listed on standard error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from timestep.cli.source import Source, add_file, read
from timestep.state import to_native
from timestep.store import disk
from timestep.store.text import encode


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_file(parser)
    parser.add_argument(
        "--to",
        choices=("portable", "python"),
        help="form to write; left out, the one the file does not have",
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="file to write; left out, standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Writes the converted run state."""
    source = read(options.file)
    target = options.to or ("portable" if source.form == "python" else "python")
    content, lossy = _convert(source, target)
    data = encode(content, indent=2)
    if options.output is None:
        sys.stdout.buffer.write(data)
    else:
        disk.replace(options.output, data)
    for path in lossy:
        print(f"not carried over: {path}", file=sys.stderr)
    return 0


def _convert(source: Source, target: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    if target == source.form:
        return source.content, ()
    if target == "portable":
        return source.document, source.lossy
    converted = to_native(source.document)
    return converted.document, converted.lossy
