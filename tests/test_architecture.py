"""The architecture, where a test can hold it: who imports whom, how long, how private."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = sorted((ROOT / "timestep").rglob("*.py"))
SUITE = sorted((ROOT / "conformance").rglob("*.py"))
TYPESCRIPT = sorted((ROOT / "typescript" / "src").rglob("*.ts"))
MODULES = [*PYTHON, *SUITE, *TYPESCRIPT]

# Each part of a port may import itself, the errors, and the parts named here.
LAYERS = {
    "errors": set[str](),
    "state": set[str](),
    "pglite": set[str](),
    "store": {"state", "pglite"},
    "session": {"store", "state"},
    "approvals": {"store", "state"},
    "models": {"state"},
    "testing": {"state"},
    "run": {"models", "session", "store", "state"},
    "cli": {"run", "approvals", "models", "session", "store", "state"},
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """The dotted names a Python module imports anywhere, relative ones made absolute."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer(parts: tuple[str, ...]) -> str:
    return parts[1].removesuffix(".py").removesuffix(".ts") if len(parts) > 1 else ""


def test_the_rules_look_at_something() -> None:
    assert len(PYTHON) > 15
    assert len(TYPESCRIPT) > 10


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_dependencies_of_the_python_port_point_one_way(path: Path) -> None:
    own = layer(path.relative_to(ROOT).parts)
    if own == "__init__":
        return
    allowed = {own, "errors", *LAYERS[own]}
    for module in imported(path):
        if module.startswith("timestep."):
            assert module.split(".")[1] in allowed, f"{name(path)} imports {module}"
        assert not module.startswith("conformance"), f"{name(path)} imports {module}"


@pytest.mark.parametrize(
    "path", [path for path in TYPESCRIPT if "driver" not in name(path)], ids=name
)
def test_dependencies_of_the_typescript_port_point_one_way(path: Path) -> None:
    source = ROOT / "typescript" / "src"
    own = path.relative_to(source).parts[0].removesuffix(".ts")
    if own in ("index", "generated"):
        return
    allowed = {own, "errors", "generated", *LAYERS[own]}
    for target in re.findall(r"from '(\.[^']+)'", path.read_text()):
        module = (path.parent / target).resolve().relative_to(source).parts[0]
        assert module.removesuffix(".js") in allowed, f"{name(path)} imports {target}"


@pytest.mark.parametrize("path", SUITE, ids=name)
def test_only_drivers_and_the_makers_of_fixtures_import_a_port_or_an_sdk(path: Path) -> None:
    if name(path).startswith(("conformance/drivers/", "conformance/fixtures/")):
        return
    ports = [module for module in imported(path) if module.split(".")[0] in ("timestep", "agents")]
    assert ports == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_at_most_600_lines(path: Path) -> None:
    if "generated" not in path.parts:
        assert len(path.read_text().splitlines()) <= 600


def test_modules_are_about_200_lines_or_shorter() -> None:
    lengths = sorted(
        len(path.read_text().splitlines()) for path in MODULES if "generated" not in path.parts
    )
    assert lengths[len(lengths) // 2] <= 200


@pytest.mark.parametrize(
    "path",
    [path for path in PYTHON if path.name == "__init__.py" and path.parent.name != "timestep"],
    ids=name,
)
def test_an_init_only_hands_names_on(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            assert node.name in ("__getattr__", "__dir__")
        else:
            assert isinstance(
                node, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.If
            ), ast.unparse(node)


@pytest.mark.parametrize("path", [path for path in TYPESCRIPT if path.name == "index.ts"], ids=name)
def test_an_index_only_hands_names_on(path: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    statements = [each.strip() for each in text.split(";") if each.strip()]
    assert all(re.match(r"export (type )?(\{|\*)", each) for each in statements)


@pytest.mark.parametrize("path", [*PYTHON, *SUITE], ids=name)
def test_private_names_of_the_sdk_are_in_one_file(path: Path) -> None:
    """No `x._name` but on self or cls, and no import of a private name."""
    if name(path) == "timestep/state/sdk.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            assert own(node.value), f"{name(path)}:{node.lineno} {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agents"):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            assert not [part for part in parts if part.startswith("_")]
            assert "run_internal" not in parts


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_the_client_of_ollama_is_loaded_and_reached_into_in_one_file(path: Path) -> None:
    if name(path) == "timestep/models/ollama/client.py":
        return
    text = path.read_text()
    assert '"_client"' not in text
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    modules = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert "ollama" not in modules
    assert "httpx" not in modules


@pytest.mark.parametrize("path", TYPESCRIPT, ids=name)
def test_private_names_of_the_typescript_sdk_are_in_one_file(path: Path) -> None:
    """No `x._name` but on this, and nothing of the SDK that its package does not export."""
    if name(path) == "typescript/src/state/sdk.ts":
        return
    text = path.read_text()
    assert re.findall(r"(?<!this)\??\._[a-z]\w*", text) == []
    assert re.findall(r"'@openai/agents[\w-]*/(?:dist|_shims)[^']*'", text) == []


def own(node: ast.expr) -> bool:
    return ast.unparse(node) in ("self", "cls", "os")  # os._exit is public
