"""A BlueprintStore in memory, for tests: it answers as the one in git does."""

import copy
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from engine.blueprint_store import (
    Alias,
    Author,
    BlueprintArchived,
    BlueprintUnknown,
    Commit,
    Committed,
    CommitUnknown,
    Content,
    Expectation,
    Expected,
    InputRefused,
    Mark,
    Standing,
    StoreBusy,
    check_alias,
    check_id,
    check_label,
    check_not_taken,
    clean_author,
    clean_message,
    expect_alias,
    expect_head,
)
from engine.flow.json_text import dump_compact, load_json


@dataclass(slots=True)
class _Kept:
    id: str
    commits: list[Commit] = field(default_factory=list)
    contents: dict[str, Content] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    archived: Mark | None = None


class MemoryBlueprintStore:
    """Keeps Blueprints in this process; the methods are those of BlueprintStore."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """Start empty; `now` is the time in seconds."""
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.RLock()
        self._now = now

    @contextmanager
    def hold(self, id: str, *, wait: bool = True) -> Iterator[None]:
        """Keep every other thread from changing a Blueprint meanwhile."""
        check_id(id)
        if not self._lock.acquire(blocking=wait):
            raise StoreBusy(f"Blueprint {id!r} is being changed by another thread.")
        try:
            yield
        finally:
            self._lock.release()

    def ids(self) -> list[str]:
        """Return the ids of all Blueprints, sorted."""
        return sorted(self._kept)

    def standing(self, id: str) -> Standing:
        """Return head, archive mark and aliases of a Blueprint."""
        kept = self._of(id)
        aliases = {name: kept.aliases[name] for name in sorted(kept.aliases)}
        return Standing(id, kept.commits[-1], kept.archived, aliases)

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
        if label is not None:
            check_label(label)
        mark = self._marked(author, message)
        try:
            load_json(dump_compact(content.document).encode())
        except ValueError as error:
            raise InputRefused("document", f"is not JSON: {error}") from None
        version = content.version
        with self._lock:
            kept = self._kept.get(id, _Kept(id))
            head = self._expect(id, kept, expected)
            if head is None:
                check_not_taken(id, self._kept)
            elif (
                head.version == version
                and label in (None, head.label)
                and content.source in (None, kept.contents[head.id].source)
            ):
                return Committed(head, False)
            self._kept[id] = kept
            return self._append(kept, content, mark, version, label=label)

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
        mark = self._marked(author, message)
        with self._lock:
            kept = self._of(id)
            head = self._expect(id, kept, expected)
            older = self.find(id, commit)
            content = kept.contents[older.id]
            if head is not None and content == kept.contents[head.id]:
                return Committed(head, False)
            version = older.version
            return self._append(kept, content, mark, version, restores=older.id)

    def find(self, id: str, commit: str) -> Commit:
        """Return a commit of a Blueprint's history."""
        found = (one for one in self._of(id).commits if one.id == commit)
        for one in found:
            return one
        raise CommitUnknown(id, commit)

    def contains(self, id: str, commit: str) -> bool:
        """Return whether a commit is the head of a Blueprint or before it."""
        return id in self._kept and commit in self._kept[id].contents

    def read(self, id: str, commit: str) -> Content:
        """Return what a commit holds."""
        return copy.deepcopy(self._of(id).contents[self.find(id, commit).id])

    def walk(self, id: str) -> Iterator[Commit]:
        """Yield all commits, the newest first."""
        yield from self._of(id).commits[::-1]

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
        mark = self._marked(author, message)
        with self._lock:
            kept = self._changed(id)
            found = self.find(id, commit)
            now = kept.aliases.get(name)
            expect_alias(id, name, now, expected)
            if now is None or now.commit != found.id:
                kept.aliases[name] = Alias(name, found.id, mark)
            return kept.aliases[name]

    def remove_alias(
        self, id: str, name: str, *, expected: Expectation = Expected.ANY
    ) -> bool:
        """Remove an alias; return whether there was one."""
        check_alias(name)
        with self._lock:
            kept = self._changed(id)
            expect_alias(id, name, kept.aliases.get(name), expected)
            return kept.aliases.pop(name, None) is not None

    def archive(self, id: str, *, author: Author, message: str) -> bool:
        """Archive a Blueprint; return False if it was archived already."""
        mark = self._marked(author, message)
        with self._lock:
            kept = self._of(id)
            is_new, kept.archived = kept.archived is None, kept.archived or mark
            return is_new

    def unarchive(self, id: str) -> bool:
        """Take a Blueprint out of the archive; return False if it was not archived."""
        with self._lock:
            kept = self._of(id)
            was, kept.archived = kept.archived, None
            return was is not None

    def _of(self, id: str) -> _Kept:
        if id not in self._kept:
            raise BlueprintUnknown(id)
        return self._kept[id]

    def _changed(self, id: str) -> _Kept:
        kept = self._of(id)
        if kept.archived is not None:
            raise BlueprintArchived(id)
        return kept

    def _marked(self, author: Author, message: str) -> Mark:
        at = datetime.fromtimestamp(int(self._now()), UTC)
        return Mark(clean_author(author), clean_message(message), at)

    def _expect(self, id: str, kept: _Kept, expected: Expectation) -> Commit | None:
        if kept.archived is not None:
            raise BlueprintArchived(id)
        head = kept.commits[-1] if kept.commits else None
        expect_head(id, head, expected)
        return head

    def _append(
        self,
        kept: _Kept,
        content: Content,
        mark: Mark,
        version: str,
        *,
        label: str | None = None,
        restores: str | None = None,
    ) -> Committed:
        commit = Commit(
            id="",
            number=len(kept.commits) + 1,
            version=version,
            parent=kept.commits[-1].id if kept.commits else None,
            author=mark.author,
            message=mark.message,
            at=mark.at,
            label=label,
            restores=restores,
        )
        digest = hashlib.sha256(repr((kept.id, commit)).encode()).hexdigest()
        commit = replace(commit, id=digest[:40])
        kept.commits.append(commit)
        kept.contents[commit.id] = copy.deepcopy(content)
        return Committed(commit, True)
