"""The functions of tests/cases/mistakes."""

from typing import Any


def deliver(order: str, tries: int, *, fast: bool = False, step: Any = None) -> str:
    return f"{order} {tries} {fast}"


def letters(text: str) -> int:
    return len(text)
