"""`blueprint new SHAPE NAME`: a Blueprint to begin with, which runs as it is."""

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
from blueprints.parameters import Refused
from engine.flow.grammar import DIALECTS

HELP: Final = (
    "Make a folder with a Blueprint that lints clean and runs as it is: single (one"
    " step), pipeline (stages with gates, in Lua), verdict (a loop until it is good),"
    " fanout (one lane an item)."
)
SHAPES: Final = ("pipeline", "single", "verdict", "fanout")
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
FOLDER: Final = Path(__file__).resolve().parent / "scaffolds"
# What the id of a scaffold is called before it has a name.
UNNAMED: Final = "NAME"


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("shape", choices=SHAPES, metavar="|".join(SHAPES))
    parser.add_argument("name", metavar="NAME", help="the Blueprint's id and folder")
    parser.add_argument(
        "--dir", default=".", metavar="DIR", help="where the folder is made (here)"
    )
    parser.add_argument(
        "--dialect", choices=DIALECTS, default=DIALECTS[0], help="words of the flow"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Makes the folder, whole or not at all; raises Refused."""
    name, base = options["name"], Path(options["dir"])
    if not NAME.fullmatch(name):
        raise Refused(f"{name!r} is no name; {_name_hint(name)}")
    if not base.is_dir():
        raise Refused(f"--dir {base}: there is no such folder; make it first")
    target = base / name
    if os.path.lexists(target):
        raise Refused(
            f"{target} is there already and stays as it is; take another name"
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
    """Returns the files of a scaffold by their path in its folder.

    Those of a dialect have it in their name (`blueprint.swarm.json`).
    """
    base = FOLDER / shape
    files: dict[str, str] = {}
    for path in sorted(base.rglob("*")):
        if path.is_file():
            inner = path.relative_to(base).as_posix()
            files[inner] = path.read_text("utf-8")
    own = {file: text for file, text in files.items() if f".{dialect}." in file}
    plain = {
        file: text
        for file, text in files.items()
        if not any(f".{other}." in file for other in DIALECTS)
    }
    made = {**plain, **{file.replace(f".{dialect}.", "."): own[file] for file in own}}
    return {
        file: text.replace(UNNAMED, name) if file.startswith("blueprint.") else text
        for file, text in made.items()
    }


def _make(target: Path, files: Mapping[str, str]) -> None:
    made, claimed = "", False
    try:
        made = tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.")
        for file, text in files.items():
            path = Path(made, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        # An empty folder can be replaced, and making it tells who was first.
        target.mkdir()
        claimed = True
        os.chmod(made, target.stat().st_mode & 0o777)
        os.replace(made, target)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        if claimed:
            target.rmdir()
        raise Refused(f"{target}: can't be made: {error.strerror}") from None


def _name_hint(name: str) -> str:
    rule = "letters, digits, '-' and '_', at most 64"
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:64].strip("-_")
    return f"did you mean {near!r}? ({rule})" if NAME.fullmatch(near) else rule
