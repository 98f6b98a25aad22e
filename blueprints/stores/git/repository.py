"""The bare repository on the disk: made whole, opened once a thread, faults explained."""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pygit2

from engine.blueprint_store import Author, BlueprintStoreError, StoreUnusable

MADE_BY: Final = "swarm.store"
"""The setting that says that this store has made the repository."""
_HOOK: Final = """\
#!/bin/sh
echo "Blueprints are changed with manage.py blueprint or over REST, not by git push." >&2
exit 1
"""
_REASONS: Final = (
    ("No space left", "the disk is full"),
    (
        "target OID for the reference",
        "an object was not written, maybe since the disk is full",
    ),
    ("Disk quota exceeded", "the disk quota is used up"),
    ("File too large", "a file would be larger than this process may write"),
    ("Read-only file system", "the file system is read-only"),
    ("Permission denied", "this user has no right to it"),
    ("Operation not permitted", "this user has no right to it"),
    ("failed to lock", "another git process has locked it, or died while it wrote"),
    ("not owned by current user", "it belongs to another user"),
)

# What has been answered outlives a loss of power.
pygit2.settings.enable_fsync_gitdir(True)


class Repository:
    """One bare repository, which is made when it is first opened.

    Every thread has an object of its own: libgit2's are not for several at once.
    """

    def __init__(self, path: Path, committer: Author) -> None:
        """Name the folder, and who is in its reflog; nothing is read yet."""
        self.path = path
        self._committer = committer
        self._opened = threading.local()

    def open(self) -> pygit2.Repository:
        """Return this thread's object of the repository; raise StoreUnusable."""
        mine: tuple[int, pygit2.Repository] | None = getattr(self._opened, "mine", None)
        if mine is None or mine[0] != os.getpid():
            with self.explained("opened"):
                if not os.path.lexists(self.path):
                    self._make()
                repo = self._found()
                repo.set_ident(self._committer.name, self._committer.email)
                mine = self._opened.mine = (os.getpid(), repo)
        return mine[1]

    @contextmanager
    def explained(self, done: str = "read") -> Iterator[None]:
        """Raise StoreUnusable, a sentence for people, for what libgit2 raises."""
        try:
            yield
        except BlueprintStoreError:
            raise
        except (pygit2.GitError, OSError, KeyError, ValueError, MemoryError) as error:
            raise self.unusable(done, str(error)) from error

    def unusable(self, done: str, text: str) -> StoreUnusable:
        """Return the error for an operation that failed with a text of libgit2."""
        known = (reason for sign, reason in _REASONS if sign.lower() in text.lower())
        reason = next(known, None)
        detail = f"{reason} ({text.strip()})" if reason else text.strip()
        return StoreUnusable(
            f"The Blueprints in {self.path} can't be {done}: {detail}."
        )

    def _found(self) -> pygit2.Repository:
        flags = pygit2.enums.RepositoryOpenFlag
        try:
            repo = pygit2.Repository(
                str(self.path), flags.NO_SEARCH | flags.NO_DOTGIT | flags.BARE
            )
        except pygit2.GitError as error:
            if "not owned" in str(error):
                raise
            raise StoreUnusable(
                f"{self.path} is no bare git repository. Set SWARM_BLUEPRINTS to a path"
                " that does not exist yet, or to the repository of an installation."
            ) from None
        if MADE_BY not in repo.config:
            raise StoreUnusable(
                f"{self.path} is a git repository that Swarm has not made. Set"
                " SWARM_BLUEPRINTS to another path. If it is a copy of one that Swarm"
                f" has made, run: git -C {self.path} config {MADE_BY} 1"
            )
        return repo

    def _make(self) -> None:
        """Make a whole repository beside, then move it; another process may be faster."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(
            tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        )
        try:
            repo = pygit2.init_repository(str(beside), bare=True)
            repo.config[MADE_BY] = 1
            # Git itself refuses a push to hidden refs, the hook says why.
            repo.config["receive.hideRefs"] = "refs/"
            # The reflog leads past a commit that is lost.
            repo.config["core.logAllRefUpdates"] = True
            repo.config["gc.reflogExpire"] = "never"
            repo.config["gc.reflogExpireUnreachable"] = "never"
            # Nobody's `git` packs in the middle of something; `git gc` by hand is safe.
            repo.config["gc.auto"] = 0
            shutil.rmtree(beside / "hooks", ignore_errors=True)
            (beside / "hooks").mkdir()
            hook = beside / "hooks" / "pre-receive"
            hook.write_text(_HOOK, encoding="utf-8")
            hook.chmod(0o755)
            (beside / "description").write_text("Blueprints of Swarm\n")
            _sync(beside)
            try:
                beside.rename(self.path)
            except OSError:
                if not self.path.is_dir():
                    raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have everything in a folder written to the disk."""
    for one in (*folder.rglob("*"), folder, folder.parent):
        file = os.open(one, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
