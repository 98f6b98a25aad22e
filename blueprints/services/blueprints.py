"""Write Blueprints: register, roll back, publish, archive.

Each function makes its change in the store and then writes the rows about it. None may
be called within a transaction. They raise the errors of engine/blueprint_store.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blueprints.conf import blueprint_store
from blueprints.index.examination import Examined, HasErrors, examine
from blueprints.index.intents import changing
from blueprints.loaders.posted import BuiltContent, build_source
from blueprints.models import Blueprint, BlueprintVersion
from engine.blueprint_store import (
    Author,
    Content,
    Expectation,
    Expected,
    InputRefused,
    check_alias,
    check_id,
    check_label,
    clean_author,
    clean_message,
    version_of,
)
from engine.flow.json_text import Json


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a person or a service, maybe a user with an API key."""

    name: str
    email: str
    user_id: int | None = None
    key: str = ""
    """The prefix of the API key, empty without one."""

    @property
    def author(self) -> Author:
        """The author of a commit."""
        return Author(self.name, self.email)


@dataclass(frozen=True, slots=True)
class Registered:
    """The head after a registration, and whether it is a new commit."""

    version: BlueprintVersion
    is_new: bool


def blueprint_register(
    id: str,
    content: Content,
    *,
    actor: Actor,
    message: str,
    label: str | None = None,
    expected: Expectation = Expected.ANY,
    force: bool = False,
    verb: Literal["registered", "imported"] = "registered",
) -> Registered:
    """Make a document the head of a Blueprint; the first registration creates it.

    Raise NoBlueprint for a document that is none, and HasErrors for one with errors
    unless `force` is given. If the head has this document already, and no other label is
    given, nothing is written. Without a label, a new document has the one of its
    `metadata.version_label`. The event says by `verb` how the document came.
    """
    check_id(id)
    if label is not None:
        check_label(label)
    examined = _examined(content.document, force=force)
    if examined.id != id:
        rule = f"the document is of Blueprint {examined.id!r}, not of {id!r}"
        raise InputRefused("id", rule)
    _check_source(content)
    version, store = content.version, blueprint_store()
    event = _event(verb, actor, message, label=label, forced=examined.forced)
    with changing(id, event, {version: (examined, content)}) as change:
        before = change.before
        is_head = before is not None and before.head.version == version
        done = store.commit(
            id,
            content,
            author=actor.author,
            message=message,
            label=label or (None if is_head else examined.label),
            expected=expected,
        )
    return Registered(change.head, done.is_new)


def blueprint_rollback(
    id: str,
    to: BlueprintVersion,
    *,
    actor: Actor,
    message: str,
    expected: Expectation = Expected.ANY,
    force: bool = False,
) -> Registered:
    """Make an older version the head again, as a new commit without a label.

    Raise HasErrors if it has errors, unless `force` is given. If the head has the same
    content, nothing is written.
    """
    store = blueprint_store()
    _check_of(id, to)
    content = store.read(id, to.commit)
    examined = _examined(content.document, force=force)
    event = _event("rolled-back", actor, message, forced=examined.forced)
    with changing(id, event, {to.version: (examined, content)}) as change:
        done = store.restore(
            id, to.commit, author=actor.author, message=message, expected=expected
        )
    return Registered(change.head, done.is_new)


def blueprint_archive(id: str, *, actor: Actor, message: str) -> Blueprint:
    """Archive a Blueprint: it can be read, and not be changed or launched.

    An archived Blueprint stays as it is.
    """
    with changing(id, _event("archived", actor, message)) as change:
        blueprint_store().archive(id, author=actor.author, message=message)
    return change.row


def blueprint_unarchive(id: str, *, actor: Actor, message: str) -> Blueprint:
    """Take a Blueprint out of the archive."""
    with changing(id, _event("unarchived", actor, message)) as change:
        blueprint_store().unarchive(id)
    return change.row


def alias_set(
    id: str,
    name: str,
    version: BlueprintVersion,
    *,
    actor: Actor,
    message: str,
    expected: Expectation = Expected.ANY,
) -> Blueprint:
    """Make an alias name a version; `expected` is the commit it has named until now."""
    check_alias(name)
    _check_of(id, version)
    with changing(id, _event("alias-set", actor, message, alias=name)) as change:
        blueprint_store().set_alias(
            id,
            name,
            version.commit,
            author=actor.author,
            message=message,
            expected=expected,
        )
    return change.row


def alias_remove(
    id: str,
    name: str,
    *,
    actor: Actor,
    message: str,
    expected: Expectation = Expected.ANY,
) -> bool:
    """Remove an alias; return whether there was one."""
    check_alias(name)
    with changing(id, _event("alias-removed", actor, message, alias=name)):
        return blueprint_store().remove_alias(id, name, expected=expected)


def _examined(document: Json, *, force: bool) -> Examined:
    examined = examine(document)
    if examined.forced and not force:
        raise HasErrors(examined.diagnostics)
    return examined


def _check_source(content: Content) -> None:
    """Raise InputRefused unless the source builds to exactly the document."""
    if content.source is None or isinstance(content, BuiltContent):
        return
    built = build_source(content.source).document
    if version_of(built) != content.version:
        raise InputRefused("source", "it builds to another document")


def _check_of(id: str, version: BlueprintVersion) -> None:
    if version.blueprint_id != id:
        other = version.blueprint_id
        raise InputRefused(
            "version", f"it is one of Blueprint {other!r}, not of {id!r}"
        )


def _event(verb: str, actor: Actor, message: str, **data: Json) -> dict[str, Json]:
    """Return the columns of an event; raise InputRefused for a bad author or message."""
    author = clean_author(actor.author)
    return {
        "verb": verb,
        "actor_name": author.name,
        "actor_email": author.email,
        "user_id": actor.user_id,
        "key": actor.key,
        "reason": clean_message(message),
        "data": {key: value for key, value in data.items() if value},
    }
