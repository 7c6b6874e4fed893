"""Whole suites over fake ports: what each lie and each kind of case comes out as."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from conformance.harness import schemas
from conformance.harness.case import pairings
from conformance.harness.report import Report, Result

from .workshop import CASE, build, case, suite

START = {"port": "A", "do": "run.start", "input": "Pay."}
DECIDE = {"port": "A", "do": "run.decide", "call_id": "call_1", "decision": "approve"}
LATE = {**DECIDE, "port": "B"}
CROSS = {"do": "cross", "from": "A", "to": "B"}
ADVANCE = {"port": "B", "do": "run.advance"}


def run(root: Path, *cases: dict[str, Any], lies: dict[str, str] | None = None) -> list[Result]:
    """The results of every run of `cases`."""
    build(root, *cases, lies=lies)
    with suite(root) as made:
        return [
            made.run(each, pairing)[0]
            for each in made.library.cases
            for pairing in pairings(each, made.ports)
        ]


def statuses(results: list[Result]) -> dict[str, str]:
    return {each.pairing: f"{each.status} {each.check}".strip() for each in results}


def test_honest_ports_pass_every_pairing(tmp_path: Path) -> None:
    results = run(tmp_path)
    assert statuses(results) == {
        "python->python": "pass",
        "python->typescript": "pass",
        "typescript->python": "pass",
        "typescript->typescript": "pass",
    }
    assert {each.requests for each in results} == {2}


@pytest.mark.parametrize(
    ("lie", "both", "reading", "writing"),
    [
        ("wrong-answer", "fail outcome", "fail outcome", "pass"),
        ("runs-twice", "fail effects", "fail effects", "pass"),
        ("forgets-history", "fail requests", "fail requests", "pass"),
        ("wrong-digest", "fail digest", "pass", "fail digest"),
        ("loses-decisions", "fail outcome", "fail outcome", "pass"),
        ("bad-document", "fail document", "pass", "fail document"),
        ("crash", "crashed crash", "crashed crash", "crashed crash"),
        ("noise", "errored protocol:noise", "errored protocol:noise", "errored protocol:noise"),
        ("lacks-declared", "errored declared", "fail reference", "errored declared"),
    ],
)
def test_a_lie_is_told_by_its_name(
    tmp_path: Path, lie: str, both: str, reading: str, writing: str
) -> None:
    results = statuses(run(tmp_path, lies={"typescript": lie}))
    assert results["python->python"] == "pass"
    assert results["typescript->typescript"] == both
    if lie not in ("crash", "noise"):
        assert results["python->typescript"] == reading
    assert results["typescript->python"] == writing


def test_file_form_sessions_and_late_decisions(tmp_path: Path) -> None:
    legs = [START, {**CROSS, "form": "file"}, LATE, {**ADVANCE, "stream": True}]
    items = [{"role": "user", "content": "earlier"}]
    streamed = case(legs=legs, session={"items": items})
    streamed["expect"]["session"] = "equal-to-uncrossed"
    results = run(tmp_path, streamed)
    assert set(statuses(results).values()) == {"fail session"}, "the fake keeps no session apart"


def test_digest_and_document_expectations(tmp_path: Path) -> None:
    cross = {**CROSS, "digest": "equal", "expect": {"document": {"decisions": []}}}
    results = run(tmp_path, case(legs=[START, cross, LATE, ADVANCE]))
    assert set(statuses(results).values()) == {"pass"}
    cross["expect"] = {"document": {"status": "completed"}}
    results = run(tmp_path, case(legs=[START, cross, LATE, ADVANCE]))
    assert set(statuses(results).values()) == {"fail document"}
    assert '/status: "interrupted", expected "completed"' in results[0].message


def test_a_reader_that_loses_a_decision_shows_in_the_digest(tmp_path: Path) -> None:
    cross = {**CROSS, "digest": "equal"}
    told = case(legs=[START, DECIDE, cross, ADVANCE])
    results = run(tmp_path, told, lies={"typescript": "loses-decisions"})
    assert statuses(results)["python->typescript"] == "fail digest"
    assert "/decisions/0: missing" in results[1].message


def test_a_reader_that_only_passes_a_document_on_shows_too(tmp_path: Path) -> None:
    cross = {**CROSS, "digest": "equal"}
    told = case(legs=[START, DECIDE, cross, ADVANCE])
    results = run(tmp_path, told, lies={"typescript": "passes-on"})
    assert statuses(results)["python->typescript"] == "fail digest"
    assert "written anew: the core changed: /decisions/0: missing" in results[1].message
    cross["digest"] = "kept"
    results = run(tmp_path, told, lies={"typescript": "passes-on"})
    assert statuses(results)["python->typescript"] == "fail outcome"


def test_expectations_of_the_whole_run(tmp_path: Path) -> None:
    earlier = [{"role": "user", "content": "earlier"}]
    whole: dict[str, Any] = {"count": 2, "session": [*earlier, {"content": "Pay."}] + [{}] * 3}
    only = case(legs=[START, DECIDE, {**ADVANCE, "port": "A"}], expect=whole)
    only["session"] = {"items": earlier}
    assert statuses(run(tmp_path, only)) == {"python": "pass", "typescript": "pass"}
    whole["session"] = whole["session"][:-1]
    assert set(statuses(run(tmp_path, only)).values()) == {"fail session"}
    whole |= {"count": 3, "session": "equal-to-uncrossed"}
    assert set(statuses(run(tmp_path, only)).values()) == {"fail count"}


def test_effects_of_all_ports_are_one_ledger(tmp_path: Path) -> None:
    between = {"port": "A", "do": "run.advance", "expect": {"status": "interrupted"}}
    legs = [START, DECIDE, between, CROSS, {**LATE, "call_id": "call_2"}, ADVANCE]
    twice = case(legs=legs, cassette="pay-twice")
    results = run(tmp_path, twice)
    assert set(statuses(results).values()) == {"fail effects"}
    assert results[0].message == 'pay({"n":1}) happened, or too often'
    twice["expect"]["effects"] *= 2
    assert set(statuses(run(tmp_path, twice)).values()) == {"pass"}
    del twice["expect"]["effects"]
    results = run(tmp_path, twice, lies={"typescript": "runs-twice"})
    assert statuses(results)["typescript->python"] == "fail effects"


def test_requests_can_be_held_to_those_of_the_writer(tmp_path: Path) -> None:
    told = case()
    told["expect"]["requests"] = "equal-to-writer"
    assert set(statuses(run(tmp_path, told)).values()) == {"pass"}
    results = statuses(run(tmp_path, told, lies={"typescript": "forgets-history"}))
    assert results["python->typescript"] == "fail requests"
    told["expect"]["requests"] = {
        "compare": "equal-to-uncrossed",
        "normalise": [{"drop": "/input/0", "reason": "the lie is about the input"}],
    }
    results = statuses(run(tmp_path, told, lies={"typescript": "forgets-history"}))
    assert results["python->typescript"] == "pass"


def test_a_refusal_may_be_for_other_languages_only(tmp_path: Path) -> None:
    told = case(
        legs=[START, DECIDE, CROSS],
        expect={"effects": []},
        negative={"phase": "state.load", "code": "handoff-step", "when": "foreign"},
        cassette="pay-once",
    )
    build(tmp_path)
    once = yaml.safe_load((tmp_path / "cassettes" / "pay.yaml").read_text())
    once["interactions"] = once["interactions"][:2]
    (tmp_path / "cassettes" / "pay-once.yaml").write_text(yaml.safe_dump(once))
    assert statuses(run(tmp_path, told)) == {
        "python->python": "pass",
        "python->typescript": "fail refusal",
        "typescript->python": "fail refusal",
        "typescript->typescript": "pass",
    }


def test_refusals_bind_phase_and_code(tmp_path: Path) -> None:
    damaged = {**CROSS, "patch": [{"op": "replace", "path": "/version", "value": "2"}]}
    negative = case(
        legs=[START, damaged],
        expect={"effects": []},
        negative={"phase": "state.load", "code": "newer-version"},
        cassette="pay-once",
    )
    build(tmp_path)
    text = (tmp_path / "cassettes" / "pay.yaml").read_text()
    once = yaml.safe_load(text)
    once["interactions"] = once["interactions"][:2]
    (tmp_path / "cassettes" / "pay-once.yaml").write_text(yaml.safe_dump(once))
    assert set(statuses(run(tmp_path, negative)).values()) == {"pass"}
    negative["negative"]["pointer"] = "/version"
    assert set(statuses(run(tmp_path, negative)).values()) == {"fail refusal"}
    negative["negative"]["code"] = "malformed"
    results = run(tmp_path, negative)
    assert set(statuses(results).values()) == {"fail refusal"}
    assert "code newer-version, expected malformed" in results[0].message
    negative["legs"] = [START, CROSS]
    assert "no error, expected malformed" in run(tmp_path, negative)[0].message


def test_a_cassette_is_played_whole_and_alone(tmp_path: Path) -> None:
    results = run(tmp_path, case(legs=[START, CROSS], expect={"count": 1}))
    assert set(statuses(results).values()) == {"fail cassette"}
    assert results[0].message == "unused interaction: turn 2 of cassette pay"
    results = run(tmp_path, case(cassette=None))
    assert "the case has no cassette" in results[0].message


def test_restrictions_and_capabilities_are_shown(tmp_path: Path) -> None:
    only = {"only": ["python"], "reason": "the other SDK has no such tool"}
    results = statuses(run(tmp_path, case(writers=only)))
    assert results["typescript->python"] == "n/a"
    assert results["python->typescript"] == "pass"
    results = statuses(run(tmp_path, case(requires=["time-travel"])))
    assert set(results.values()) == {"unsupported unsupported"}


def pytest_run(root: Path, *options: str) -> tuple[int, str]:
    """The suite as a user runs it; exit code and output."""
    reports = str(root / "reports")
    # With CI set, pytest repeats whole messages in its summary.
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "--suite", str(root), "--reports", reports, *options],
        cwd=schemas.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, "COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


def require(root: Path, *ids: str) -> None:
    text = yaml.safe_dump({"version": "0.1.0", "cases": list(ids)})
    (root / "conformance" / "requirements" / "0.1.0.yaml").write_text(text)


def report(root: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    lines = (root / "reports" / "report.ndjson").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        assert schemas.problem("report", row) is None
    return rows[0], rows[1:-1], rows[-1]


def test_a_full_run_says_conformant_and_a_part_never_does(tmp_path: Path) -> None:
    build(tmp_path, CASE, case(id="ts-0002", title="the other one"))
    require(tmp_path, "ts-0001", "ts-0002")
    code, output = pytest_run(tmp_path)
    assert code == 0, output
    assert "conformant to 0.1.0: 8 pass" in output
    assert "python      2/2" in output
    header, rows, footer = report(tmp_path)
    assert footer["ok"] is True
    assert footer["counts"] == {"pass": 8}
    assert header["ports"]["python"]["port"]["name"] == "tiny"
    junit = ElementTree.parse(tmp_path / "reports" / "junit.xml").getroot()
    assert {(row.get("name"), row.get("classname")) for row in junit} == {
        (row["case"], row["pairing"]) for row in rows
    }
    code, output = pytest_run(tmp_path, "-k", "ts-0001")
    assert code == 0, output
    assert "a part of the suite: 4 pass, 4 not-run" in output
    assert report(tmp_path)[2]["verdict"].startswith("a part")
    code, output = pytest_run(tmp_path, "-n", "2")
    assert code == 0, output
    assert "conformant to 0.1.0: 8 pass" in output


def test_red_runs_show_their_transcript_and_green_ones_do_not(tmp_path: Path) -> None:
    build(tmp_path, lies={"typescript": "wrong-answer"})
    require(tmp_path, "ts-0001", "ts-0009")
    code, output = pytest_run(tmp_path)
    assert code == 1
    assert "not conformant: 2 pass, 2 fail, 1 uncovered" in output
    assert '/output: "I made this up.", expected "Paid."' in output
    assert '> {"id":' in output
    assert output.count("# ts-0001") == 2
    code, output = pytest_run(tmp_path, "-x")
    assert code == 1
    assert "not-run" in output


def test_a_broken_case_file_and_an_empty_suite_are_red(tmp_path: Path) -> None:
    build(tmp_path, case(legs=[{**START, "colour": "red"}]))
    code, output = pytest_run(tmp_path)
    assert code != 0
    assert "colour" in output
    (tmp_path / "conformance" / "cases" / "ts-0001.yaml").unlink()
    code, output = pytest_run(tmp_path)
    assert code != 0
    assert "nothing ran" in output


def test_known_failing_lists(tmp_path: Path) -> None:
    build(tmp_path, lies={"typescript": "wrong-answer"})
    require(tmp_path, "ts-0001")
    code, output = pytest_run(tmp_path, "--fix")
    assert code == 1
    assert "rewrote typescript.yaml" in output
    path = tmp_path / "conformance" / "known-failing" / "typescript.yaml"
    code, output = pytest_run(tmp_path)
    assert "reason, issue, owner, expires is empty" in output
    text = "# why\n" + path.read_text()
    for key in ("reason", "owner"):
        text = text.replace(f'{key}: ""', f'{key}: "someone"')
    text = text.replace('issue: ""', 'issue: "https://example.org/1"')
    text = text.replace('expires: ""', f"expires: {datetime.date.today() + datetime.timedelta(9)}")
    path.write_text(text)
    code, output = pytest_run(tmp_path)
    assert code == 0, output
    assert "conformant to 0.1.0: 2 pass, 2 known failing" in output
    build(tmp_path)
    code, output = pytest_run(tmp_path)
    assert code == 1
    assert "is pass; take it off the list" in output
    code, output = pytest_run(tmp_path, "--fix", "-k", "ts-0001")
    assert "needs the whole suite" in output
    pytest_run(tmp_path, "--fix")
    assert path.read_text() == "# why\n"


def test_nothing_but_the_report_knows_ports(tmp_path: Path) -> None:
    build(tmp_path)
    with suite(tmp_path) as made:
        made_report = made.report(
            {}, ports={}, started=datetime.datetime(2026, 1, 1), seconds=0.0, filtered=False
        )
    assert isinstance(made_report, Report)
    assert made_report.verdict().ok is False
