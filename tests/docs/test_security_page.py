"""docs/SECURITY.md: every check that its table names exists, and every check is in the table."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from workers.doctor.checks import CHECKS, examine, named
from workers.doctor.security import SECURITY

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "SECURITY.md").read_text()
ROWS = re.findall(r"^\| ([^|]+\.) \| ([^|]+) \|$", PAGE, re.MULTILINE)


@pytest.mark.django_db
def test_the_table_names_checks_and_tests_that_are_there() -> None:
    known = {*CHECKS, *SECURITY, *(one.name for one in examine())}
    named: set[str] = set()
    for _, by in ROWS:
        words = re.findall("`([^`]+)`", by)
        if by.startswith("doctor"):
            assert {*words} <= known
            named |= {*words}
            continue
        text, tests = "", 0
        for word in words:
            if "/" in word:
                text = (ROOT / word).read_text()
            else:
                assert f"def {word}(" in text, word
                tests += 1
        assert tests, by
    assert {*SECURITY} <= named


@pytest.mark.parametrize(
    ("name", "file"), [("var-mode", ""), ("key-mode", "secret_key")]
)
def test_what_others_can_reach_is_reported(
    settings: Any, tmp_path: Path, name: str, file: str
) -> None:
    settings.VAR_DIR = tmp_path
    tmp_path.chmod(0o700)
    (tmp_path / "secret_key").touch(mode=0o600)
    assert levels()[name] == "ok"

    os.chmod(tmp_path / file, 0o755)
    assert levels()[name] == "fail"


def test_debug_and_any_host_are_reported(settings: Any) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS = True, ["*"]
    assert (levels()["debug"], levels()["hosts"]) == ("warn", "fail")
    settings.DEBUG, settings.ALLOWED_HOSTS = False, ["a.example"]
    assert (levels()["debug"], levels()["hosts"]) == ("ok", "ok")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/redis.sock?db=0", {}),
        ("redis://localhost:6379/0", {"redis-password": "warn"}),
        ("redis://:pw@127.0.0.1:6379/0", {"redis-password": "ok"}),
        ("rediss://:pw@far.example:6379/0", {"redis-password": "ok"}),
        ("redis://:pw@far.example/0", {"redis-password": "ok", "redis-tls": "warn"}),
    ],
)
def test_the_way_to_redis_is_checked(
    settings: Any, url: str, expected: dict[str, str]
) -> None:
    settings.SWARM_STATE_URL = url
    found = levels()
    assert {name: found[name] for name in found if name.startswith("redis")} == expected


def levels() -> dict[str, str]:
    """Return how each check stands."""
    return {
        one.name: one.level
        for name, check in SECURITY.items()
        for one in named(name, check)
    }
