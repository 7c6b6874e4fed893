"""Verdicts, lists of known failures and matrices, from results alone."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from conformance.harness import matrix, schemas
from conformance.harness.errors import CaseError
from conformance.harness.known_failing import Entry, fixed, mark, parse, stale
from conformance.harness.report import Report, Result, read

TODAY = datetime.date(2026, 11, 25)
PASS = Result("ts-0001", "a title", "must", "python->typescript", "a.yaml", "pass")
FAIL = dataclasses.replace(PASS, status="fail", check="effects", message="twice: pay\nmore")
ENTRY: dict[str, Any] = {
    "case": "ts-0001",
    "pairing": "python->typescript",
    "check": "effects",
    "message": "twice",
    "reason": "the SDK pays twice",
    "issue": "https://example.org/1",
    "owner": "someone",
    "expires": datetime.date(2026, 12, 24),
}


def entry(**changes: Any) -> Entry:
    return parse([{**ENTRY, **changes}], "typescript.yaml")[0]


def report(*results: Result, **more: Any) -> Report:
    options: dict[str, Any] = {"filtered": False, "version": "0.1.0", **more}
    return Report(results, {}, "0" * 64, "2026-11-25T00:00:00", 1.0, **options)


@pytest.mark.parametrize(
    ("made", "ok", "text"),
    [
        (report(PASS), True, "conformant to 0.1.0: 1 pass"),
        (report(PASS, filtered=True), True, "a part of the suite: 1 pass"),
        (report(PASS, version=None), True, "no requirement set to judge by: 1 pass"),
        (report(), False, "nothing ran: "),
        (report(dataclasses.replace(PASS, status="n/a")), False, "nothing ran: 1 n/a"),
        (report(PASS, FAIL), False, "not conformant: 1 pass, 1 fail"),
        (
            report(PASS, dataclasses.replace(FAIL, known=True)),
            True,
            "conformant to 0.1.0: 1 pass, 1 known failing",
        ),
        (
            report(PASS, dataclasses.replace(PASS, status="not-run")),
            False,
            "not conformant: 1 pass, 1 not-run",
        ),
        (
            report(PASS, dataclasses.replace(PASS, status="not-run"), filtered=True),
            True,
            "a part of the suite: 1 pass, 1 not-run",
        ),
        (
            report(PASS, problems=("a title is bad",)),
            False,
            "not conformant: 1 pass, 1 problem of the lists",
        ),
        (report(PASS, FAIL, filtered=True), False, "not conformant: 1 pass, 1 fail"),
    ],
)
def test_verdicts(made: Report, ok: bool, text: str) -> None:
    assert made.verdict().ok is ok
    assert made.verdict().text == text


@pytest.mark.parametrize("status", ["errored", "crashed", "timeout", "unsupported", "uncovered"])
def test_no_status_but_pass_is_green_by_itself(status: str) -> None:
    assert not report(PASS, dataclasses.replace(PASS, status=status)).verdict().ok


def test_lines_are_under_their_schema_and_read_back() -> None:
    made = report(PASS, FAIL)
    for line in made.lines():
        assert schemas.problem("report", yaml.safe_load(line)) is None
    header, results, footer = read(made.lines())
    assert results == [PASS, FAIL]
    assert (header["report"], footer["ok"]) == (1, False)


def test_junit_names_cases_by_id_alone() -> None:
    known = dataclasses.replace(FAIL, known=True, case="ts-0002")
    crashed = dataclasses.replace(FAIL, status="crashed", message="\x00 bang", case="ts-0003")
    suite = ElementTree.fromstring(report(PASS, FAIL, known, crashed).junit())
    assert dict(suite.items())["failures"] == "1"
    assert [(row.get("name"), [each.tag for each in row]) for row in suite] == [
        ("ts-0001", []),
        ("ts-0001", ["failure"]),
        ("ts-0002", ["skipped"]),
        ("ts-0003", ["error"]),
    ]
    assert {row.get("classname") for row in suite} == {"python->typescript"}


def test_a_listed_failure_is_known_only_as_listed() -> None:
    assert mark(FAIL, [entry()]).known
    assert not mark(FAIL, [entry(check="outcome")]).known
    assert not mark(FAIL, [entry(message="thrice")]).known
    assert not mark(FAIL, [entry(pairing="python->python")]).known
    assert not mark(PASS, [entry()]).known


@pytest.mark.parametrize(
    ("listed", "result", "told"),
    [
        (entry(), FAIL, None),
        (entry(), PASS, "is pass; take it off the list"),
        (entry(message="thrice"), FAIL, "fails otherwise: effects: twice: pay"),
        (entry(expires=TODAY - datetime.timedelta(1)), FAIL, "expired on 2026-11-24"),
        (entry(expires=TODAY), FAIL, None),
        (entry(case="ts-0009"), FAIL, "ts-0009 python->typescript does not exist"),
        (entry(), dataclasses.replace(PASS, status="not-run"), None),
    ],
)
def test_stale_entries_are_problems(listed: Entry, result: Result, told: str | None) -> None:
    found = stale([listed], [result], {PASS.key}, TODAY)
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_an_entry_listed_twice_is_a_problem() -> None:
    assert "listed twice" in stale([entry(), entry()], [FAIL], {PASS.key}, TODAY)[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reason": ""}, "reason is empty"),
        ({"issue": "later"}, "issue is no link"),
        ({"expires": "soon"}, "expires is no day"),
        ({"colour": "red"}, "an entry holds"),
    ],
)
def test_wrong_entries_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CaseError, match=told):
        entry(**changes)


def test_fixing_keeps_what_holds_and_leaves_reasons_to_people() -> None:
    text = (
        "# Listed with care.\n"
        + yaml.safe_dump([ENTRY], sort_keys=False)
        + yaml.safe_dump([{**ENTRY, "case": "ts-0002"}], sort_keys=False)
        + "# why the third\n"
        + yaml.safe_dump([{**ENTRY, "case": "ts-0003", "message": "old"}], sort_keys=False)
    )
    gone = dataclasses.replace(PASS, case="ts-0002")
    other = dataclasses.replace(FAIL, case="ts-0003", check="outcome", message='says "no"')
    new = dataclasses.replace(FAIL, case="ts-0004")
    elsewhere = dataclasses.replace(FAIL, case="ts-0005", pairing="python->python")
    results = [mark(FAIL, [entry()]), gone, other, new, elsewhere]
    after = fixed(text, results, "typescript")
    entries = yaml.safe_load(after)
    assert after.startswith("# Listed with care.\n")
    assert "# why the third\n- case: ts-0003" in after
    assert [each["case"] for each in entries] == ["ts-0001", "ts-0003", "ts-0004"]
    assert entries[0] == ENTRY
    assert (entries[1]["check"], entries[1]["message"]) == ("outcome", 'says "no"')
    assert entries[2]["reason"] == ""
    assert fixed("", [PASS], "typescript") == ""


def test_the_matrix_counts_by_writer_and_reader() -> None:
    alone = dataclasses.replace(PASS, pairing="python")
    relay = dataclasses.replace(FAIL, pairing="typescript->python->typescript", known=True)
    apart = dataclasses.replace(PASS, status="n/a", pairing="typescript->python")
    made = matrix.Matrix.of([PASS, FAIL, alone, relay, apart])
    assert matrix.markdown(made).splitlines() == [
        "| written by | finished by python | finished by typescript | alone |",
        "| --- | --- | --- | --- |",
        "| python | - | 1/2, 1 failing | 1/1 |",
        "| typescript | 0/0, 1 n/a | 0/1, 1 known failing | - |",
    ]
    assert "1/2, 1 failing" in matrix.plain(made)


def test_the_matrix_has_rows_for_what_is_kept_in_each_place() -> None:
    kept = [
        dataclasses.replace(PASS, pairing=f"python->typescript@{place}", source=f"cases/{area}/x")
        for place, area in (
            ("pglite", "stores"),
            ("folder", "inbox"),
            ("folder", "sessions"),
            ("folder", "stores"),
        )
    ]
    alone = dataclasses.replace(PASS, pairing="typescript@folder", source="cases/stores/y")
    made = matrix.Matrix.of([PASS, *kept, alone])
    assert matrix.markdown(made).splitlines()[2:] == [
        "| python | - | 1/1 | - |",
        "| typescript | - | - | - |",
        "| python, run in a folder | - | 2/2 | - |",
        "| typescript, run in a folder | - | - | 1/1 |",
        "| python, session in a folder | - | 1/1 | - |",
        "| python, run in PGLite | - | 1/1 | - |",
    ]
