"""Processes that are killed while they write: `blueprint_deaths.py HOW REPOSITORY SEED`.

HOW is `points`: killed before each call of libgit2 and of the system, one after the other; or `times`: killed at a random time, COUNT times. After each death another
process looks and goes on. It prints as JSON how many died, and what was found wrong.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Final

from store_contents import ADA, document

from blueprints.stores.git.store import GitBlueprintStore
from engine.blueprint_store import Content, Source, Standing

ID: Final = "mail"
START: Final = time.monotonic()
COUNT: Final = 150
LONGEST_S: Final = 0.012
# What changes something on the disk, or is about to.
OUTSIDE: Final = ("_pygit2", "posix", "fcntl", "_cffi_backend", "pygit2")

Operation = Callable[[GitBlueprintStore, int], object]


def text_of(number: int) -> Content:
    source = Source(".yaml", f"# {number}\n", {"number": number})
    return Content(document(ID, f"text {number}"), source)


def commit(store: GitBlueprintStore, number: int) -> object:
    return store.commit(ID, text_of(number), author=ADA, message=f"Number {number}")


def create(store: GitBlueprintStore, number: int) -> object:
    return store.commit(
        f"new-{number}", text_of(number), author=ADA, message="Begin", label="1.0.0"
    )


def restore(store: GitBlueprintStore, number: int) -> object:
    before = store.standing(ID).head.parent
    assert before is not None
    return store.restore(ID, before, author=ADA, message=f"Back {number}")


def publish(store: GitBlueprintStore, number: int) -> object:
    head = store.standing(ID).head
    return store.set_alias(ID, "prod", head.id, author=ADA, message=f"Go {number}")


def unpublish(store: GitBlueprintStore, number: int) -> object:
    return store.remove_alias(ID, "prod")


def archive(store: GitBlueprintStore, number: int) -> object:
    return store.archive(ID, author=ADA, message=f"Away {number}")


def unarchive(store: GitBlueprintStore, number: int) -> object:
    return store.unarchive(ID)


OPERATIONS: Final[dict[str, tuple[Operation, Operation | None]]] = {
    # What is killed, and what makes that possible again once it is done.
    "create": (create, None),
    "commit": (commit, None),
    "restore": (restore, commit),
    "publish": (publish, commit),
    "unpublish": (unpublish, publish),
    "archive": (archive, unarchive),
    "unarchive": (unarchive, archive),
}


class Killer:
    """A profiler that kills its process at the n-th call that leaves Python."""

    def __init__(self, point: int) -> None:
        self.left = point

    def __call__(self, frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call":
            return
        module = str(getattr(called, "__module__", None) or "")
        owner = type(getattr(called, "__self__", None)).__module__
        if module.split(".")[0] in OUTSIDE or owner.split(".")[0] in OUTSIDE:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], object], *, kill_after: float | None = None) -> bool:
    """Do some work in a process of its own; return whether it was killed."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise SystemExit("the work failed; see above")
    return False


def die_at(
    store: GitBlueprintStore, operation: Operation, number: int, at: int
) -> bool:
    def work() -> None:
        sys.setprofile(Killer(at))
        operation(store, number)
        sys.setprofile(None)

    return forked(work)


def faults_of(path: Path, before: Standing) -> list[str]:
    """Look as a new process does; return what is wrong."""
    began = time.monotonic()
    store = GitBlueprintStore(path)
    wrong: list[str] = []
    # Of those that were made before, the last ones.
    for id in {ID, *store.ids()[-3:]} & set(store.ids()):
        now = store.standing(id)
        commits = list(islice(store.walk(id), 4))
        numbers = [now.head.number - count for count in range(len(commits))]
        if [one.number for one in commits] != numbers or len(commits) < 4 < numbers[-1]:
            wrong.append(f"{id}: the history is {commits}")
        wrong += [f"{id}: {one.fault}" for one in commits if one.fault]
        store.read(id, now.head.id)
        wrong += [f"{id}: {one.fault}" for one in now.aliases.values() if one.fault]
        if now.archived is not None and not now.archived.message:
            wrong.append(f"{id}: the archive mark can't be read")
        near = {now.head.id, now.head.parent}
        if id == before.id and before.head.id not in near:
            wrong.append(f"{id}: from {before.head.id} to {now.head.id}")
    if time.monotonic() - began > 5:
        wrong.append(f"it took {time.monotonic() - began:.1f} s")
    return wrong


def points(path: Path, _: random.Random) -> tuple[dict[str, int], list[str]]:
    store, number = GitBlueprintStore(path), 0
    died: dict[str, int] = {}
    wrong: list[str] = []
    commit(store, 0)
    for name, (operation, undo) in OPERATIONS.items():
        at = 0
        while True:
            at, number = at + 1, number + 1
            if name == "unarchive":
                archive(store, number)
            elif name == "unpublish":
                publish(store, number)
            elif name == "publish":
                commit(store, number)
            before = store.standing(ID)
            if not die_at(store, operation, number, at):
                break
            wrong += [f"{name}, point {at}: {one}" for one in faults_of(path, before)]
            # Whoever comes next can do it again, and then what undoes it.
            began = time.monotonic()
            operation(store, number)
            if undo is not None:
                undo(store, number)
            if time.monotonic() - began > 1:
                wrong.append(f"{name}, point {at}: the next one waited")
        died[name] = at - 1
        print(name, at - 1, f"{time.monotonic() - START:.1f} s", file=sys.stderr)
        unarchive(store, 0)
    return died, wrong


def times(path: Path, chance: random.Random) -> tuple[dict[str, int], list[str]]:
    store = GitBlueprintStore(path)
    wrong: list[str] = []
    died = {"commit": 0}
    commit(store, 0)
    for number in range(1, COUNT + 1):
        before = store.standing(ID)

        def work(number: int = number) -> None:
            commit(store, number)

        died["commit"] += forked(work, kill_after=chance.uniform(0, LONGEST_S))
        wrong += [f"death {number}: {one}" for one in faults_of(path, before)[:3]]
        began = time.monotonic()
        commit(store, -number)
        if time.monotonic() - began > 1:
            wrong.append(f"death {number}: the next one waited")
    return died, wrong


def main(how: str, repository: str, seed: str) -> None:
    ways = {"points": points, "times": times}
    died, wrong = ways[how](Path(repository), random.Random(int(seed)))
    print(json.dumps({"died": died, "wrong": wrong[:20]}))


main(*sys.argv[1:])
