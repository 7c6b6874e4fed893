"""Every check of the project, one nox session each: `./dev SESSION [-- ARGUMENTS]`."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
TYPESCRIPT = ROOT / "typescript"
PYTHON = str(ROOT / ".venv" / "bin" / "python")

os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")


def _stale(stamp: Path, *inputs: Path) -> str | None:
    """The digest of `inputs` where it differs from the one in `stamp`."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return None
    return digest


def _python(session: nox.Session) -> None:
    """Install the locked Python environment into .venv, unless it is current."""
    lock = ROOT / "requirements.lock"
    stamp = ROOT / ".venv" / "installed"
    if digest := _stale(stamp, lock, ROOT / "pyproject.toml"):
        session.log("installing the Python environment")
        _run(session, "uv", "venv", "--quiet", "--allow-existing", ".venv")
        _run(session, "uv", "pip", "sync", "--quiet", "--python", PYTHON, str(lock))
        _run(session, "uv", "pip", "install", "--quiet", "--python", PYTHON, "--no-deps", "-e", ".")
        stamp.write_text(digest)


def _typescript(session: nox.Session) -> None:
    """Install the locked npm packages and build the TypeScript port, unless both are current."""
    stamp = TYPESCRIPT / "node_modules" / "installed"
    with session.chdir(TYPESCRIPT):
        if digest := _stale(stamp, TYPESCRIPT / "package-lock.json"):
            session.log("installing the npm packages")
            _run(session, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
            stamp.write_text(digest)
        sources = sorted((TYPESCRIPT / "src").rglob("*.ts"))
        built = TYPESCRIPT / "dist" / "built"
        if digest := _stale(built, *sources, TYPESCRIPT / "tsconfig.json"):
            session.log("building the TypeScript port")
            shutil.rmtree(TYPESCRIPT / "dist", ignore_errors=True)
            _run(session, "npm", "run", "--silent", "build")
            built.write_text(digest)


def _both(session: nox.Session) -> None:
    """Set up both ports."""
    _python(session)
    _typescript(session)


def _run(session: nox.Session, *command: str, env: dict[str, str] | None = None) -> None:
    session.run(*command, external=True, env=env)


_PROCESSES = (
    "tests/harness",
    "tests/drivers",
    "tests/external",
    "tests/approvals/test_cli.py",
    "tests/store/test_crashes.py",
)
_WORKERS = ("-q", "-n", "auto", "--dist", "worksteal")


@nox.session
def tests(session: nox.Session) -> None:
    """Unit tests of both ports."""
    _python(session)
    _typescript(session)
    if session.posargs:
        _run(session, PYTHON, "-m", "pytest", *session.posargs)
        return
    others = [f"--ignore={folder}" for folder in _PROCESSES]
    _run(session, PYTHON, "-m", "pytest", *_WORKERS, "tests", *others)
    with session.chdir(TYPESCRIPT):
        _run(session, "npm", "test", "--silent", "--", "--exclude", "test/driver/**")


@nox.session
def harness(session: nox.Session) -> None:
    """Tests of the harness and of both drivers, which run as processes."""
    _python(session)
    _typescript(session)
    _run(session, PYTHON, "-m", "pytest", *_WORKERS, *_PROCESSES)
    with session.chdir(TYPESCRIPT):
        _run(session, "npm", "test", "--silent", "--", "test/driver")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types of both ports."""
    _both(session)
    for check in (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)):
        _run(session, PYTHON, "-m", *check)
    with session.chdir(TYPESCRIPT):
        _run(session, "npm", "run", "--silent", "lint")
        _run(session, "npm", "run", "--silent", "check")


@nox.session
def schemas(session: nox.Session) -> None:
    """The published schemas: metaschema, descriptions, examples, and the types made from them."""
    _both(session)
    _run(session, PYTHON, "-m", "pytest", "tests/test_schemas.py")
    with session.chdir(TYPESCRIPT):
        _run(session, "npm", "run", "--silent", "generate", "--", "--check")


@nox.session
def conformance(session: nox.Session) -> None:
    """The conformance suite over both ports: `-- -k ts-0001 --trace` for a part of it."""
    _both(session)
    # Runs of one case stay in one process, which knows what the case does without crossing.
    whole = ("-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile")
    _run(session, PYTHON, "-m", "conformance", *(session.posargs or whole))


@nox.session
def resumers(session: nox.Session) -> None:
    """Two resumers of one paused run, one of each language, in 200 rounds at each location."""
    _both(session)
    _run(session, PYTHON, "-m", "conformance.resumers", *(session.posargs or ("--rounds", "200")))


def two_resumers(session: nox.Session) -> None:
    """A few rounds of `resumers`."""
    _both(session)
    _run(session, PYTHON, "-m", "conformance.resumers", "--rounds", "20")


@nox.session
def external(session: nox.Session) -> None:
    """Snapshots, scenarios and recordings from outside, where they are beside the repository."""
    _both(session)
    report = ("--report", "reports/external.ndjson")
    _run(session, PYTHON, "-m", "conformance.external", *(session.posargs or report))


@nox.session
def record(session: nox.Session) -> None:
    """Record cassettes anew from live services: `-- --to FILE -- COMMAND` for a new one."""
    _both(session)
    _run(session, PYTHON, "-m", "conformance.record", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measured ratios: converting, saving, importing."""
    _both(session)
    _run(session, PYTHON, "-m", "bench", *session.posargs)


@nox.session
def packages(session: nox.Session) -> None:
    """Build both packages, install what was built into clean folders, and try it there."""
    _both(session)
    folder = Path(session.create_tmp()).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _run(session, "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder))
    with session.chdir(TYPESCRIPT):
        _run(session, "npm", "pack", "--silent", "--pack-destination", str(folder))
    _run(session, PYTHON, "-m", "tests.packages", str(folder))


@nox.session
def minimums(session: nox.Session) -> None:
    """Unit tests of the Python port with the oldest releases pyproject.toml allows."""
    venv = f"{session.create_tmp()}/venv"
    python = f"{venv}/bin/python"
    _run(session, "uv", "venv", "--quiet", "--clear", venv)
    oldest = ("--resolution", "lowest-direct", "--group", "dev", "-e", ".")
    _run(session, "uv", "pip", "install", "--quiet", "--python", python, *oldest)
    _run(session, python, "-m", "pytest", *session.posargs)


@nox.session
def zod(session: nox.Session) -> None:
    """Unit tests of the TypeScript port with the newest zod its peer range allows."""
    copy = Path(session.create_tmp()).absolute() / "repository"
    shutil.rmtree(copy, ignore_errors=True)
    ignored = shutil.ignore_patterns("node_modules", "dist")
    for name in ("typescript", "schemas", "tests", "cassettes", "conformance"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    with session.chdir(copy / "typescript"):
        _run(session, "npm", "install", "--no-save", "--no-audit", "--no-fund", "zod@4")
        _run(session, "npm", "run", "--silent", "build")
        _run(session, "npm", "test", "--silent", env={"TIMESTEP_PYTHON": PYTHON})


@nox.session
def crashes(session: nox.Session) -> None:
    """Kill whoever has a PGLite folder open while it writes, twenty times in each port."""
    _both(session)
    session.env["TIMESTEP_ROUNDS"] = "20"
    _run(session, PYTHON, "-m", "pytest", "tests/store/test_pglite.py")
    with session.chdir(TYPESCRIPT):
        _run(session, "npm", "test", "--silent", "--", "test/store/pglite.test.ts")


@nox.session
def fixtures(session: nox.Session) -> None:
    """Take the fixtures anew, those of older SDK releases too; a file of the same shape stays."""
    _both(session)
    _run(session, PYTHON, "-m", "conformance.fixtures.generate", "--older")


@nox.session
def mutants(session: nox.Session) -> None:
    """Break one codec rule after the other; each has to turn a case red. Takes half an hour."""
    _both(session)
    _run(session, PYTHON, "-m", "conformance.harness.mutants", *session.posargs)


CI: tuple[Callable[[nox.Session], None], ...] = (
    lint,
    tests,
    harness,
    schemas,
    conformance,
    two_resumers,
    external,
)


@nox.session
def ci(session: nox.Session) -> None:
    """Everything a change must pass, every step even after a failure, with the time of each."""
    outcomes = {}
    for number, step in enumerate(CI, 1):
        name = getattr(step, "__name__", str(step))
        print(f"\n=== {number}/{len(CI)} {name}", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            step(session)
            outcome = "passed"
        except CommandFailed:
            outcome = "FAILED"
        outcomes[f"{name:<14}{outcome} {time.monotonic() - started:7.1f} s"] = outcome
    print("", *outcomes, sep="\n", file=sys.stderr)
    if "FAILED" in outcomes.values():
        session.error("not every step passed")
