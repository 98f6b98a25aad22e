"""`blueprint diff OLD [NEW]`: what changed from one version or file to another."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer
from blueprints.authoring.kept import Kept
from blueprints.authoring.source import load
from blueprints.loaders.blueprint import Loaded
from blueprints.parameters import ArgumentRefused
from blueprints.selectors.blueprints import version_content
from engine.blueprint.comparison import Identities, compare, print_comparison

HELP: Final = (
    "Show what changed from one version or file to another: nodes and agents added,"
    " removed, changed, moved, renamed, and the difference of the texts."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("old", metavar="OLD", help="a FILE or NAME[@VERSION]")
    parser.add_argument(
        "new",
        metavar="NEW",
        nargs="?",
        help="a FILE or NAME[@VERSION]; without it, OLD is compared with its parent",
    )
    parser.add_argument(
        "--brief", action="store_true", help="without the difference of the texts"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the comparison; raises DocumentInvalid or ArgumentRefused."""
    loading = {"includes": (), "ctx": None}
    new = load(options["new"] or options["old"], loading)
    old = load(options["old"], loading) if options["new"] else _parent(new)
    here, there = _identities(old), _identities(new)
    found = compare(
        old.document, new.document, old_identities=here, new_identities=there
    )
    data = {"ok": True, "old": str(old.path), "new": str(new.path), **found.to_json()}
    return Answer(FINE, data, print_comparison(found, with_text=not options["brief"]))


def _parent(new: Loaded) -> Kept:
    """Return the version before one; raise ArgumentRefused."""
    version = new.version if isinstance(new, Kept) else None
    if version is None:
        raise ArgumentRefused(f"{new.path} is a file; name what it is compared with")
    older = version.blueprint.versions.filter(number=version.number - 1).first()
    if older is None:
        raise ArgumentRefused(f"{new.path} is the first version; name another one")
    name = f"{older.blueprint_id}@{older.version}"
    return Kept(
        new.path.with_name(name), version_content(older).document, version=older
    )


def _identities(loaded: Loaded) -> Identities | None:
    version = loaded.version if isinstance(loaded, Kept) else None
    return None if version is None else version.known_identities
