"""`blueprint new SHAPE NAME`: make a Blueprint that runs and can be edited."""

import os
import re
import shutil
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.command_line import typed
from blueprints.parameters import ArgumentRefused
from engine.flow.grammar import DIALECTS

HELP: Final = (
    "Make a folder with a Blueprint that lints clean and runs as it is: single (one"
    " step), pipeline (stages with gates, in Lua), verdict (a loop until it is good),"
    " fanout (one lane an item)."
)
SHAPES: Final = ("pipeline", "single", "verdict", "fanout")
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
FOLDER: Final = Path(__file__).resolve().parent / "scaffolds"
# Stands in a scaffold for the id of the Blueprint.
UNNAMED: Final = "NAME"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shape", choices=SHAPES, metavar="|".join(SHAPES))
    parser.add_argument("name", metavar="NAME", help="the Blueprint's id and folder")
    parser.add_argument(
        "--dir", default=".", metavar="DIR", help="where the folder is made (here)"
    )
    parser.add_argument(
        "--dialect", choices=DIALECTS, default="swarm", help="words of the flow (swarm)"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Make the folder, whole or not at all; raises ArgumentRefused."""
    name, base = options["name"], Path(options["dir"])
    if not NAME.fullmatch(name):
        raise ArgumentRefused(f"{name!r} is no valid name; {_name_hint(name)}")
    if not base.is_dir():
        raise ArgumentRefused(f"--dir {base}: there is no such folder; make it first")
    target = base / name
    if os.path.lexists(target):
        raise ArgumentRefused(
            f"{target} exists already and stays unchanged; choose another name"
        )
    files = scaffold(options["shape"], name, options["dialect"])
    _make(target, files)
    names = sorted(files)
    run = typed(f"run {target}")
    rows = [f"made {target}", *(f"  {one}" for one in names), f"try it: {run}"]
    data = {
        "ok": True,
        "shape": options["shape"],
        "dialect": options["dialect"],
        "folder": str(target),
        "files": names,
        "run": run,
    }
    return Answer(FINE, data, lines(*rows))


def scaffold(shape: str, name: str, dialect: str) -> dict[str, str]:
    """Return the files of a scaffold by their path in its folder.

    A file with a dialect in its name (`blueprint.swarm.json`) is for that dialect only.
    """
    base, mark = FOLDER / shape, f".{dialect}."
    paths = [path for path in base.rglob("*") if path.is_file()]
    files: dict[str, str] = {}
    # The files of the dialect come last and replace the others.
    for path in sorted(paths, key=lambda path: (mark in path.name, path)):
        if mark in path.name or not any(f".{one}." in path.name for one in DIALECTS):
            text = path.read_text("utf-8")
            if path.name.startswith("blueprint."):
                text = text.replace(UNNAMED, name)
            files[path.relative_to(base).as_posix().replace(mark, ".")] = text
    return files


def _make(target: Path, files: Mapping[str, str]) -> None:
    made, claimed = "", False
    try:
        made = tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.")
        for file, text in files.items():
            path = Path(made, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        # Of two commands only one can make the folder, and then replace it.
        target.mkdir()
        claimed = True
        os.chmod(made, target.stat().st_mode & 0o777)
        os.replace(made, target)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        if claimed:
            target.rmdir()
        raise ArgumentRefused(f"{target}: can't be made: {error.strerror}") from None


def _name_hint(name: str) -> str:
    rule = "letters, digits, '-' and '_', at most 64"
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:64].strip("-_")
    return f"did you mean {near!r}? ({rule})" if NAME.fullmatch(near) else rule
