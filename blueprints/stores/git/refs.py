"""The refs of the repository: which there are, and how each is moved.

`refs/heads/ID` is a Blueprint's head. `refs/aliases/ID/NAME` and `refs/archive/ID` lead to
annotated tags, which say who moved them, when and why.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import pygit2
from pygit2.enums import ObjectType

from blueprints.stores.git.holding import Holdings
from engine.blueprint_store import Author, Mark, StoreBusy

HEADS: Final = "refs/heads/"
LOCK_WAIT_S: Final = 2.0
"""How long another git process may lock a ref, as `git gc` does for a moment."""
_LOCK_PAUSE_S: Final = 0.02
_DELETES: Final = ".deletes"


def head_ref(id: str) -> str:
    """Return the ref of a Blueprint's head."""
    return HEADS + id


def archive_ref(id: str) -> str:
    """Return the ref that exists while a Blueprint is archived."""
    return f"refs/archive/{id}"


def alias_ref(id: str, name: str) -> str:
    """Return the ref of an alias."""
    return f"{aliases_ref(id)}{name}"


def aliases_ref(id: str) -> str:
    """Return what the refs of a Blueprint's aliases begin with."""
    return f"refs/aliases/{id}/"


def target(repo: pygit2.Repository, ref: str) -> pygit2.Oid | None:
    """Return what a ref leads to; None if there is no such ref."""
    found = repo.references.get(ref)
    return found.target if found is not None else None  # type: ignore[return-value]


def names_in(repo: pygit2.Repository, prefix: str) -> list[str]:
    """Return the names of the refs right below a prefix that ends in `/`, sorted.

    Libgit2 would go through the refs of all Blueprints.
    """
    names: set[str] = set()
    # In this order: `git gc` adds a ref to the packed ones before it deletes its file.
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        os.scandir(os.path.join(repo.path, prefix)) as entries,
    ):
        names.update(one.name for one in entries if not one.name.endswith(".lock"))
    with (
        suppress(FileNotFoundError),
        open(os.path.join(repo.path, "packed-refs"), encoding="utf-8") as packed,
    ):
        found = (line.rstrip("\n").partition(" ")[2] for line in packed)
        names.update(
            one.removeprefix(prefix) for one in found if one.startswith(prefix)
        )
    return sorted(names)


class Mover:
    """Moves refs for the process that holds their Blueprint."""

    def __init__(self, holdings: Holdings) -> None:
        """Note in the holdings what git is about to lock."""
        self._holdings = holdings

    def move(
        self,
        repo: pygit2.Repository,
        holding: str,
        ref: str,
        old: pygit2.Oid | None,
        new: pygit2.Oid,
    ) -> None:
        """Make a ref lead from `old` to `new`; libgit2 refuses if it is not at `old`."""

        def move() -> None:
            if old is None:
                repo.references.create(ref, new)
            else:
                repo.references[ref].set_target(new)

        with self._holdings.moving(holding, ref):
            _unless_locked(move)

    def delete(self, repo: pygit2.Repository, holding: str, ref: str) -> None:
        """Delete a ref; one at a time, since all packed refs are in one file."""
        holdings = self._holdings
        with (
            holdings.hold(_DELETES, "The list of Blueprints"),
            holdings.moving(_DELETES, "packed-refs"),
            holdings.moving(holding, ref),
        ):
            _unless_locked(lambda: repo.references.delete(ref))

    def adopt_as_default(self, repo: pygit2.Repository, ref: str) -> None:
        """Make a branch the one that a clone checks out, if there is none yet."""
        if not repo.head_is_unborn:
            return
        holdings = self._holdings
        with (
            holdings.hold(_DELETES, "The list of Blueprints"),
            holdings.moving(_DELETES, "HEAD"),
        ):
            _unless_locked(lambda: repo.set_head(ref))


def _unless_locked(operation: Callable[[], None]) -> None:
    """Do it again for a while if another git process has locked the ref."""
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return operation()
        except (pygit2.GitError, OSError) as error:
            if "failed to lock" not in str(error):
                raise
            if time.monotonic() >= until:
                raise StoreBusy(
                    f"Another git process has locked the repository: {error}. If none is"
                    " at work, delete that lock file."
                ) from None
        time.sleep(_LOCK_PAUSE_S)


def write_mark(
    repo: pygit2.Repository, name: str, commit: str, mark: Mark
) -> pygit2.Oid:
    """Write an annotated tag on a commit; return its id."""
    author = mark.author
    lines = (
        f"object {commit}",
        "type commit",
        f"tag {name}",
        f"tagger {author.name} <{author.email}> {int(mark.at.timestamp())} +0000",
        "",
        mark.message,
        "",
    )
    return repo.write(ObjectType.TAG, "\n".join(lines).encode())


def read_mark(repo: pygit2.Repository, oid: pygit2.Oid) -> tuple[str, Mark]:
    """Return the commit and the mark in an annotated tag; raise ValueError.

    Damage raises an error of libgit2.
    """
    tag = repo.get(oid)
    if not isinstance(tag, pygit2.Tag) or tag.tagger is None:
        raise ValueError("no annotated tag")
    tagger = tag.tagger
    return str(tag.target), Mark(
        Author(tagger.name, tagger.email),
        (tag.message or "").removesuffix("\n"),
        datetime.fromtimestamp(tagger.time, UTC),
    )
