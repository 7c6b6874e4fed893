"""How a row of the corpus came through the ports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .material import Row

REFUSALS = frozenset(
    {
        *("run-completed", "step-missing", "handoff-step", "response-accepted", "duplicate-agent"),
        *("pending-session-write", "terminal-unrecoverable", "sandbox-state", "call-in-flight"),
        *("ambiguous-call", "unknown-call", "mcp-binding-unknown", "unsupported-approval"),
        *("unsupported-item", "context-omitted", "ambiguous-approval", "guardrails-unknown"),
        "unsafe-integer",
    }
)
"""Codes that say why a run is bound to its language: the refuse table of docs/run-state.md."""

_UNREADABLE = frozenset({"malformed", "foreign-writer", "unknown-schema"})


@dataclass(frozen=True)
class Outcome:
    """One row: `same` is the way back into its own language, `cross` the way into the other.

    Both are `identical` or `loaded` where it worked, `different`, or an error code.
    """

    row: Row
    same: str
    cross: str
    detail: str = ""

    @property
    def unexplained(self) -> str | None:
        """Why the row counts as a failure; None where it does not."""
        if self.same not in ("identical", *(_UNREADABLE if self.row.broken else ())):
            return f"same language: {self.same}"
        if self.cross == "loaded" or self.cross in REFUSALS:
            return None
        explained = self.row.broken and self.cross != "driver"
        if explained or self._about_the_graph():
            return None
        return f"other language: {self.cross}"

    def _about_the_graph(self) -> bool:
        """Whether the agents of the row really are what the refusal says of them.

        Python passes over items of an agent it cannot find, and orders doubles of a name by rules
        of its own, so its own tests have such rows.
        """
        agents = (self.row.graph or {}).get("agents") or []
        names = Counter(each.get("name") for each in agents)
        if self.cross == "ambiguous-agent":
            return any(count > 1 for count in names.values())
        if self.cross == "agent-missing":
            named = re.search(r"no agent is named '?(.+?)'?; there are", self.detail)
            return named is not None and named[1] not in names
        return False


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """Counts by outcome, as lines of text."""
    every = list(outcomes)
    lines = []
    for way in ("same", "cross"):
        counts = Counter(getattr(each, way) for each in every)
        shown = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        lines.append(f"  {'same language' if way == 'same' else 'other language'}: {shown}")
    failures = [each for each in every if each.unexplained]
    share = 100 * len(failures) / len(every) if every else 0.0
    lines.append(f"  unexplained: {len(failures)} of {len(every)} ({share:.2f} %)")
    return lines
