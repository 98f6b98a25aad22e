"""The port BlueprintStore: where Blueprints are kept, commit by commit.

Its value types, its errors and the rules that every store shares. What a store answers
is the truth; rows about it are an index.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Final, Protocol, TypeAlias

from engine.blueprint.schema.strict import BLUEPRINT_ID, SEMVER
from engine.flow.json_text import Json, dump_compact

LONGEST_MESSAGE: Final = 16 * 1024
"""The most characters of a message."""
LONGEST_NAME: Final = 200
"""The most characters of an author's name or e-mail address."""


def version_of(document: Json) -> str:
    """Return the version of a complete document: `sha256:` and 64 hex digits.

    The hash is over the canonical JSON of the document as its author wrote it: file
    references embedded, no defaults filled in. It is not the id of its program.
    """
    return "sha256:" + hashlib.sha256(dump_compact(document).encode()).hexdigest()


class Expected(Enum):
    """What a writer expects of a head or an alias when it names no commit."""

    ANY = "any"
    """Whatever is there, also nothing."""
    NOTHING = "nothing"
    """Nothing is there yet."""


Expectation: TypeAlias = str | Expected
"""The id of the commit that must be there, or one of Expected."""


@dataclass(frozen=True, slots=True)
class Author:
    """The person or service that changed something."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a document was built from, if its author wrote it in another form."""

    form: str
    """The ending of its file name, such as `.yaml` or `.bp.lua`."""
    text: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    """What the script was built with."""


# Without slots, since it keeps its version.
@dataclass(frozen=True)
class Content:
    """What one commit holds: a complete document, and the source it was built from.

    Nobody changes the document.
    """

    document: Json
    source: Source | None = None

    @cached_property
    def version(self) -> str:
        """The version of the document."""
        return version_of(self.document)


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of a Blueprint's history.

    Several commits may have the same version. If `fault` is not empty, the commit can't
    be read, and the other fields are what is known of it (maybe only id and number).
    """

    id: str
    """Names the commit in its store: 40 hex digits."""
    number: int
    """1 for the first commit of the Blueprint, then one more for each."""
    version: str
    """The version of its document, as `version_of` returns it."""
    parent: str | None
    author: Author
    message: str
    at: datetime
    """When it was made: UTC, whole seconds."""
    label: str | None = None
    """The label that this commit was given, a semantic version."""
    restores: str | None = None
    """The id of the older commit whose content this commit restores."""
    fault: str = ""
    """Why it can't be read, a sentence for people."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer to a commit: the head, and whether it is new."""

    commit: Commit
    is_new: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """Who did something to a Blueprint, why and when."""

    author: Author
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for one commit of a Blueprint, which can be moved.

    If `fault` is not empty, it can't be read: set it again or remove it.
    """

    name: str
    commit: str
    moved: Mark
    """Who moved it there, why and when."""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything about a Blueprint that can be moved, read at one moment."""

    id: str
    head: Commit
    archived: Mark | None
    """Who archived it; None if it is not archived."""
    aliases: Mapping[str, Alias]
    """The aliases by name, in the order of names."""


class BlueprintStoreError(Exception):
    """An operation of a store that was refused or failed; its text is for people."""


class BlueprintUnknown(BlueprintStoreError):
    """No Blueprint of the store has this id."""

    def __init__(self, id: str) -> None:
        """Name the Blueprint."""
        super().__init__(f"No Blueprint is named {id!r}.")
        self.id = id


class CommitUnknown(BlueprintStoreError):
    """The Blueprint has no such commit."""

    def __init__(self, id: str, commit: str) -> None:
        """Name the Blueprint and the commit."""
        super().__init__(f"Blueprint {id!r} has no commit {commit!r}.")
        self.id = id
        self.commit = commit


class CommitUnreadable(BlueprintStoreError):
    """The commit exists, but its content can't be read."""

    def __init__(self, id: str, commit: str, reason: str) -> None:
        """Name the Blueprint, the commit and why it can't be read."""
        super().__init__(f"Commit {commit} of Blueprint {id!r} can't be read: {reason}")
        self.id = id
        self.commit = commit
        self.reason = reason


class HeadMoved(BlueprintStoreError):
    """The head is not the expected one; `head` is the id that it has, or None."""

    def __init__(self, id: str, head: str | None) -> None:
        """Name the Blueprint and its head."""
        now = f"its head is now {head}" if head else "it does not exist"
        super().__init__(
            f"Blueprint {id!r} has been changed meanwhile: {now}. Read it and try again."
        )
        self.id = id
        self.head = head


class AliasMoved(BlueprintStoreError):
    """The alias is not where it is expected; `commit` is where it is, or None."""

    def __init__(self, id: str, name: str, commit: str | None) -> None:
        """Name the Blueprint, the alias and where it is."""
        now = f"names {commit}" if commit else "does not exist"
        super().__init__(
            f"Alias {name!r} of Blueprint {id!r} has been moved meanwhile: it now {now}."
        )
        self.id = id
        self.name = name
        self.commit = commit


class BlueprintArchived(BlueprintStoreError):
    """The Blueprint is archived, so that it can be read and not changed."""

    def __init__(self, id: str) -> None:
        """Name the Blueprint."""
        super().__init__(
            f"Blueprint {id!r} is archived. Unarchive it before you change it."
        )
        self.id = id


class InputRefused(BlueprintStoreError):
    """A text that a caller gave breaks a rule; `field` names it, `rule` says which."""

    def __init__(self, field: str, rule: str) -> None:
        """Name the field and the rule."""
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class IdTaken(InputRefused):
    """The id of a new Blueprint differs from another in case only."""

    def __init__(self, id: str, other: str) -> None:
        """Name both ids."""
        super().__init__(
            "id",
            f"{id!r} and the existing {other!r} differ in case only; use {other!r}",
        )
        self.id = id
        self.other = other


class StoreBusy(BlueprintStoreError):
    """Another process is changing the Blueprint for longer than a writer waits."""


class StoreUnusable(BlueprintStoreError):
    """The store can't be read or written: no rights, no room, or damage."""


class BlueprintStore(Protocol):
    """Keeps Blueprints, each with its history, aliases and archive mark.

    All processes of an installation share one store. An operation that writes happens
    wholly or not at all, also if its process is killed; what has been answered is on the
    disk. Operations that take an `id` raise BlueprintUnknown, operations that write raise
    BlueprintArchived, InputRefused and StoreBusy, and all raise StoreUnusable.
    """

    def hold(self, id: str, *, wait: bool = True) -> AbstractContextManager[None]:
        """Keep every other process and thread from changing a Blueprint meanwhile.

        The Blueprint need not exist. Operations that write hold it by themselves; a
        caller holds it around several, to keep an index in step: settle what an earlier
        process left, note the intent, write, update the index, remove the note. A note
        that is found while the Blueprint is held belongs to a process that has died.

        May be nested in a thread. Take it before a database transaction, never inside
        one. Waits for some seconds, or not at all, then raises StoreBusy.
        """

    def ids(self) -> list[str]:
        """Return the ids of all Blueprints, sorted; the archived ones are among them."""

    def standing(self, id: str) -> Standing:
        """Return head, archive mark and aliases of a Blueprint.

        The head has a fault if it can't be read.
        """

    def commit(
        self,
        id: str,
        content: Content,
        *,
        author: Author,
        message: str,
        label: str | None = None,
        expected: Expectation = Expected.ANY,
    ) -> Committed:
        """Make a content the head of a Blueprint; the first commit creates it.

        If the head has the same document already, and no other label and no other source
        is given, then there is no new commit and the answer is the head. With
        `Expected.ANY` the new commit follows whatever head there is.

        The message may have several lines. Nothing in it, in the author's name or in the
        content can change what is read back as label, version or parent.
        Raises HeadMoved and IdTaken.
        """

    def restore(
        self,
        id: str,
        commit: str,
        *,
        author: Author,
        message: str,
        expected: Expectation = Expected.ANY,
    ) -> Committed:
        """Make the content of an older commit the head again, as a new commit.

        The new commit has no label, and `restores` is the id of the older one. If the
        head has the same document and source, there is no new commit.
        Raises HeadMoved, CommitUnknown and CommitUnreadable.
        """

    def find(self, id: str, commit: str) -> Commit:
        """Return a commit of a Blueprint's history; raise CommitUnknown.

        Never fails because the commit can't be read: then it has a fault.
        """

    def contains(self, id: str, commit: str) -> bool:
        """Return whether a commit is the head of a Blueprint or before it.

        A commit whose process died before it became the head is not. False for a
        Blueprint that does not exist.
        """

    def read(self, id: str, commit: str) -> Content:
        """Return what a commit holds; raise CommitUnknown or CommitUnreadable."""

    def walk(self, id: str) -> Iterator[Commit]:
        """Yield all commits, the newest first.

        Their content is not checked. With `read` this is what blame and a new index
        are made of.
        """

    def set_alias(
        self,
        id: str,
        name: str,
        commit: str,
        *,
        author: Author,
        message: str,
        expected: Expectation = Expected.ANY,
    ) -> Alias:
        """Make an alias name a commit of the history; raise AliasMoved, CommitUnknown.

        `expected` is where the alias has been. An alias that names the commit already is
        left as it is.
        """

    def remove_alias(
        self, id: str, name: str, *, expected: Expectation = Expected.ANY
    ) -> bool:
        """Remove an alias; return whether there was one. Raises AliasMoved."""

    def archive(self, id: str, *, author: Author, message: str) -> bool:
        """Archive a Blueprint; return False if it was archived already.

        Its history and its aliases stay.
        """

    def unarchive(self, id: str) -> bool:
        """Take a Blueprint out of the archive; return False if it was not archived."""


def expect_head(id: str, head: Commit | None, expected: Expectation) -> None:
    """Raise HeadMoved unless the head of a Blueprint is the expected one."""
    now = None if head is None else head.id
    if not _is_met(now, expected):
        raise HeadMoved(id, now)


def expect_alias(
    id: str, name: str, alias: Alias | None, expected: Expectation
) -> None:
    """Raise AliasMoved unless an alias of a Blueprint is where it is expected."""
    now = None if alias is None else alias.commit
    if not _is_met(now, expected):
        raise AliasMoved(id, name, now)


def _is_met(now: str | None, expected: Expectation) -> bool:
    if expected is Expected.ANY:
        return True
    return now == (None if expected is Expected.NOTHING else expected)


def check_not_taken(id: str, ids: Iterable[str]) -> None:
    """Raise IdTaken if one of the other ids differs from an id in case only."""
    folded = id.casefold()
    for other in ids:
        if other.casefold() == folded:
            raise IdTaken(id, other)


_ID: Final = re.compile(BLUEPRINT_ID)
_ALIAS: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")
# What a selector takes for the start of a version.
_HEX: Final = re.compile(r"[0-9a-f]{8,}")
_SEMVER: Final = re.compile(SEMVER)
_CRUD: Final = " .,:;<>\"\\'"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROLS_IN_TEXT: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def check_id(id: str) -> None:
    """Raise InputRefused unless an id may name a Blueprint in every store."""
    if not _ID.fullmatch(id):
        rule = (
            "1 to 128 letters, digits, dots, hyphens or underscores, the first a letter"
            " or a digit"
        )
        raise InputRefused("id", f"{_shown(id)} is no Blueprint id; expected {rule}")
    _check_ref_part("id", id)


def check_alias(name: str) -> None:
    """Raise InputRefused unless a text may name an alias."""
    if not _ALIAS.fullmatch(name):
        rule = "1 to 64 lower-case letters, digits, dots, hyphens or underscores, the first a letter"
        raise InputRefused("alias", f"{_shown(name)} is no alias; expected {rule}")
    _check_ref_part("alias", name)
    if name == "latest" or _HEX.fullmatch(name):
        rule = "it would be taken for a version"
        raise InputRefused("alias", f"{name!r} can't be an alias: {rule}")


def _check_ref_part(field: str, name: str) -> None:
    if ".." in name or name.endswith((".", ".lock")) or name == "HEAD":
        rule = "it must not contain `..` nor end in `.` or `.lock`, nor be HEAD"
        raise InputRefused(field, f"{name!r} names no branch in git: {rule}")


def check_label(label: str) -> None:
    """Raise InputRefused unless a label is a semantic version."""
    if not _SEMVER.fullmatch(label) or len(label) > LONGEST_NAME:
        rule = "is no semantic version; write for example 1.2.0"
        raise InputRefused("label", f"{_shown(label)} {rule}")


def clean_author(author: Author) -> Author:
    """Return an author as a store keeps it, or raise InputRefused.

    Spaces and punctuation at the ends of name and address are dropped, as git does.
    """
    for field_name, text in (("name", author.name), ("email", author.email)):
        place = f"author.{field_name}"
        if not text.strip(_CRUD):
            raise InputRefused(place, "must not be empty or only punctuation")
        if len(text) > LONGEST_NAME:
            raise InputRefused(place, f"has more than {LONGEST_NAME} characters")
        if _CONTROLS.search(text) or "<" in text or ">" in text:
            rule = "must be one line without control characters, `<` and `>`"
            raise InputRefused(place, rule)
    return Author(author.name.strip(_CRUD), author.email.strip(_CRUD))


def clean_message(message: str) -> str:
    r"""Return a message as a store keeps it, or raise InputRefused.

    Lines end in `\n`; spaces at their ends and empty lines around the text are dropped.
    """
    if len(message) > LONGEST_MESSAGE:
        raise InputRefused("message", f"has more than {LONGEST_MESSAGE} characters")
    text = message.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROLS_IN_TEXT.search(text):
        raise InputRefused("message", "must not contain control characters")
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    if not text:
        raise InputRefused("message", "must not be empty; say what was changed and why")
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "…")
