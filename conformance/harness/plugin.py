"""The pytest plugin: every case file is collected, every pairing is a test.

`-k`, `-x`, `--lf`, `-n` and `--junitxml` are pytest's own; `--trace` prints the transcript of every
run, uncut, instead of starting a debugger. Beside pytest's report this writes
`report.ndjson`, `junit.xml` and `transcript.ndjson` to the folder of `--reports`.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import ports as ports_file
from .case import Case, Pairing, pairings
from .errors import CaseError, HarnessError
from .library import Library
from .live import Live
from .report import Report, Result
from .suite import Suite
from .transcript import show

_SUITE = pytest.StashKey[Suite]()
_TRACE = pytest.StashKey[bool]()
_ROOT = Path(__file__).resolve().parents[2]


class Unexpected(Exception):
    """A run that is red and not listed, or listed and not red in the listed way."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption(
        "--fix", action="store_true", help="rewrite the known-failing lists from a full run"
    )
    group.addoption("--port", action="append", default=[], help="run with this port only")
    group.addoption("--reports", type=Path, default=_ROOT / "reports", help="where reports go")
    group.addoption("--suite", type=Path, default=_ROOT, help="where cases and cassettes are")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TRACE], config.option.trace = config.option.trace, False
    root: Path = config.getoption("--suite")
    try:
        chosen = ports_file.load(root / "conformance" / "ports.yaml")
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    if names := config.getoption("--port"):
        chosen = tuple(port for port in chosen if port.name in names)
        if len(chosen) != len(set(names)):
            raise pytest.UsageError(f"no such port among {', '.join(names)}")
    if config.getoption("--fix") and _filtered(config):
        raise pytest.UsageError("--fix needs the whole suite, not a filtered run")
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = [str(root / "conformance" / "cases")]
    # The environment would tell too, but hands the name on to a suite that a test starts.
    worker = getattr(config, "workerinput", {}).get("workerid")
    suffix = f"-{worker}" if worker else ""
    transcript = config.getoption("--reports") / f"transcript{suffix}.ndjson"
    suite = Suite(Library(root), chosen, transcript=transcript)
    config.stash[_SUITE] = suite
    if worker is None:
        if config.option.verbose == 0:
            config.option.verbose = -1
        config.pluginmanager.register(Reporter(config, suite), "conformance-reporter")


def pytest_unconfigure(config: pytest.Config) -> None:
    if suite := config.stash.get(_SUITE, None):
        suite.close()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    root = parent.config.stash[_SUITE].library.root
    if file_path.suffix == ".yaml" and file_path.is_relative_to(root / "conformance" / "cases"):
        file: CaseFile = CaseFile.from_parent(parent, path=file_path)
        return file
    return None


class CaseFile(pytest.File):
    """A case file."""

    def collect(self) -> Iterator[CaseItem]:
        suite = self.config.stash[_SUITE]
        case = suite.library.case(self.path)
        for pairing in pairings(case, suite.ports):
            yield CaseItem.from_parent(
                self, name=f"{case.id}[{pairing.label}]", case=case, pairing=pairing
            )

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | Any:
        if isinstance(excinfo.value, CaseError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class CaseItem(pytest.Item):
    """One run of a case."""

    def __init__(self, *, case: Case, pairing: Pairing, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self.pairing = pairing
        self.result: Result | None = None

    def runtest(self) -> None:
        suite = self.config.stash[_SUITE]
        result, lines = suite.run(self.case, self.pairing)
        self.result = result
        listed = any(entry.key == result.key for entry in suite.entries)
        if self.config.stash[_TRACE]:
            self.add_report_section("call", "transcript", show(lines, width=None))
        if result.known:
            pytest.xfail(f"known failing: {result.message.partition(chr(10))[0]}")
        if result.status == "n/a" and not listed:
            pytest.skip(result.message)
        if result.status != "pass":
            check = f" ({result.check})" if result.check else ""
            text = "" if self.config.stash[_TRACE] else f"\n\n{show(lines)}"
            raise Unexpected(f"{result.status}{check}: {result.message}{text}")
        if listed:
            raise Unexpected("passes; take it off the list of known failures")

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | Any:
        if isinstance(excinfo.value, Unexpected | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.case.id} {self.pairing.label}: {self.case.title}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the result, as plain data that also travels between processes."""
    report = yield
    if isinstance(item, CaseItem) and item.result is not None and call.when == "call":
        drivers = item.config.stash[_SUITE].drivers
        hello = {name: each.hello for name, each in drivers.items() if each.hello}
        report.__dict__["conformance"] = {
            "result": dataclasses.asdict(item.result),
            "hello": hello,
        }
    return report


class Reporter:
    """Collects results on the process that reports, shows them as they come, writes the files."""

    def __init__(self, config: pytest.Config, suite: Suite) -> None:
        self.results: dict[tuple[str, str], Result] = {}
        self.hello: dict[str, Any] = {}
        self.report: Report | None = None
        self.error = ""
        self.changed: list[Path] = []
        self._config = config
        self._suite = suite
        self._began = time.monotonic()
        self._started = datetime.datetime.now(datetime.UTC)
        self._live: Live | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        cases = [item.case for item in session.items if isinstance(item, CaseItem)]
        if cases:
            self._expect(Counter(case.id for case in cases))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        values: dict[str, Any] | None = getattr(report, "conformance", None)
        if values is None:
            return
        result = Result(**values["result"])
        self.results[result.key] = result
        self.hello |= values["hello"]
        if self._live is None:
            self._expect(Counter(each.case for each in self._suite.every_run()))
        assert self._live is not None
        self._live.add(result)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Pytest counts, the live view shows."""
        if self._config.option.verbose > 0 or report.when != "call":
            return None
        if hasattr(report, "wasxfail"):
            return "xfailed", "", ""
        return report.outcome, "", ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._live is not None:
            self._live.close()
        if self._config.option.collectonly:
            return
        try:
            self.report = self._suite.report(
                self.results,
                ports=self.hello,
                started=self._started,
                seconds=time.monotonic() - self._began,
                filtered=_filtered(self._config),
            )
        except CaseError as error:
            self.error = str(error)
        if self.report is not None:
            folder: Path = self._config.getoption("--reports")
            folder.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{line}\n" for line in self.report.lines())
            (folder / "report.ndjson").write_text(lines)
            (folder / "junit.xml").write_text(self.report.junit())
            if self._config.getoption("--fix"):
                self.changed = self._suite.fix(self.report)
        if session.exitstatus == 0 and (self.report is None or not self.report.verdict().ok):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.report is None:
            if self.error:
                terminalreporter.write_line(self.error, red=True)
            return
        from .matrix import Matrix, plain

        terminalreporter.write_line("")
        terminalreporter.write_line(plain(Matrix.of(self.report.shown())))
        for problem in self.report.problems:
            terminalreporter.write_line(problem, red=True)
        for path in self.changed:
            terminalreporter.write_line(f"rewrote {path.name}")
        verdict = self.report.verdict()
        terminalreporter.write_line("")
        terminalreporter.write_line(
            f"{verdict.text} ({self.report.seconds:.1f} s)", green=verdict.ok, red=not verdict.ok
        )

    def _expect(self, due: Counter[str]) -> None:
        if not self._config.option.collectonly and self._live is None:
            self._live = Live(due, quiet=self._config.option.verbose < -1)


def _filtered(config: pytest.Config) -> bool:
    """Whether options pick a part of the suite."""
    option = config.option
    arguments = config.invocation_params.args
    paths = [arg for arg in config.args if config.args_source is pytest.Config.ArgsSource.ARGS]
    return bool(
        option.keyword
        or option.markexpr
        or option.deselect
        or getattr(option, "lf", False)
        or option.ignore
        or option.ignore_glob
        or config.getoption("--port")
        or paths
        or any(str(arg).startswith("--last-failed") for arg in arguments)
    )
