"""What the `limits` of an agent may ask for: settings say what is usual and the most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from blueprints.conf import spawner_class


class LimitRefused(ValueError):
    """An agent asks for more than this installation allows."""


@dataclass(frozen=True, order=True, slots=True)
class Limit:
    """The names of two settings: what an agent gets that says nothing, and the most."""

    usual: str
    most: str

    def fault(self, name: str, asked: Any) -> str:
        """Return what is wrong with what an agent asks for, empty for nothing."""
        most = getattr(settings, self.most)
        if asked is None or asked <= most:
            return ""
        return f"spec.limits.{name} {asked} is more than {self.most} ({most})"

    def of(self, name: str, asked: Any) -> Any:
        """Return what an agent gets; raises LimitRefused."""
        if fault := self.fault(name, asked):
            raise LimitRefused(fault)
        if asked is not None:
            return asked
        return min(getattr(settings, self.usual), getattr(settings, self.most))


Limits = Mapping[str, Limit]
"""What a spawner's class has as `limits`: each field of `spec.limits` and its settings."""


def limits_of(kind: str) -> Limits:
    """Return the limits that agents of a kind may ask for."""
    limits: Limits = getattr(spawner_class(kind), "limits", {})
    return limits


def refusals(kind: str, asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each limit that an agent asks too much of: its name and the fault."""
    for name, limit in limits_of(kind).items():
        if fault := limit.fault(name, asked.get(name)):
            yield name, fault
