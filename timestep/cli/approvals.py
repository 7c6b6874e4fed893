"""Show the calls that wait for a decision, and decide them.

Works on any location, and loads neither the SDK nor a run state.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from timestep.approvals import Approvals, timestamp, waits
from timestep.cli.text import as_json, indented, say, shorten, table, visible
from timestep.store.base import Approval

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_SHORT_DIGEST = 12
_WIDTH = 120
"""Characters of a line where the output is no terminal."""

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
        return list(as_json([_record(each) for each in shown]))
    return list(_table(shown, len(found) - len(shown), options))


async def _show(approvals: Approvals, options: argparse.Namespace) -> list[str]:
    found = await approvals.get(options.run_id, options.call_id)
    return list(as_json(_record(found)) if options.json else _details(found, options))


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
    if options.json:
        return list(as_json(_record(decided)))
    return [
        f"{visible(decided.call_id)} of run {visible(decided.run_id)}: {_status(decided)}",
        f"  {visible(decided.tool)} {shorten(_arguments(decided), _width() - 3)}",
        "It is applied when the run is loaded.",
    ]


def _table(shown: Sequence[Approval], decided: int, options: argparse.Namespace) -> Iterator[str]:
    if shown:
        head = ["RUN", "CALL", "AGENT", "TOOL", "ASKED", "DIGEST"]
        head += ["STATUS", "ARGUMENTS"] if options.all else ["ARGUMENTS"]
        yield from table([head, *(_row(each, options.all) for each in shown)], _width())
        yield ""
        yield "Look at one:  timestep approvals show RUN CALL"
        yield "Decide it:    timestep approvals approve RUN CALL, or reject RUN CALL --message WHY"
    else:
        of = "" if options.run_id is None else f" of run {visible(options.run_id)}"
        yield f"No call{of} waits for a decision." if not options.all else f"No call{of} is stored."
        yield "A run that stops for an approval is listed once its state is saved in a"
        yield "RunStateStore of this location; another one is given with --location."
    if decided:
        calls = "1 decided call has" if decided == 1 else f"{decided} decided calls have"
        yield f"{calls} not been applied yet: timestep approvals list --all"


def _row(approval: Approval, with_status: bool) -> list[str]:
    cells = [approval.run_id, approval.call_id, approval.agent, approval.tool]
    cells += [_time(approval.requested_at), approval.arguments_digest[:_SHORT_DIGEST]]
    return [*cells, *([_status(approval)] if with_status else []), _arguments(approval)]


def _details(approval: Approval, options: argparse.Namespace) -> Iterator[str]:
    yield f"Run        {visible(approval.run_id)}"
    yield f"Call       {visible(approval.call_id)}"
    yield f"Agent      {visible(approval.agent)}"
    yield f"Tool       {visible(approval.tool)} ({approval.kind})"
    yield f"Asked      {_time(approval.requested_at)}, in revision {approval.revision}"
    yield f"Digest     {approval.arguments_digest}"
    yield f"Status     {_status(approval)}"
    if approval.message is not None:
        yield f"Message    {visible(approval.message)}"
    if approval.arguments is None:
        yield "Arguments  sealed; TIMESTEP_ENCRYPTION_KEYS has no key that opens them"
    else:
        yield "Arguments"
        yield from (f"  {line}" for line in indented(approval.arguments))
    if waits(approval):
        call = [approval.run_id, approval.call_id]
        digest = ["--digest", approval.arguments_digest[:_SHORT_DIGEST]]
        hidden = options.location is None or "@" in options.location  # it may hold a password
        where = [] if hidden else ["--location", options.location]
        command = shlex.join(["timestep", "approvals", "approve", *call, *digest, *where])
        yield ""
        yield f"Decide it: {visible(command)}"
        yield "           or reject, with --message WHY"


def _status(approval: Approval) -> str:
    if approval.decision is None:
        return "resolved without a decision" if approval.resolved else "waits for a decision"
    words = "approved" if approval.decision == "approve" else "rejected"
    if approval.always:
        words += " always"
    if approval.decided_by is not None:
        words += f" by {visible(approval.decided_by)}"
    if approval.decided_at is not None:
        words += f" at {_time(approval.decided_at)}"
    if approval.resolved:
        return f"{words}, applied"
    if approval.expires_at is None:
        return words
    if waits(approval):
        return f"waits for a decision; {words}, expired at {_time(approval.expires_at)}"
    return f"{words}, until {_time(approval.expires_at)}"


def _record(approval: Approval) -> dict[str, Any]:
    """The approval in the form of `schemas/approvals.schema.json`."""
    return {
        "run_id": approval.run_id,
        "call_id": approval.call_id,
        "agent": approval.agent,
        "tool": approval.tool,
        "kind": approval.kind,
        "arguments": approval.arguments,
        "arguments_digest": approval.arguments_digest,
        "revision": approval.revision,
        "requested_at": timestamp(approval.requested_at),
        "waits": waits(approval),
        "decision": approval.decision,
        "always": approval.always,
        "message": approval.message,
        "decided_by": approval.decided_by,
        "decided_at": None if approval.decided_at is None else timestamp(approval.decided_at),
        "expires_at": None if approval.expires_at is None else timestamp(approval.expires_at),
        "resolved": approval.resolved,
    }


def _arguments(approval: Approval) -> str:
    return "(sealed)" if approval.arguments is None else approval.arguments


def _time(time: datetime) -> str:
    return f"{timestamp(time)[:19].replace('T', ' ')}Z"


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, 24)).columns


def _expires(text: str) -> datetime | timedelta:
    if found := _DURATION.fullmatch(text):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"--expires takes 90s, 30m, 2h, 7d or 2026-01-31T12:00:00Z, not {text}")
