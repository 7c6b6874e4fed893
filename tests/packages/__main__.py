"""`python -m tests.packages FOLDER`: installs the packages built into FOLDER there and uses them.

The wheel goes into an environment of its own, the npm package into a folder of its own; neither
sees the repository.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

_PEERS = ("@electric-sql/pglite", "@openai/agents", "pg", "yaml", "zod")


def main(folder: Path) -> None:
    """Raises `CalledProcessError` or `AssertionError` where a package does not do its work."""
    [wheel] = folder.glob("*.whl")
    [package] = folder.glob("*.tgz")
    _say(f"{wheel.name}: {wheel.stat().st_size // 1024} KiB")
    names = zipfile.ZipFile(wheel).namelist()
    assert "timestep/schemas/run-state.schema.json" in names
    assert "timestep/schemas/sql/0001_store.sql" in names
    assert "timestep/schemas/delta-dictionary.txt" in names
    assert "timestep/py.typed" in names
    assert all(name.startswith("timestep") for name in names), names

    python = folder / "python"
    _run(python, "uv", "venv", "--quiet", "venv")
    _run(
        python,
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        "venv/bin/python",
        f"{wheel}[postgres]",
    )
    shutil.copy(HERE / "smoke.py", python)
    _run(python, "venv/bin/python", "smoke.py", "run.json")
    _run(python, "venv/bin/timestep", "validate", "run.json")
    _run(python, "venv/bin/timestep", "inspect", "run.json")
    _run(python, "venv/bin/timestep", "approvals", "list", "--location", "run.json")

    _say(f"{package.name}: {package.stat().st_size // 1024} KiB")
    node = folder / "node"
    node.mkdir()
    development = json.loads((ROOT / "typescript" / "package.json").read_bytes())["devDependencies"]
    peers = [f"{name}@{development[name]}" for name in _PEERS]
    (node / "package.json").write_text('{"type": "module", "private": true}')
    _run(node, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", package, *peers)
    shutil.copy(HERE / "smoke.mjs", node)
    _run(node, "node", "smoke.mjs", "../python/run.json")
    _run(python, "venv/bin/timestep", "validate", "run.json")
    _run(node, "npx", "--no", "timestep", "approvals", "list", "--location", "pglite:data")
    _run(node, "../python/venv/bin/timestep", "doctor", "--location", "pglite:data")
    _say("both packages work where they are installed")


def _run(folder: Path, *command: str | os.PathLike[str]) -> None:
    folder.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    subprocess.run(command, cwd=folder, check=True, env=environment)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
