"""compose.yaml names existing commands, kinds, settings and services."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from blueprints.conf import spawner_kinds

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {
    name: service
    for name, service in SERVICES.items()
    if "manage.py" in service.get("command", "")
}
SETTING = re.compile(r"^\| `([A-Z_]+)` \|", re.MULTILINE)
MANAGE = re.compile(r"manage\.py ([^\"&\n]+)")


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """Return a command and its options; a wrong one ends the test."""
    name, *words = shlex.split(line)
    module = get_commands()[name]
    module = module if isinstance(module, str) else module.name
    parser = load_command_class(module, name).create_parser("manage.py", name)
    return name, vars(parser.parse_args(words))


@pytest.mark.parametrize("service", OURS)
def test_each_command_is_one_that_there_is(service: str) -> None:
    [line] = MANAGE.findall(SERVICES[service]["command"])
    parsed(line)


def test_the_commands_in_its_head_are_there() -> None:
    head = (ROOT / "compose.yaml").read_text().partition("\nx-swarm")[0]
    lines = MANAGE.findall(head)
    assert [parsed(line)[0] for line in lines] == ["createsuperuser", "doctor", "run"]
    assert set(re.findall(r"(?:exec|--scale) (\w+)", head)) <= set(OURS)


def test_each_kind_has_workers() -> None:
    served: list[str] = []
    for service in OURS.values():
        name, options = parsed(MANAGE.findall(service["command"])[0])
        served += options["kind"] if name == "fleet" else []
    assert sorted(served) == sorted(spawner_kinds())


def test_each_variable_is_a_setting() -> None:
    known = set(SETTING.findall((ROOT / "docs" / "settings.md").read_text()))
    named = {name for service in OURS.values() for name in service["environment"]}
    assert named - {"UV_PROJECT_ENVIRONMENT"} <= known
    assert named >= {"SWARM_REDIS_URL", "DATABASE_URL", "SWARM_SECRET_KEY"}


def test_redis_keeps_its_data_and_evicts_nothing() -> None:
    words = SERVICES["redis"]["command"].split()
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_all_share_the_repository_of_blueprints() -> None:
    for service in OURS.values():
        folder = service["environment"]["SWARM_BLUEPRINTS"].rpartition("/")[0]
        assert f"blueprints:{folder}" in service["volumes"]


def test_services_and_volumes_that_are_named_are_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        mounts = [mount.partition(":")[0] for mount in service.get("volumes", [])]
        assert {mount for mount in mounts if mount != "."} <= set(COMPOSE["volumes"])
    hosts = [
        re.split(r"[@/:]+", url.partition("}")[2] or url.partition("//")[2])
        for service in OURS.values()
        for name, url in service["environment"].items()
        if name in ("SWARM_REDIS_URL", "DATABASE_URL")
    ]
    assert all(SERVICES.keys() & set(host) for host in hosts)
