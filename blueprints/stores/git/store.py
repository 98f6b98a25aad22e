"""The BlueprintStore in a bare git repository that all processes share."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pygit2
from django.conf import settings

from blueprints.stores.git import files, history, refs
from blueprints.stores.git.holding import WAIT_S, Holdings
from blueprints.stores.git.repository import Repository
from blueprints.stores.git.trailers import Trailers, compose
from engine.blueprint_store import (
    Alias,
    Author,
    BlueprintArchived,
    BlueprintUnknown,
    Commit,
    Committed,
    CommitUnknown,
    CommitUnreadable,
    Content,
    Expectation,
    Expected,
    InputRefused,
    Mark,
    Standing,
    check_alias,
    check_id,
    check_label,
    check_not_taken,
    clean_author,
    clean_message,
    expect_alias,
    expect_head,
)

COMMITTER: Final = Author("Swarm", "swarm@localhost")
_NO_MARK: Final = Mark(history.NOBODY, "", history.NO_TIME)


def installed_store() -> "GitBlueprintStore":
    """Return the store of this installation."""
    return GitBlueprintStore(Path(settings.SWARM_BLUEPRINTS))


class GitBlueprintStore:
    """Keeps Blueprints in one repository; the methods are those of BlueprintStore."""

    def __init__(
        self,
        path: Path,
        *,
        committer: Author = COMMITTER,
        now: Callable[[], float] = time.time,
        wait_s: float = WAIT_S,
    ) -> None:
        """Name the repository, which is made at the first use.

        `committer` is the installation, `wait_s` how long a writer waits for another.
        """
        self._repository = Repository(path, committer)
        self._holdings = Holdings(path, wait_s)
        self._refs = refs.Mover(self._holdings)
        self._committer = committer
        self._now = now

    @contextmanager
    def hold(self, id: str, *, wait: bool = True) -> Iterator[None]:
        """Keep every other process and thread from changing a Blueprint meanwhile."""
        check_id(id)
        self._repository.open()
        with ExitStack() as stack:
            # Not around the caller's work, whose errors are its own.
            with self._repository.explained("written"):
                what = f"Blueprint {id!r}"
                stack.enter_context(self._holdings.hold(id.casefold(), what, wait=wait))
            yield

    def ids(self) -> list[str]:
        """Return the ids of all Blueprints, sorted."""
        with self._reading() as repo:
            return refs.names_in(repo, refs.HEADS)

    def standing(self, id: str) -> Standing:
        """Return head, archive mark and aliases of a Blueprint."""
        with self._reading() as repo:
            head = self._head(repo, id)
            archived = self._archived(repo, id)
            names = refs.names_in(repo, refs.aliases_ref(id))
            found = {name: self._alias(repo, id, name) for name in names}
        aliases = {name: alias for name, alias in found.items() if alias is not None}
        return Standing(id, head, archived, aliases)

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
        """Make a content the head of a Blueprint; the first commit creates it."""
        check_id(id)
        author, message = clean_author(author), clean_message(message)
        if label is not None:
            check_label(label)
        texts = files.written_texts(content)
        version = content.version
        with self._writing(id) as repo:
            head = self._head_if_any(repo, id)
            expect_head(id, head, expected)
            earlier = None
            if head is None:
                check_not_taken(id, refs.names_in(repo, refs.HEADS))
            else:
                tree = history.tree_if_kept(repo, head.id)
                said = head.version == version and label in (None, head.label)
                if said and tree and files.has_source(tree, texts[1]):
                    return Committed(head, False)
                earlier = files.earlier(repo, tree) if tree else None
            written = files.write(repo, content, texts, earlier)
            fields = Trailers(id, version, head.number + 1 if head else 1, label)
            return self._append(repo, head, written, fields, author, message)

    def restore(
        self,
        id: str,
        commit: str,
        *,
        author: Author,
        message: str,
        expected: Expectation = Expected.ANY,
    ) -> Committed:
        """Make the content of an older commit the head again, as a new commit."""
        check_id(id)
        author, message = clean_author(author), clean_message(message)
        with self._writing(id) as repo:
            head = self._head(repo, id)
            expect_head(id, head, expected)
            older = self._within(repo, id, head, commit)
            self._content(repo, id, older)
            tree = history.tree_of(repo, older.id)
            now = history.tree_if_kept(repo, head.id)
            if now is not None and now.id == tree.id:
                return Committed(head, False)
            number = head.number + 1
            fields = Trailers(id, older.version, number, restores=older.id)
            return self._append(repo, head, tree.id, fields, author, message)

    def find(self, id: str, commit: str) -> Commit:
        """Return a commit of a Blueprint's history."""
        with self._reading() as repo:
            return history.checked(repo, self._found(repo, id, commit))

    def contains(self, id: str, commit: str) -> bool:
        """Return whether a commit is the head of a Blueprint or before it."""
        with self._reading() as repo:
            head = self._head_if_any(repo, id)
            if head is None or not history.is_id(commit):
                return False
            found = history.commit_at(repo, id, commit)
            return history.is_within(repo, head, found, id)

    def read(self, id: str, commit: str) -> Content:
        """Return what a commit holds."""
        with self._reading() as repo:
            return self._content(repo, id, self._found(repo, id, commit))

    def walk(self, id: str) -> Iterator[Commit]:
        """Yield all commits, the newest first."""
        with self._reading() as repo:
            head = self._head(repo, id)
            yield from history.walk(repo, id, head.id, head.number)

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
        """Make an alias name a commit of the history."""
        check_alias(name)
        author, message = clean_author(author), clean_message(message)
        with self._writing(id) as repo:
            found = self._within(repo, id, self._head(repo, id), commit)
            now = self._alias(repo, id, name)
            expect_alias(id, name, now, expected)
            if now is not None and not now.fault and now.commit == found.id:
                return now
            mark = Mark(author, message, self._time())
            self._mark(repo, id, refs.alias_ref(id, name), name, found.id, mark)
            return Alias(name, found.id, mark)

    def remove_alias(
        self, id: str, name: str, *, expected: Expectation = Expected.ANY
    ) -> bool:
        """Remove an alias; return whether there was one."""
        check_alias(name)
        with self._writing(id) as repo:
            self._head(repo, id)
            now = self._alias(repo, id, name)
            expect_alias(id, name, now, expected)
            if now is not None:
                self._refs.delete(repo, id.casefold(), refs.alias_ref(id, name))
            return now is not None

    def archive(self, id: str, *, author: Author, message: str) -> bool:
        """Archive a Blueprint; return False if it was archived already."""
        author, message = clean_author(author), clean_message(message)
        with self._writing(id, also_archived=True) as repo:
            head = self._head(repo, id)
            if self._archived(repo, id) is not None:
                return False
            mark = Mark(author, message, self._time())
            self._mark(repo, id, refs.archive_ref(id), "archived", head.id, mark)
            return True

    def unarchive(self, id: str) -> bool:
        """Take a Blueprint out of the archive; return False if it was not archived."""
        with self._writing(id, also_archived=True) as repo:
            self._head(repo, id)
            if self._archived(repo, id) is None:
                return False
            self._refs.delete(repo, id.casefold(), refs.archive_ref(id))
            return True

    @contextmanager
    def _reading(self) -> Iterator[pygit2.Repository]:
        repo = self._repository.open()
        with self._repository.explained("read"):
            yield repo

    @contextmanager
    def _writing(
        self, id: str, *, also_archived: bool = False
    ) -> Iterator[pygit2.Repository]:
        """Hold a Blueprint; refuse an archived one unless that is what is changed."""
        with self.hold(id), self._repository.explained("written"):
            repo = self._repository.open()
            if not also_archived and self._archived(repo, id) is not None:
                raise BlueprintArchived(id)
            yield repo

    def _time(self) -> datetime:
        return datetime.fromtimestamp(int(self._now()), UTC)

    def _head_if_any(self, repo: pygit2.Repository, id: str) -> Commit | None:
        try:
            check_id(id)
        except InputRefused:
            return None
        return history.head_of(repo, id)

    def _head(self, repo: pygit2.Repository, id: str) -> Commit:
        head = self._head_if_any(repo, id)
        if head is None:
            raise BlueprintUnknown(id)
        return head

    def _found(self, repo: pygit2.Repository, id: str, commit: str) -> Commit:
        """Return a commit of a Blueprint, also if it can't be read."""
        head = self._head(repo, id)
        if history.is_id(commit):
            found = history.commit_at(repo, id, commit)
            # In a history, what can't be read is found by what leads to it.
            if not found.fault or history.is_within(repo, head, found, id):
                return found
        raise CommitUnknown(id, commit)

    def _within(
        self, repo: pygit2.Repository, id: str, head: Commit, commit: str
    ) -> Commit:
        """Return a commit that is the head or before it; raise CommitUnknown."""
        if history.is_id(commit):
            found = history.commit_at(repo, id, commit)
            if history.is_within(repo, head, found, id):
                return found
        raise CommitUnknown(id, commit)

    def _content(self, repo: pygit2.Repository, id: str, commit: Commit) -> Content:
        """Return the content that a commit names; raise CommitUnreadable."""
        if commit.fault:
            raise CommitUnreadable(id, commit.id, commit.fault)
        try:
            content = files.read(repo, history.tree_of(repo, commit.id))
        except files.Unreadable as error:
            raise CommitUnreadable(id, commit.id, str(error)) from None
        if content.version != commit.version:
            reason = "its document is not of the version that it names"
            raise CommitUnreadable(id, commit.id, reason)
        return content

    def _append(
        self,
        repo: pygit2.Repository,
        head: Commit | None,
        tree: pygit2.Oid,
        fields: Trailers,
        author: Author,
        message: str,
    ) -> Committed:
        """Write a commit after the head and move the branch to it."""
        id = fields.blueprint
        if head is not None and head.fault:
            back = f"git -C {repo.path} update-ref {refs.head_ref(id)} {head.parent}"
            reason = f"{head.fault}. Get it from a backup, or go back with: {back}"
            raise CommitUnreadable(id, head.id, reason)
        seconds = int(self._now())
        made = repo.create_commit(
            None,
            pygit2.Signature(author.name, author.email, seconds, 0),
            pygit2.Signature(self._committer.name, self._committer.email, seconds, 0),
            compose(message, fields),
            tree,
            [] if head is None else [head.id],
        )
        try:
            # On a full disk libgit2 may write an object in part and not say so.
            files.check(repo, history.tree_of(repo, str(made)))
        except files.Unreadable as error:
            reason = "an object was not written, maybe since the disk is full"
            raise self._repository.unusable("written", reason) from error
        ref = refs.head_ref(id)
        if head is None:
            self._refs.adopt_as_default(repo, ref)
        old = None if head is None else pygit2.Oid(hex=head.id)
        self._refs.move(repo, id.casefold(), ref, old, made)
        return Committed(history.commit_at(repo, id, str(made)), True)

    def _archived(self, repo: pygit2.Repository, id: str) -> Mark | None:
        oid = refs.target(repo, refs.archive_ref(id))
        if oid is None:
            return None
        try:
            return refs.read_mark(repo, oid)[1]
        except history.DAMAGE:
            return _NO_MARK

    def _alias(self, repo: pygit2.Repository, id: str, name: str) -> Alias | None:
        oid = refs.target(repo, refs.alias_ref(id, name))
        if oid is None:
            return None
        try:
            return Alias(name, *refs.read_mark(repo, oid))
        except history.DAMAGE as error:
            return Alias(name, "", _NO_MARK, f"the repository is damaged ({error})")

    def _mark(
        self,
        repo: pygit2.Repository,
        id: str,
        ref: str,
        name: str,
        commit: str,
        mark: Mark,
    ) -> None:
        tag = refs.write_mark(repo, name, commit, mark)
        self._refs.move(repo, id.casefold(), ref, refs.target(repo, ref), tag)
