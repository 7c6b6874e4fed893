"""Show a run state: who wrote it, where it stands, what waits, what was decided and said.

A raw snapshot of the Python SDK is read too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from timestep.cli.source import Source, add_file, read
from timestep.cli.summary import summarise

_LANGUAGES = {"python": "Python", "typescript": "TypeScript"}
_OTHER = {"python": "TypeScript", "typescript": "Python"}
_STATUS = {
    "run_again": "between two turns",
    "not_started": "not started",
    "completed": "completed",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_file(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        *("--history", "-n"),
        type=int,
        default=12,
        metavar="N",
        help="history entries to show, the last ones; 0 shows all (default: 12)",
    )


def run(options: argparse.Namespace) -> int:
    """Prints the run state in FILE."""
    source = read(options.file)
    summary = {**summarise(source.document), "lossy": list(source.lossy)}
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        for line in _render(source, summary, options.history):
            print("".join(each if each.isprintable() else "\ufffd" for each in line))
    return 0


def _render(source: Source, summary: Mapping[str, Any], shown: int) -> Iterator[str]:
    yield from _header(source, summary)
    if summary["interruptions"]:
        yield from ("", "Waiting")
        for call in summary["interruptions"]:
            yield from _waiting(call)
    if summary["decisions"]:
        yield from ("", "Decided")
        for decision in summary["decisions"]:
            yield f"  {_decision(decision)}"
    yield from ("", "History")
    yield from _history(summary["history"], shown)
    usage = summary["usage"]
    yield ""
    yield (
        f"Usage     {_count(usage['requests'], 'request')}; tokens: {usage['input_tokens']} in, "
        f"{usage['output_tokens']} out, {usage['total_tokens']} in all"
    )
    yield from _crossing(summary)


def _header(source: Source, summary: Mapping[str, Any]) -> Iterator[str]:
    writer = summary["writer"]
    sdk = f"{writer['sdk']} {writer['sdk_version']}, schema {writer['sdk_schema']}"
    if source.form == "portable":
        yield f"Portable run state by {writer['port']} {writer['port_version']} ({sdk})"
    else:
        yield f"Raw {writer['sdk']} snapshot (schema {writer['sdk_schema']})"
    limit = "no limit" if summary["max_turns"] is None else f"of {summary['max_turns']}"
    yield f"Status    {_status(summary)}"
    yield f"Agent     {summary['agent']}"
    yield f"Turn      {summary['turn']}, {limit}".replace(", of", " of")
    if summary["context_type"] == "omitted":
        yield "Context   not in the document; whoever resumes the run supplies it"
    elif summary["context"]:
        yield f"Context   {_short(summary['context'])} ({summary['context_type']})"
    for key, value in summary.get("conversation", {}).items():
        yield f"{key.replace('_', ' ').capitalize()}: {value}"
    if "pending_input" in summary:
        yield f"Staged    {_count(len(summary['pending_input']), 'input item')} for the next turn"
    if "final_output" in summary:
        yield f"Output    {_short(summary['final_output'])}"


def _status(summary: Mapping[str, Any]) -> str:
    if summary["status"] != "interrupted":
        return _STATUS[summary["status"]]
    open_calls = [call for call in summary["interruptions"] if "decision" not in call]
    if not open_calls:
        return "everything is decided, ready to go on"
    return f"waits for {_count(len(open_calls), 'decision')}"


def _waiting(call: Mapping[str, Any]) -> Iterator[str]:
    decided = {"approve": ", approved", "reject": ", rejected"}.get(call.get("decision", ""), "")
    yield f"  {call['tool']}  (agent {call['agent']}, call {call['call_id']}{decided})"
    if call["arguments"] is not None:
        text = json.dumps(call["arguments"], indent=2, ensure_ascii=False)
        yield from (f"    {line}" for line in text.splitlines())


def _decision(decision: Mapping[str, Any]) -> str:
    tool = decision["tool"]
    key = tool.get("key", tool)
    name = ".".join(
        key[part] for part in ("namespace", "server_label", "name", "request_id") if part in key
    )
    verb = {"approve": "approved", "reject": "rejected"}[decision["decision"]]
    what = f"call {decision['call_id']}" if decision["scope"] == "call" else "always"
    agent = f"agent {tool['agent']}, " if "agent" in tool else ""
    message = f": {_short(decision['message'])}" if "message" in decision else ""
    return f"{verb}  {name}  ({agent}{what}){message}"


def _history(history: list[dict[str, Any]], shown: int) -> Iterator[str]:
    last = history[-shown:] if shown else history
    if len(last) < len(history):
        yield f"  ... {_count(len(history) - len(last), 'entry', 'entries')} before"
    width = max((len(entry["who"]) for entry in last), default=0)
    for entry in last:
        if entry["kind"] == "call":
            arguments = "" if entry["arguments"] is None else _short(entry["arguments"])
            words = f"calls {entry['tool']} {arguments}"
        elif entry["kind"] == "output":
            words = f"got {_short(entry['text'])}"
        elif entry["kind"] == "message":
            words = _short(entry["text"])
        else:
            words = f"{entry['kind']} {_short(entry['text'])}"
        yield f"  {entry['who']:<{width}}  {words}".rstrip()


def _crossing(summary: Mapping[str, Any]) -> Iterator[str]:
    language = summary["writer"]["language"]
    if summary["cannot_cross"]:
        yield from ("", f"Can only go on in {_LANGUAGES[language]}:")
        for reason in summary["cannot_cross"]:
            at = f" (at {reason['pointer']})" if reason["pointer"] else ""
            yield f"  {reason['code']}: {reason['message']}{at}"
    elif summary["status"] != "completed":
        yield f"Crossing  written in {_LANGUAGES[language]}, can go on in {_OTHER[language]} too"
    if summary["lossy"]:
        yield from ("", "Not in the portable document:")
        yield from (f"  {path}" for path in summary["lossy"])


def _short(value: Any, limit: int = 100) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _count(number: float, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
