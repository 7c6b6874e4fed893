"""Every check of the project, one nox session each."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
TYPESCRIPT = ROOT / "typescript"
PYTHON = ROOT / ".venv" / "bin" / "python"


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
        os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
        session.log("installing the Python environment")
        session.run("uv", "venv", "--quiet", "--allow-existing", ".venv", external=True)
        session.run(
            "uv", "pip", "sync", "--quiet", "--python", str(PYTHON), str(lock), external=True
        )
        session.run(
            *("uv", "pip", "install", "--quiet", "--python", str(PYTHON)),
            *("--no-deps", "--editable", "."),
            external=True,
        )
        stamp.write_text(digest)


def _typescript(session: nox.Session) -> None:
    """Install the locked npm packages and build the TypeScript port, unless both are current."""
    stamp = TYPESCRIPT / "node_modules" / "installed"
    with session.chdir(TYPESCRIPT):
        if digest := _stale(stamp, TYPESCRIPT / "package-lock.json"):
            session.log("installing the npm packages")
            session.run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", external=True)
            stamp.write_text(digest)
        sources = sorted((TYPESCRIPT / "src").rglob("*.ts"))
        built = TYPESCRIPT / "dist" / "built"
        if digest := _stale(built, *sources, TYPESCRIPT / "tsconfig.json"):
            session.log("building the TypeScript port")
            session.run("npm", "run", "--silent", "build", external=True)
            built.write_text(digest)


@nox.session
def tests(session: nox.Session) -> None:
    """Unit tests of both ports and of the harness."""
    _python(session)
    _typescript(session)
    session.run(str(PYTHON), "-m", "pytest", *session.posargs)
    with session.chdir(TYPESCRIPT):
        session.run("npm", "test", "--silent", external=True)
