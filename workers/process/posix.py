"""What the project needs of POSIX and Linux: children and their ends, prctl, locks.

Standard library only: the launcher and the guard of a worker, which are run by their
path, use it too. Without /proc nothing below a process is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LINUX = sys.platform.startswith("linux")
MOUNTS = Path("/proc/self/mounts")

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_ROUNDS = 100
_NOTE_BYTES = 64

libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


# Options that a process sets for itself


def prctl(option: int, value: int) -> None:
    """Set an option of this process where the system has prctl; ignore its errors."""
    if libc is not None:
        libc.prctl(option, value, 0, 0, 0)


def become_subreaper(adopt: bool = True) -> None:
    """Adopt orphans of the processes below this one, or stop that."""
    prctl(PR_SET_CHILD_SUBREAPER, int(adopt))


def signal_at_parents_end(number: int) -> None:
    """Have the kernel signal this process when its parent ends; forks do not inherit it."""
    prctl(PR_SET_PDEATHSIG, number)


def hide() -> None:
    """Make the memory and environment of this process unreadable to all but root.

    A worker has secrets in its environment, which /proc shows to every process of its
    user. Forks inherit this, new programs do not; it also disables core dumps, and
    debuggers need root. Where /proc is mounted with `hidepid`, nothing is hidden: the
    children of a hidden process could not be found.
    """
    if os.geteuid() == 0 or not proc_hides():
        prctl(PR_SET_DUMPABLE, 0)


def proc_hides() -> bool:
    """Return whether /proc shows a process only to those who may trace it."""
    try:
        mounts = [line.split() for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return False
    options = [each[3] for each in mounts if len(each) > 3 and each[1] == "/proc"]
    # The last mount covers those before.
    words = [word.partition("=") for word in ",".join(options[-1:]).split(",")]
    return any(
        name == "hidepid" and value not in ("0", "off") for name, _, value in words
    )


def wakeup_pipe() -> int:
    """Return a descriptor that is readable after each signal with a handler, SIGCHLD too."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def drain(reader: int) -> None:
    """Read all wakeups from their pipe."""
    with contextlib.suppress(BlockingIOError):
        os.read(reader, 4096)


# Other processes: a process can choose its name, session and group, but not its parent,
# pid and start time.


def descendants(pid: int) -> list[int]:
    """List the pids below a process, parents first."""
    found: list[int] = []
    queue = [pid] if LINUX else []
    while queue:
        below = children(queue.pop())
        found += below
        queue += below
    return found


def children(pid: int) -> list[int]:
    """List the direct children of `pid`, of all its threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except FileNotFoundError:
            # The thread ended, or the kernel lacks CONFIG_PROC_CHILDREN.
            if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
                return _children_by_scan(pid)
        except OSError:
            continue
    return found


def _children_by_scan(parent: int) -> list[int]:
    """List the direct children of `parent` by reading every process's parent."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if _stat(pid)[1:2] == [b"%d" % parent]]


def began(pid: int) -> bytes:
    """Return the start time of a process in the kernel's units; empty if it is gone."""
    return b"".join(_stat(pid)[19:20])


def is_running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    return _stat(pid)[:1] not in ([], [b"Z"])


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third, the state, on."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name may hold spaces and brackets: split after the last.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def is_called(pid: int, marks: tuple[bytes, ...]) -> bool:
    """Return whether the command line of a process contains one of these marks."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:
        return False
    return any(mark in command for mark in marks)


def send(pid: int, since: bytes, number: int) -> None:
    """Signal the process with this pid if it has the start time `since`."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as undo:
        try:
            fd = os.pidfd_open(pid)
            undo.callback(os.close, fd)
        except (AttributeError, OSError):
            fd = -1  # not Linux, an old kernel, or no room for one more
        if began(pid) != since:
            return
        if fd >= 0:
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(pid, number)


def end_tree(root: int) -> int:
    """Kill a process and all processes below it; return how many there were.

    All are stopped first, until no new one is found: a stopped process starts none and
    ends none, so that no child gets another parent during the search.
    """
    found: dict[int, bytes] = {}
    for _ in range(_ROUNDS):
        new = [pid for pid in (root, *descendants(root)) if pid not in found]
        if not new:
            break
        for pid in new:
            found[pid] = began(pid)
            send(pid, found[pid], signal.SIGSTOP)
    for pid, since in found.items():
        send(pid, since, signal.SIGKILL)
    return len(found)


# Children of this process


def has_ended(child: int) -> bool:
    """Return whether a child has ended, without reaping it where the system can."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return reaped(child)
    try:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, child, options) is not None
    except ChildProcessError:
        return True


def reaped(child: int) -> bool:
    """Reap a child if it has ended; return whether it is gone."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


# Locked files: a lock lasts as long as the processes that have its descriptor


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Lock a file (created when absent); return its descriptor, None if it is locked."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def lock(path: Path, seconds: float, *, shared: bool = False) -> int:
    """Lock a file and return its descriptor; raises TimeoutError after some seconds."""
    deadline = time.monotonic() + seconds
    while (fd := try_lock(path, shared=shared)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{path} has been locked for {seconds:g} s")
        time.sleep(0.01)
    return fd


def unlock(fd: int) -> None:
    """Release a lock, also for the copies of the descriptor in forks."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Lock a file for the length of a block; raises TimeoutError as `lock` does."""
    fd = lock(path, seconds)
    try:
        yield
    finally:
        unlock(fd)


def write_note(fd: int, text: str) -> None:
    """Overwrite the text of a locked file in place, which works on a full disk too."""
    data = text.encode().ljust(_NOTE_BYTES)
    os.pwrite(fd, data, 0)
    os.ftruncate(fd, len(data))


def read_note(path: Path) -> str | None:
    """Return the text of a locked file, None if it is not locked."""
    # A shared lock, so that two readers do not take each other for the owner.
    return _note_against(path, fcntl.LOCK_SH)


def _note_against(path: Path, kind: int) -> str | None:
    """Return the text of a file that can't be locked so now, None if it can be."""
    try:
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode(errors="replace").strip()
    except OSError:
        pass
    return None


def is_locked(path: Path, *, shared: bool = False) -> bool:
    """Return whether a file is locked; a shared lock counts only with `shared`."""
    return _note_against(path, fcntl.LOCK_EX if shared else fcntl.LOCK_SH) is not None


def locker_pid(path: Path) -> int | None:
    """Return the pid in a locked file, None if it is not locked or contains none."""
    try:
        return int(read_note(path) or "")
    except ValueError:
        return None
