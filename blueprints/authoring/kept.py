"""What the verbs about kept Blueprints share: who acts, which version, how rows look."""

from __future__ import annotations

import os
import re
import socket
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.db import DatabaseError

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.command_line import first_line, login_name, typed
from blueprints.index.examination import HasErrors, examine
from blueprints.loaders.blueprint import FORMS, Loaded
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.python_file import PYTHON
from blueprints.models import BlueprintVersion
from blueprints.parameters import ArgumentRefused
from blueprints.selectors.blueprints import blueprint_get, version_content
from blueprints.selectors.version_selector import VersionUnknown, split_name
from blueprints.services.blueprints import Actor, Registered
from engine.blueprint import Diagnostic
from engine.blueprint_store import (
    BlueprintStoreError,
    BlueprintUnknown,
    Expectation,
    Expected,
    InputRefused,
    check_id,
)
from engine.flow.json_text import Json

SHOWN: Final = len("sha256:") + 12
"""How much of a version is shown."""
NOTHING: Final = "none"
_AUTHOR: Final = re.compile(r"(.+?) *<([^<>]+)>")


class KeptUnreadable(DocumentInvalid):
    """A Blueprint or version that the store does not have or can't read."""


@dataclass(frozen=True, slots=True)
class Kept(Loaded):
    """A document of the store, with its version."""

    version: BlueprintVersion | None = None

    def placed(self, found: Any) -> tuple[Diagnostic, ...]:
        """Return findings as they are: there is no file to find them in."""
        return tuple(found)


def is_kept(text: str) -> bool:
    """Return whether an argument means a Blueprint of the store and not a file.

    What exists is a file; `NAME@` is always the store.
    """
    name, at, version = text.partition("@")
    if at and not version:
        return True
    if os.path.lexists(text) or "/" in name:
        return False
    if at:
        return True
    if text.lower().endswith((*FORMS, PYTHON)):
        return False
    try:
        check_id(text)
        blueprint_get(text)
    except (InputRefused, BlueprintUnknown, DatabaseError):
        return False
    return True


def load_kept(text: str) -> Kept:
    """Return the document that `NAME` or `NAME@VERSION` means; raise KeptUnreadable."""
    try:
        version = find_version(text)
        document = version_content(version).document
    except (BlueprintStoreError, VersionUnknown) as error:
        raise KeptUnreadable(text, str(error), code="store") from None
    except DatabaseError as error:
        raise KeptUnreadable(text, no_database(error), code="database") from None
    name = f"{version.blueprint_id}@{version.version[:SHOWN]}"
    return Kept(Path(name), document, version=version)


def refuse_unlaunchable(loaded: Loaded) -> BlueprintVersion | None:
    """Return the version of a document that is to be launched, None for a file.

    Raise KeptUnreadable for an archived Blueprint, and HasErrors for a version that was
    stored in spite of errors that it still has.
    """
    version = loaded.version if isinstance(loaded, Kept) else None
    if version is None:
        return None
    if version.blueprint.is_archived:
        name = version.blueprint_id
        text = (
            f"Blueprint {name!r} is archived and starts no run. Take it out of the archive"
            f" with: {typed(f'blueprint unarchive {name}')}"
        )
        raise KeptUnreadable(loaded.path, text, code="archived")
    if version.forced:
        examined = examine(loaded.document)
        if examined.forced:
            raise HasErrors(examined.diagnostics)
    return version


def find_version(text: str) -> BlueprintVersion:
    """Return the version that `NAME` or `NAME@VERSION` means."""
    name, selector = split_name(text)
    return selector.resolve(name)


def no_database(error: DatabaseError) -> str:
    """Return what to do about a database that can't be used."""
    return (
        f"the database can't be used ({first_line(error)}): run `{typed('migrate')}`, or"
        " check DATABASE_URL"
    )


def add_change(parser: ArgumentParser, *, what: str = "what was changed") -> None:
    """Declare who makes a change and why."""
    parser.add_argument(
        "-m", "--message", required=True, metavar="TEXT", help=f"{what}, and why"
    )
    parser.add_argument(
        "--author",
        metavar="'NAME <EMAIL>'",
        help="who makes the change; your login and this host without it",
    )


def add_expect(parser: ArgumentParser, *, of: str = "head") -> None:
    """Declare the commit that a writer expects."""
    parser.add_argument(
        "--expect",
        metavar="COMMIT",
        help=f"refuse if the {of} is not this commit by now; `{NOTHING}`: if there is one",
    )


def login_actor() -> Actor:
    """Return who is logged in at this host."""
    user = login_name()
    return Actor(user, f"{user}@{socket.gethostname()}")


def actor_of(options: Mapping[str, Any]) -> Actor:
    """Return who acts: --author, or the login; raise ArgumentRefused."""
    given = options["author"]
    if given is None:
        return login_actor()
    found = _AUTHOR.fullmatch(given)
    if found is None:
        raise ArgumentRefused(f"--author {given!r}: expected 'NAME <EMAIL>'")
    return Actor(found[1], found[2])


def expectation_of(name: str, options: Mapping[str, Any]) -> Expectation:
    """Return what --expect means for a Blueprint; raise ArgumentRefused."""
    given = options["expect"]
    if given is None:
        return Expected.ANY
    if given == NOTHING:
        return Expected.NOTHING
    rows = BlueprintVersion.objects.filter(blueprint=name, commit__startswith=given)
    found = list(rows.values_list("commit", flat=True)[:2])
    if len(found) != 1 or len(given) < 8:
        text = f"--expect {given}: expected 8 or more digits of one commit of {name!r}"
        raise ArgumentRefused(text)
    return str(found[0])


def version_json(row: BlueprintVersion) -> dict[str, Json]:
    """Return a version as JSON, without its findings."""
    return {
        "id": row.blueprint_id,
        "number": row.number,
        "version": row.version,
        "commit": row.commit,
        "label": row.label or None,
        "restores": row.restores or None,
        "author": {"name": row.author_name, "email": row.author_email},
        "message": row.message,
        "at": row.at.isoformat(),
        "verdict": row.verdict,
        "forced": row.forced,
        "agents": row.agents,
        "nodes": row.nodes,
        "tags": row.tag_list,
        "source": row.form or None,
        "fault": row.fault or None,
    }


def version_line(row: BlueprintVersion) -> str:
    """Return a version as one line."""
    parts = [f"#{row.number}", row.version[:SHOWN] or "unreadable", row.commit[:12]]
    parts += filter(None, [row.label])
    parts += ["errors"] if row.forced else []
    parts += ["can't be read"] if row.fault else []
    about = f"{row.at:%Y-%m-%d %H:%M} {row.author_name}: {first(row.message)}"
    return f"{'  '.join(parts)}  {about}"


def changed(done: Registered, *notes: str, **more: Json) -> Answer:
    """Return what is told of a change of a head, with `more` as JSON."""
    data = {"ok": True, **version_json(done.version), "seeded": done.is_new, **more}
    return Answer(FINE, data, lines(*_change_lines(done)), notes)


def _change_lines(done: Registered) -> Iterator[str]:
    row, what = done.version, "is now at" if done.is_new else "stays at"
    yield f"{row.blueprint_id} {what} {version_line(row)}"
    if row.forced:
        yield f"{row.blueprint_id}: it has errors, so that it can't be launched"


def first(text: str) -> str:
    """Return the first line of a text."""
    return text.partition("\n")[0]
