"""The README keeps its promises: its example runs, its code is that of the examples."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The repository as a reader has it, but for the port: another one may be in use here."""
    port = str(free_port())
    (tmp_path / "typescript").mkdir()
    for name in (".venv", "conformance", "cassettes", "schemas"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("node_modules", "dist", "package.json"):
        (tmp_path / "typescript" / name).symlink_to(ROOT / "typescript" / name)
    for name in ("docs", "examples", "typescript/examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
        for path in (tmp_path / name).iterdir():
            if path.is_file():
                path.write_text(path.read_text().replace("8787", port))
    return tmp_path


def test_the_example_pauses_in_python_and_finishes_in_typescript(checkout: Path) -> None:
    [script] = [block for block in blocks("sh") if "examples/pause.py" in block]
    done = subprocess.run(
        ["bash", "-e"], input=script, cwd=checkout, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert 'waiting for approval: get_weather {"city":"Oslo"}' in lines
    assert any(re.match(r"oslo +call_\w+ +Weather +get_weather", line) for line in lines)
    assert lines[-2:] == ["It is sunny in Oslo.", "the conversation has 4 items"]


def test_a_run_on_ollama_finishes_in_typescript(checkout: Path) -> None:
    text = (checkout / "docs" / "models.md").read_text()
    [script] = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run(
        ["bash", "-e"], input=script, cwd=checkout, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert 'waiting for approval: get_weather {"city":"Oslo"}' in lines
    assert 'approving: get_weather {"city":"Oslo"}' in lines
    assert lines[-1] == "It is sunny in Oslo."


@pytest.mark.parametrize(
    ("language", "example"),
    [("python", "examples/pause.py"), ("js", "typescript/examples/finish.mjs")],
)
def test_the_code_is_that_of_the_example(language: str, example: str) -> None:
    text = (ROOT / example).read_text()
    for block in blocks(language):
        for line in block.splitlines():
            assert line.strip() in text


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").iterdir())],
)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    prose = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_every_session_named_is_there() -> None:
    sessions = set(re.findall(r"@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text()))
    text = README + (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"\./dev (\w+)", text)) <= sessions | {"alone", "needs"}
