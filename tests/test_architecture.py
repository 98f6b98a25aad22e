"""The house rules that neither ruff nor import-linter knows."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("engine", "blueprints", "workers", "swarm_project")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
NAMELESS = {"utils", "helpers", "common"}
# These need a server process or settings of their own to be imported.
NOT_IMPORTED = {"swarm_project.asgi", "swarm_project.wsgi"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "migrations" not in path.parts)


def name_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions_in(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


OWN = source_files(*FLOORS)
ALL = [*OWN, *source_files("tests"), ROOT / "manage.py"]


# Documents and lists that are not in this repository, so that a reader could not look
# there. Written so that this line is not found by itself.
OUTSIDE = re.compile(
    r"design[.]md|(mechanism|store|celery|performance)[-]notes|\xa7"
    r"|reference[-](language|engine|surfaces)|reference (?:system|implementation)"
    r"|language[-]semantics|examples[-]to[-]follow|\bshared[/]|\bissue [0-9]"
    r"|[(]SE[0-9]|\bAB[0-9]|Shown by [0-9]"
)
TEXTS = sorted(
    path
    for folder in (*FLOORS, "tests", "docs", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {"", ".py", ".lua", ".md", ".json", ".jsonl", ".yaml", ".html"}
    and path.is_file()
)


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    ids = [str(path.relative_to(ROOT)) for path in paths]
    return pytest.mark.parametrize("path", paths, ids=ids)


@by_name(ALL)
def test_a_file_has_at_most_500_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@by_name(ALL)
def test_a_function_has_at_most_60_lines(path: Path) -> None:
    long = [
        f"{node.name} has {lines}"
        for node in functions_in(tree_of(path))
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_nothing_refers_to_documents_outside_the_repository() -> None:
    found = [
        f"{path.relative_to(ROOT)}, line {number}: {match[0]}"
        for path in (*TEXTS, *ROOT.glob("*.md"), ROOT / "pyproject.toml")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := OUTSIDE.search(line))
    ]
    assert found == []


@by_name(OWN)
def test_no_module_is_called_by_what_it_is_not(path: Path) -> None:
    assert NAMELESS.isdisjoint(name_of(path).split("."))


@by_name(OWN)
def test_only_appconfig_ready_imports_inside_a_function(path: Path) -> None:
    tree = tree_of(path)
    ready = {
        method
        for node in tree.body
        if isinstance(node, ast.ClassDef) and path.name == "apps.py"
        for method in node.body
        if isinstance(method, Function) and method.name == "ready"
    }
    inner = [
        f"{function.name}, line {node.lineno}"
        for function in functions_in(tree)
        if function not in ready
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


@by_name(OWN)
def test_a_module_opens_with_a_docstring_of_one_to_four_lines(path: Path) -> None:
    text = ast.get_docstring(tree_of(path))
    assert text, "no docstring"
    # The blank line below the first sentence is not counted.
    assert len([line for line in text.splitlines() if line]) <= 4


@by_name(source_files("engine"))
def test_a_public_function_of_the_engine_has_a_docstring(path: Path) -> None:
    tree = tree_of(path)
    owners: list[ast.Module | ast.ClassDef] = [tree]
    owners += [node for node in tree.body if isinstance(node, ast.ClassDef)]
    public = (
        node
        for owner in owners
        if not (isinstance(owner, ast.ClassDef) and owner.name.startswith("_"))
        for node in owner.body
        if isinstance(node, Function) and not node.name.startswith("_")
    )
    # A body of `...` declares what another library defines and documents.
    defined = (node for node in public if ast.unparse(node.body) != "...")
    assert [node.name for node in defined if not ast.get_docstring(node)] == []


@by_name([path for path in OWN if name_of(path) not in NOT_IMPORTED])
def test_every_module_can_be_imported(path: Path) -> None:
    importlib.import_module(name_of(path))


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {name_of(path) for path in OWN}
    edges = {name_of(path): imports_of(path) & names for path in OWN}
    # What imports nothing that is left is taken away; a circle is what stays.
    while free := {name for name, wanted in edges.items() if not wanted}:
        edges = {
            name: wanted - free for name, wanted in edges.items() if name not in free
        }
    assert edges == {}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | inner
    # A package that gathers its parts is not imported by them.
    return found - {name_of(path)}


def test_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@by_name(source_files("tests"))
def test_a_test_changes_no_import_path(path: Path) -> None:
    changed = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
    ]
    assert changed == []


def test_what_tests_share_hides_no_other_module() -> None:
    shared = {path.stem for path in (ROOT / "tests" / "support").glob("*.py")}
    installed = set(metadata.packages_distributions())
    assert shared & (sys.stdlib_module_names | installed) == set()
