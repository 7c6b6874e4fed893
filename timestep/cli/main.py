"""Arguments, errors and exit codes: 0 done, 1 refused with a typed error, 2 wrong usage."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from timestep.cli import convert, inspect, validate
from timestep.errors import TimestepError

_COMMANDS = (inspect, validate, convert)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    options = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="timestep", description="Look at run states, check them, convert them."
    )
    parser.add_argument("--version", action="version", version=version("timestep"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        summary = (command.__doc__ or "").partition("\n")[0]
        name = command.__name__.rpartition(".")[2]
        own = commands.add_parser(name, help=summary, description=summary)
        own.add_argument("file", metavar="FILE", help="a run state; - reads standard input")
        command.configure(own)
        own.set_defaults(run=command.run)
    return parser


def _complain(message: str, pointer: str | None = None, hint: str | None = None) -> None:
    print(message, file=sys.stderr)
    if pointer:
        print(f"at: {pointer}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
