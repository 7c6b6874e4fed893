"""Check that a file is a portable run state.

Prints its version, status and digest; a damaged one is refused with the place of the damage.
"""

from __future__ import annotations

import argparse

from timestep.cli.source import add_file, read_text
from timestep.state import digest, validate
from timestep.store.text import refuse_raw_snapshot


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_file(parser)


def run(options: argparse.Namespace) -> int:
    """Raises the error of whatever is wrong."""
    name, document = read_text(options.file)
    refuse_raw_snapshot(document, name)
    validate(document)
    print(f"{name}: a portable run state")
    print(f"version {document['version']}, {document['status']}")
    print(f"digest  {digest(document)}")
    return 0
