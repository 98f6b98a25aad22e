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


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_file_has_at_most_500_lines() -> None:
    long = [
        f"{shown(path)} has {lines}"
        for path in ALL
        if (lines := len(path.read_text(encoding="utf-8").splitlines()))
        > MAX_FILE_LINES
    ]
    assert long == []


def test_a_function_has_at_most_60_lines() -> None:
    long = [
        f"{shown(path)}: {node.name} has {lines}"
        for path in ALL
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


def test_no_module_is_called_by_what_it_is_not() -> None:
    assert [n for n in map(name_of, OWN) if NAMELESS.intersection(n.split("."))] == []


def imports_in_functions(path: Path) -> list[str]:
    tree = tree_of(path)
    ready = {
        method
        for node in tree.body
        if isinstance(node, ast.ClassDef) and path.name == "apps.py"
        for method in node.body
        if isinstance(method, Function) and method.name == "ready"
    }
    return [
        f"{shown(path)}: {function.name}, line {node.lineno}"
        for function in functions_in(tree)
        if function not in ready
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def test_only_appconfig_ready_imports_inside_a_function() -> None:
    assert [inner for path in OWN for inner in imports_in_functions(path)] == []


def test_a_module_opens_with_a_docstring_of_one_to_four_lines() -> None:
    texts = {shown(path): ast.get_docstring(tree_of(path)) or "" for path in OWN}
    # The blank line below the first sentence is not counted.
    lines = {
        name: len([line for line in text.splitlines() if line])
        for name, text in texts.items()
    }
    assert {name: count for name, count in lines.items() if not 1 <= count <= 4} == {}


def public_without_docstring(path: Path) -> list[str]:
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
    return [
        f"{shown(path)}: {node.name}" for node in defined if not ast.get_docstring(node)
    ]


def test_a_public_function_of_the_engine_has_a_docstring() -> None:
    engine = source_files("engine")
    assert [name for path in engine for name in public_without_docstring(path)] == []


@pytest.mark.parametrize("name", sorted({*map(name_of, OWN)} - NOT_IMPORTED))
def test_every_module_can_be_imported(name: str) -> None:
    importlib.import_module(name)


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


def test_a_test_changes_no_import_path() -> None:
    changed = [
        f"{shown(path)}, line {node.lineno}"
        for path in source_files("tests")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
    ]
    assert changed == []


def test_what_tests_share_hides_no_other_module() -> None:
    shared = {path.stem for path in (ROOT / "tests" / "support").glob("*.py")}
    installed = set(metadata.packages_distributions())
    assert shared & (sys.stdlib_module_names | installed) == set()
