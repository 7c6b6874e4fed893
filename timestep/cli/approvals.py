"""Show the calls that wait for a decision, and decide them.

Works on any location, and loads neither the SDK nor a run state.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from timestep.approvals import Approvals, waits
from timestep.cli.approval_text import details, outcome, overview, record
from timestep.cli.text import as_json, say

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)

Action = Callable[[Approvals, argparse.Namespace], Awaitable[list[str]]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    each = _add(actions, "list", _list, "list the calls that wait, oldest first")
    each.add_argument("run_id", metavar="RUN", nargs="?", help="of this run only")
    each.add_argument(
        "--all", action="store_true", help="also those decided, and those their run has gone past"
    )
    each = _add(actions, "show", _show, "show a call with its whole arguments")
    _add_call(each)
    for name, what in (("approve", "let a call run"), ("reject", "keep a call from running")):
        each = _add(actions, name, _decide, what)
        each.set_defaults(decision=name)
        _add_call(each)
        each.add_argument(
            "--digest",
            metavar="DIGEST",
            help="of the arguments you decide on, its first 8 digits or more; refused if they "
            "have changed",
        )
        each.add_argument(
            "--always", action="store_true", help="decide every later call of the tool too"
        )
        told = "what the model is told" if name == "reject" else "kept beside the decision"
        each.add_argument("--message", metavar="TEXT", help=told)
        each.add_argument(
            "--expires",
            metavar="WHEN",
            help="when the decision stops counting: 90s, 30m, 2h, 7d or 2026-01-31T12:00:00Z",
        )
        each.add_argument(
            "--by", metavar="NAME", help="who decides (default: TIMESTEP_USER or the login name)"
        )


def run(options: argparse.Namespace) -> int:
    """Runs one action."""
    try:
        say(asyncio.run(_run(options)))
    except ValueError as error:
        options.parser.error(str(error))
    return 0


def _add(actions: Any, name: str, action: Action, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(action=action, parser=parser)
    parser.add_argument(
        "--location",
        metavar="LOCATION",
        help="a file, a folder, postgresql://... or pglite:<folder> "
        "(default: TIMESTEP_LOCATION or .timestep)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser


def _add_call(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="RUN", help="id of the run")
    parser.add_argument(
        "call_id", metavar="CALL", nargs="?", help="id of the call; left out, the one that waits"
    )


async def _run(options: argparse.Namespace) -> list[str]:
    async with Approvals(options.location) as approvals:
        action: Action = options.action
        return await action(approvals, options)


async def _list(approvals: Approvals, options: argparse.Namespace) -> list[str]:
    found = await approvals.list(options.run_id, resolved=options.all)
    shown = found if options.all else [each for each in found if waits(each)]
    if options.json:
        return list(as_json([record(each) for each in shown]))
    left_out = len(found) - len(shown)
    return list(overview(shown, decided=left_out, run_id=options.run_id, everything=options.all))


async def _show(approvals: Approvals, options: argparse.Namespace) -> list[str]:
    found = await approvals.get(options.run_id, options.call_id)
    if options.json:
        return list(as_json(record(found)))
    return list(details(found, location=options.location))


async def _decide(approvals: Approvals, options: argparse.Namespace) -> list[str]:
    decide = approvals.approve if options.decision == "approve" else approvals.reject
    decided = await decide(
        options.run_id,
        options.call_id,
        digest=options.digest,
        always=options.always,
        message=options.message,
        by=options.by,
        expires=None if options.expires is None else _expires(options.expires),
    )
    return list(as_json(record(decided)) if options.json else outcome(decided))


def _expires(text: str) -> datetime | timedelta:
    if found := _DURATION.fullmatch(text):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"--expires takes 90s, 30m, 2h, 7d or 2026-01-31T12:00:00Z, not {text}")
