"""Commits read from the repository, one by one and as a history.

A commit that can't be read has a fault and ends nothing: its parent is in the reflog of
its branch as well.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import pygit2

from blueprints.stores.git import files, refs, trailers
from engine.blueprint_store import Author, Commit

NOBODY: Final = Author("", "")
NO_TIME: Final = datetime.fromtimestamp(0, UTC)
DAMAGE: Final = (pygit2.GitError, KeyError, ValueError, OSError)
"""What libgit2 raises for an object that is damaged or lost."""
_NO_PARENT: Final = "0" * 40
_ID: Final = re.compile(r"[0-9a-f]{40}")


def is_id(text: str) -> bool:
    """Return whether a text may be the id of a commit."""
    return _ID.fullmatch(text) is not None


def commit_at(
    repo: pygit2.Repository, blueprint: str, id: str, number: int = 0
) -> Commit:
    """Return a commit, also if it can't be read; `number` is used only then."""
    try:
        found = repo[id]
    except KeyError:
        fault = "the repository has lost it"
    except DAMAGE as error:
        fault = f"the repository is damaged ({error})"
    else:
        try:
            return _read(found, blueprint)
        except trailers.NoTrailers as error:
            fault = str(error)
    parent = _logged_parent(repo, blueprint, id)
    return Commit(id, number, "", parent, NOBODY, "", NO_TIME, fault=fault)


def _read(found: pygit2.Object, blueprint: str) -> Commit:
    """Return a commit of a Blueprint; raise NoTrailers for any other object."""
    if not isinstance(found, pygit2.Commit):
        raise trailers.NoTrailers("it is no commit")
    text, fields = trailers.read(found.message)
    if fields.blueprint != blueprint:
        raise trailers.NoTrailers(f"it is a commit of {fields.blueprint!r}")
    return Commit(
        id=str(found.id),
        number=fields.number,
        version=fields.version,
        parent=str(found.parent_ids[0]) if found.parent_ids else None,
        author=Author(found.author.name, found.author.email),
        message=text,
        at=datetime.fromtimestamp(found.commit_time, UTC),
        label=fields.label,
        restores=fields.restores,
    )


def _logged_parent(repo: pygit2.Repository, blueprint: str, id: str) -> str | None:
    log = Path(repo.path, "logs", refs.head_ref(blueprint))
    with suppress(OSError), log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            old, _, rest = line.partition(" ")
            if rest.startswith(id) and is_id(old) and old != _NO_PARENT:
                return old
    return None


def walk(
    repo: pygit2.Repository, blueprint: str, start: str, number: int = 0
) -> Iterator[Commit]:
    """Yield a commit and those before it."""
    at: str | None = start
    while at is not None:
        commit = commit_at(repo, blueprint, at, number)
        yield commit
        at, number = commit.parent, max(commit.number - 1, 0)


def head_of(repo: pygit2.Repository, blueprint: str) -> Commit | None:
    """Return the head of a Blueprint, also if it can't be read; None if there is none."""
    oid = refs.target(repo, refs.head_ref(blueprint))
    if oid is None:
        return None
    head = commit_at(repo, blueprint, str(oid))
    if head.fault and head.parent:
        before = commit_at(repo, blueprint, head.parent)
        return replace(head, number=before.number + 1 if before.number else 0)
    return head


def checked(repo: pygit2.Repository, commit: Commit) -> Commit:
    """Return a commit with a fault if its content is lost."""
    if commit.fault:
        return commit
    try:
        files.check(repo, tree_of(repo, commit.id))
    except files.Unreadable as error:
        return replace(commit, fault=str(error))
    return commit


def tree_of(repo: pygit2.Repository, id: str) -> pygit2.Tree:
    """Return the files of a commit; raise Unreadable if they are lost."""
    try:
        tree: pygit2.Tree = repo[id].tree
    except DAMAGE as error:
        raise files.Unreadable(f"the repository is damaged ({error})") from None
    return tree


def tree_if_kept(repo: pygit2.Repository, id: str) -> pygit2.Tree | None:
    """Return the files of a commit; None if they are lost."""
    try:
        return tree_of(repo, id)
    except files.Unreadable:
        return None


def is_within(repo: pygit2.Repository, head: Commit, wanted: Commit, id: str) -> bool:
    """Return whether `wanted` is `head` or before it, in the history of Blueprint `id`."""
    commits = walk(repo, id, head.id, head.number)
    if wanted.fault or head.fault:
        return any(commit.id == wanted.id for commit in commits)
    steps = head.number - wanted.number
    at = next(islice(commits, steps, None), None) if steps >= 0 else None
    return at is not None and at.id == wanted.id
