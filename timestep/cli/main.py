"""Arguments, errors and exit codes: 0 done, 1 refused with a typed error, 2 wrong usage."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from timestep.cli.text import visible
from timestep.errors import TimestepError

_COMMANDS = {
    "inspect": "Show a run state: who wrote it, where it stands, what waits, what was said.",
    "validate": "Check that a file is a portable run state.",
    "convert": "Convert a run state between the portable form and the Python SDK's own.",
    "approvals": "Show the calls that wait for a decision, and decide them.",
    "doctor": "Say what is installed, and whether a location can be used and how safe it is.",
}
"""Commands and what their help says; each is the module of that name, loaded when it is asked."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options, unknown = _parser(given).parse_known_args(given)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except TimestepError as error:
        _complain(f"error[{error.code}]: {error.message}", error.pointer, error.hint)
        return 1
    except BrokenPipeError:  # the reader, a pager for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _complain(f"error: {error.strerror or error}: {error.filename or 'standard output'}")
        return 1
    return code


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """The arguments of all commands, those of a command that is not in `given` left out."""
    parser = argparse.ArgumentParser(
        prog="timestep",
        description="Look at run states, check and convert them, decide what waits.",
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in _COMMANDS.items():
        own = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name in given:
            command = import_module(f"timestep.cli.{name}")
            own.set_defaults(run=command.run, parser=own)
            command.configure(own)
    return parser


class _Version(argparse.Action):
    """Prints the version, which takes time to find out, only when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(version("timestep"))
        parser.exit()


def _complain(message: str, pointer: str | None = None, hint: str | None = None) -> None:
    for line in (message, pointer and f"at: {pointer}", hint and f"hint: {hint}"):
        if line:
            print(visible(line), file=sys.stderr)
