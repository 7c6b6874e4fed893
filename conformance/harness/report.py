"""Results, what they add up to, and their three written forms: NDJSON, JUnit and a verdict."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from .case import Case, Pairing

STATUSES = (
    "pass",
    "fail",
    "errored",
    "crashed",
    "timeout",
    "unsupported",
    "uncovered",
    "not-run",
    "n/a",
)
_HARMLESS = frozenset({"pass", "n/a"})


@dataclass(frozen=True)
class Result:
    """One run of a case. `check` names what failed; `known` marks a listed failure."""

    case: str
    title: str
    level: str
    pairing: str
    source: str
    status: str = "not-run"
    check: str = ""
    message: str = ""
    known: bool = False
    seconds: float = 0.0
    requests: int = 0

    @classmethod
    def of(cls, case: Case, pairing: Pairing) -> Result:
        """The result of a run that has not happened yet."""
        return cls(case.id, case.title, case.level, pairing.label, case.source)

    def ended(self, status: str, *, check: str = "", message: str = "") -> Result:
        """The result with what came of it."""
        assert status in STATUSES
        return dataclasses.replace(self, status=status, check=check, message=message)

    def timed(self, seconds: float, requests: int) -> Result:
        """The result with how long it took and how many requests the model saw."""
        return dataclasses.replace(self, seconds=round(seconds, 4), requests=requests)

    @property
    def ports(self) -> list[str]:
        """The names of the ports, by role."""
        return self.pairing.partition("@")[0].split("->")

    @property
    def location(self) -> str:
        """The kind of place where the run was kept; empty where it was not."""
        return self.pairing.partition("@")[2]

    @property
    def key(self) -> tuple[str, str]:
        """What names a run: case id and pairing."""
        return (self.case, self.pairing)

    @property
    def green(self) -> bool:
        """Whether the run holds nothing against its ports that is not listed."""
        return self.status in _HARMLESS or self.known


@dataclass(frozen=True)
class Verdict:
    """What a whole run says, in one line, and whether it is good."""

    ok: bool
    text: str


@dataclass(frozen=True)
class Report:
    """All results of one run of the suite.

    `version` is that of the requirement set, None without one; `problems` is what is wrong beside
    the results: lists, titles, stale entries.
    """

    results: tuple[Result, ...]
    ports: Mapping[str, Mapping[str, Any]]
    suite: str
    started: str
    seconds: float
    filtered: bool
    version: str | None = None
    problems: tuple[str, ...] = ()

    def verdict(self) -> Verdict:
        """Never green over nothing, and never "conformant" for a part of the suite."""
        ran = [each for each in self.results if each.status not in ("n/a", "not-run", "uncovered")]
        bad = [each for each in self.results if not each.green]
        if self.filtered:
            bad = [each for each in bad if each.status != "not-run"]
        counts = summary(self.results)
        if not ran:
            return Verdict(False, f"nothing ran: {counts}")
        if bad or self.problems:
            noun = "problem" if len(self.problems) == 1 else "problems"
            more = f", {len(self.problems)} {noun} of the lists" if self.problems else ""
            return Verdict(False, f"not conformant: {counts}{more}")
        if self.filtered:
            return Verdict(True, f"a part of the suite: {counts}")
        if self.version is None:
            return Verdict(True, f"no requirement set to judge by: {counts}")
        return Verdict(True, f"conformant to {self.version}: {counts}")

    def shown(self) -> list[Result]:
        """The results a matrix is about: of a part of the suite only what ran."""
        return [each for each in self.results if not (self.filtered and each.status == "not-run")]

    def lines(self) -> list[str]:
        """The report as NDJSON (schemas/report.schema.json)."""
        verdict = self.verdict()
        header = {
            "kind": "header",
            "report": 1,
            "suite": self.suite,
            "started": self.started,
            "filtered": self.filtered,
            "requirements": self.version,
            "ports": dict(self.ports),
        }
        footer = {
            "kind": "footer",
            "counts": count(self.results),
            "known": sum(each.known for each in self.results),
            "problems": list(self.problems),
            "seconds": round(self.seconds, 3),
            "ok": verdict.ok,
            "verdict": verdict.text,
        }
        rows = [{"kind": "result", **dataclasses.asdict(each)} for each in self.results]
        return [json.dumps(each, ensure_ascii=False) for each in (header, *rows, footer)]

    def junit(self) -> str:
        """JUnit XML; test cases are named by case id alone, so reports of several runs merge."""
        suite = ElementTree.Element(
            "testsuite",
            name="conformance",
            tests=str(len(self.results)),
            failures=str(sum(r.status == "fail" and not r.green for r in self.results)),
            errors=str(sum(r.status != "fail" and not r.green for r in self.results)),
            skipped=str(sum(r.status == "n/a" or r.known for r in self.results)),
            time=f"{self.seconds:.3f}",
        )
        for each in self.results:
            row = ElementTree.SubElement(
                suite,
                "testcase",
                name=each.case,
                classname=each.pairing or "all",
                file=each.source,
                time=f"{each.seconds:.3f}",
            )
            if each.green and (each.known or each.status == "n/a"):
                text = f"known failing: {each.message}" if each.known else each.message
                ElementTree.SubElement(row, "skipped", message=text)
            elif not each.green:
                tag = "failure" if each.status == "fail" else "error"
                detail = ElementTree.SubElement(row, tag, type=each.check or each.status)
                detail.set("message", f"{each.status}: {each.title}")
                detail.text = _printable(each.message)
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def count(results: Iterable[Result]) -> dict[str, int]:
    """How many results have each status."""
    found = Counter(each.status for each in results)
    return {status: found[status] for status in STATUSES if found[status]}


def summary(results: Sequence[Result]) -> str:
    """The counts as text, listed failures counted apart."""
    known = sum(each.known for each in results)
    parts = count(each for each in results if not each.known)
    if known:
        parts["known failing"] = known
    return ", ".join(f"{number} {status}" for status, number in parts.items())


def read(lines: Iterable[str]) -> tuple[dict[str, Any], list[Result], dict[str, Any]]:
    """Header, results and footer of an NDJSON report."""
    header, *rows, footer = [json.loads(line) for line in lines]
    results = [
        Result(**{key: value for key, value in row.items() if key != "kind"}) for row in rows
    ]
    return header, results, footer


def _printable(text: str) -> str:
    """`text` without the control characters XML cannot hold."""
    return "".join(char if char >= " " or char in "\n\t" else "?" for char in text)
