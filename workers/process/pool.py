"""Pools of child processes that calls reuse; safe in threads and after a fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar


class Child(Protocol):
    """A child process that serves one call at a time."""

    def forget(self) -> None:
        """Close what a fork has inherited of the parent's child, so that its end is seen."""


C = TypeVar("C", bound=Child)


class ChildPool(Generic[C]):
    """The children of one owner: one for each call under way, started when needed."""

    def __init__(self, make: Callable[[], C]) -> None:
        """Start nothing; `make` returns a new child."""
        self._make = make
        self._lock = threading.Lock()
        self._idle: list[C] = []
        self.all: set[C] = set()
        _pools.add(self)

    def take(self) -> C:
        """Return an idle child or a new one, for the caller alone."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        child = self._make()
        with self._lock:
            self.all.add(child)
        return child

    def put_back(self, child: C, reusable: bool) -> bool:
        """Keep a child for the next call; return False where the caller has to end it."""
        with self._lock:
            if reusable and child in self.all:
                self._idle.append(child)
                return True
            self.all.discard(child)
            return False

    def clear(self) -> tuple[list[C], set[C]]:
        """Remove and return the idle children and the busy ones."""
        with self._lock:
            idle, busy = self._idle, self.all.difference(self._idle)
            self.all, self._idle = set(), []
        return idle, busy

    def forget(self) -> None:
        """Forget the parent's children, in a fork of the process that started them."""
        self._lock = threading.Lock()
        for child in self.all:
            child.forget()
        self.all, self._idle = set(), []


_pools: weakref.WeakSet[ChildPool[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.forget()


# At the fork and not at the next call: a fork that keeps a socket open would keep the
# parent's child from seeing the parent's end.
os.register_at_fork(after_in_child=_after_fork)
