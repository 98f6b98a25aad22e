"""Tests of blueprints/conf.py and blueprints/checks.py."""

import fractions
from pathlib import Path

import pytest

from blueprints.checks import check_agent_limits, check_settings, check_wiring
from blueprints.conf import output_store, resolve, spawner_class, spawner_kinds
from swarm_project.settings import SWARM_SETTINGS


def wire(settings, **spawners):
    settings.SWARM = {"SPAWNERS": spawners}


def test_kinds_are_those_of_the_table(settings):
    wire(settings, subprocess="a.b", python_fn="c.d")

    assert spawner_kinds() == ("python_fn", "subprocess")


def test_a_spawner_is_found_by_its_dotted_path(settings):
    wire(settings, python_fn="fractions.Fraction")

    assert spawner_class("python_fn") is fractions.Fraction


def test_a_kind_without_spawner_is_refused_with_what_there_is(settings):
    wire(settings, python_fn="fractions.Fraction")

    with pytest.raises(
        LookupError, match="no spawner for kind 'lua'; known: python_fn"
    ):
        spawner_class("lua")


def test_the_check_names_each_path_that_can_not_be_imported(settings):
    wire(settings, a="fractions.Fraction", b="fractions.Nothing", c="no.such", d=5)

    errors = check_wiring()

    assert [error.id for error in errors] == ["swarm.E001"] * 3
    assert "SWARM['SPAWNERS']['b']: fractions.Nothing can't be" in errors[0].msg
    assert "SWARM['SPAWNERS']['c']: no.such" in errors[1].msg
    assert "expected a dotted path, got 5" in errors[2].msg


def test_a_module_that_fails_in_any_way_is_an_error_of_the_check(
    settings, tmp_path, monkeypatch
):
    (tmp_path / "broken_agents.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    wire(settings, a="broken_agents.Spawner")

    [error] = check_wiring()

    assert "division by zero" in error.msg


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("files", "FileOutputs"),
        ("database", "DatabaseOutputs"),
        ("s3://b", "S3Outputs"),
    ],
)
def test_the_place_of_outputs_chooses_their_store(settings, place, kind):
    settings.SWARM_OUTPUTS = place

    assert type(output_store()).__name__ == kind
    assert output_store() is output_store()


def test_files_are_in_the_folder_that_is_named_or_in_the_installations(settings):
    assert output_store().root == settings.VAR_DIR / "outputs"

    settings.SWARM_OUTPUTS = "/mnt/outputs"

    assert output_store().root == Path("/mnt/outputs")


def test_only_the_output_store_that_is_chosen_is_imported(settings):
    settings.SWARM = {"OUTPUT_STORES": {"files": "fractions.Fraction", "s3": "no.such"}}

    assert check_wiring() == []

    settings.SWARM_OUTPUTS = "s3://a-bucket"

    [error] = check_wiring()
    assert "SWARM['OUTPUT_STORES']['s3']: no.such can't be imported" in error.msg
    assert "install the extra" in error.hint


def test_changed_settings_are_resolved_anew(settings):
    resolve("fractions.Fraction")
    assert resolve.cache_info().currsize

    wire(settings, a="fractions.Fraction")

    assert not resolve.cache_info().currsize


@pytest.mark.parametrize(
    ("usual", "most"),
    [
        ("SWARM_CHILD_CPU", "SWARM_CHILD_CPU_MAX"),
        ("SWARM_CHILD_FILE_SIZE", "SWARM_CHILD_FILE_SIZE_MAX"),
        ("SWARM_CHILD_MEMORY", "SWARM_CHILD_MEMORY_MAX"),
        ("SWARM_CHILD_OPEN_FILES", "SWARM_CHILD_OPEN_FILES_MAX"),
        ("SWARM_LUA_MEMORY", "SWARM_LUA_MEMORY_MAX"),
        ("SWARM_LUA_TIME", "SWARM_LUA_TIME_MAX"),
        ("SWARM_OUTPUT_LIMIT", "SWARM_OUTPUT_LIMIT_MAX"),
    ],
)
def test_limits_that_contradict_each_other_are_an_error(settings, usual, most):
    assert check_agent_limits() == []
    setattr(settings, usual, getattr(settings, most) + 1)

    [error] = check_agent_limits()

    assert error.id == "swarm.E003"
    assert f"{usual} (" in error.msg
    assert f"is more than {most} (" in error.msg


def test_the_numbers_as_shipped_are_in_bounds():
    assert check_settings() == []


NUMBERS = [
    one.name
    for group in SWARM_SETTINGS.values()
    for one in group
    if type(one.default) in (int, float)
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "7", True, None])
def test_a_number_of_a_settings_module_is_checked_against_its_bounds(
    settings, name, value
):
    setattr(settings, name, value)

    [error] = check_settings()

    assert error.id == "swarm.E002"
    assert f"settings.{name}: expected a" in error.msg
    assert error.msg.endswith(f"got {value!r}")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("SWARM_MAX_LOST", 98, "an integer from 1 to 97"),
        ("SWARM_LEGACY_WORKER_BINDING", "maybe", "one of allow, reject"),
        ("SWARM_CHILD_ENV", "PATH", "a list of texts"),
        (
            "SWARM_OUTPUTS",
            None,
            "files, database, an absolute path or s3://BUCKET/PREFIX, for example"
            " /mnt/swarm/outputs",
        ),
    ],
)
def test_a_value_of_a_settings_module_is_refused_with_its_rule(
    settings, name, value, rule
):
    setattr(settings, name, value)

    [error] = check_settings()

    assert error.msg == f"settings.{name}: expected {rule}, got {value!r}"


@pytest.mark.parametrize("value", [("a",), [Path("/a")], (Path("/a"), "b")])
def test_a_settings_module_may_give_folders_as_paths_and_lists_as_tuples(
    settings, value
):
    settings.SWARM_LUA_DIRS = value

    assert check_settings() == []


@pytest.mark.parametrize(("lease", "found"), [(1.9, "E002"), (2.0, "W001"), (3.0, "")])
def test_a_lease_that_a_late_renewal_would_lose_is_reported(settings, lease, found):
    settings.SWARM_LEASE = lease

    assert [m.id for m in check_settings()] == ([f"swarm.{found}"] if found else [])
