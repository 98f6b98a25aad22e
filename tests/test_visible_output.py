"""Every text that is printed or logged passes engine/visible.py."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.utils.module_loading import import_string

from blueprints.command_line import SwarmCommand
from engine.visible import VisibleFormatter
from swarm_project.log_config import logging_config

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("engine", "blueprints", "workers", "swarm_project")
SOURCES = [
    *(path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))),
    ROOT / "manage.py",
]
# What makes an Output and what may write past it: texts are made visible there.
DOOR = {"engine/visible.py", "blueprints/terminal.py", "workers/terminal/console.py"}
# What these print to is an Output (the next test proves it).
SPOKEN = "management/commands/"
SPEAKERS = {"blueprints/command_line.py"}
PASSES_BY = {"write_raw", "raw_stream", "__stdout__", "__stderr__"}
MAKES_ITS_OWN = {"Console", "StreamHandler", "Formatter", "FileHandler"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def stands_alone(tree: ast.Module) -> bool:
    """Return whether a file is a separate program, which imports nothing of ours."""
    main = any(ast.unparse(node).startswith("if __name__ ==") for node in tree.body)
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    ours = any((node.module or "").split(".")[0] in FLOORS for node in imports)
    return main and not ours


def ways_around(path: Path) -> Iterator[str]:
    """Yield the places of a file where a text may get out as it is."""
    name, tree = name_of(path), ast.parse(path.read_text())
    if name in DOOR or stands_alone(tree):
        return
    speaks = SPOKEN in name or name in SPEAKERS
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PASSES_BY:
            yield f"{name}:{node.lineno}: {ast.unparse(node)}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called.rpartition(".")[2] in MAKES_ITS_OWN:
            yield f"{name}:{node.lineno}: {called}"
        out = called == "print" or called.startswith(("sys.stdout.w", "sys.stderr.w"))
        shown = [ast.unparse(arg).startswith("visible(") for arg in node.args]
        if (out and not speaks and not all(shown)) or ".buffer.write" in called:
            yield f"{name}:{node.lineno}: {called}"


def test_nothing_is_printed_past_the_terminal_module() -> None:
    assert [place for path in SOURCES for place in ways_around(path)] == []


def test_every_command_of_ours_prints_through_outputs() -> None:
    ours = {name: app for name, app in get_commands().items() if app in FLOORS}
    assert {"blueprint", "doctor", "fleet", "run", "runs", "up"} <= set(ours)
    for name, app in ours.items():
        command = load_command_class(app, name)
        assert isinstance(command, SwarmCommand), name
        assert command.style.ERROR("x") == "x"


def test_every_handler_formats_visibly() -> None:
    config = logging_config(level="INFO", agents=["a"])
    classes = {name: made["class"] for name, made in config["formatters"].items()}
    formatters = [handler["formatter"] for handler in config["handlers"].values()]
    for name in formatters:
        assert issubclass(import_string(classes[name]), VisibleFormatter)
    # The two that Celery would give handlers with a format of its own.
    for name in ("celery.task", "multiprocessing"):
        assert config["loggers"][name]["handlers"] == ["stderr"]
    for name in ("", "workers", "celery.task", "multiprocessing"):
        for handler in logging.getLogger(name).handlers:
            if type(handler) is logging.StreamHandler:
                assert isinstance(handler.formatter, VisibleFormatter), name


def test_every_page_passes_the_visible_filter() -> None:
    assert settings.MIDDLEWARE[-1] == "blueprints.pages.visible_pages"
