"""Every command of the guides and of the README is run by a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GUIDE = "tests/e2e/test_guide_commands.py"
# The test that runs a line, by page and line.
LINES = {
    (
        "the-language.md",
        "python manage.py eval '$.n * 2' --ctx '{\"n\": 4}'",
    ): ("tests/blueprints/commands/test_eval.py", "test_the_line_of_the_guide"),
    ("write-an-agent.md", "python manage.py run review-notes.yaml"): (
        GUIDE, "test_the_guide_to_agents",
    ),
    (
        "write-an-agent.md",
        "python manage.py run review-notes.yaml --set 'notes=[\"short\"]'",
    ): (GUIDE, "test_the_guide_to_agents"),
    ("write-an-agent.md", "python manage.py run FILE --in-process"): (
        "tests/e2e/test_in_process.py",
        "test_breakpoint_has_the_terminal_and_all_the_time_it_needs",
    ),
    ("output-events.md", "python manage.py run index-notes.yaml"): (
        GUIDE, "test_the_guide_to_output_events",
    ),
    (
        "output-events.md",
        "python manage.py run blueprints/samples/stream-build.json"
        " --set root=/tmp/python3.11",
    ): (GUIDE, "test_the_guide_to_output_events_of_a_child_process"),
    ("keep-the-history.md", "python manage.py journal verify latest"): (
        "tests/e2e/test_history.py",
        "test_a_run_is_checked_exported_and_deleted_from_the_shell",
    ),
    ("outputs.md", "python manage.py runs outputs latest"): (
        "tests/e2e/test_outputs.py", "test_outputs_are_listed_and_printed",
    ),
    ("the-http-api.md", "python manage.py up"): (
        "tests/e2e/test_web.py", "test_a_terminal_gets_a_link_that_logs_in_once",
    ),
    ("the-http-api.md", "python manage.py check --deploy"): (
        "tests/e2e/test_http_guide.py", "test_the_settings_for_production_are_clean",
    ),
    ("the-http-api.md", "python manage.py web"): (
        "tests/e2e/test_http_guide.py", "test_the_settings_for_production_are_clean",
    ),
    ("run-a-fleet.md", "python manage.py up --concurrency 4"): (
        GUIDE, "test_the_guide_to_a_fleet_on_one_machine",
    ),
    ("run-a-fleet.md", "python manage.py run FILE"): (
        GUIDE, "test_the_guide_to_a_fleet_on_one_machine",
    ),
    ("run-a-fleet.md", "python manage.py doctor"): (
        GUIDE, "test_the_guide_to_a_fleet_on_one_machine",
    ),
    ("run-a-fleet.md", "python manage.py migrate"): (
        GUIDE, "test_the_guide_to_a_fleet_on_many_machines",
    ),
    (
        "run-a-fleet.md",
        "python manage.py fleet --kind python_fn,subprocess --concurrency 8",
    ): (GUIDE, "test_the_guide_to_a_fleet_on_many_machines"),
    (
        "README.md",
        "pip install uv && uv run manage.py run blueprints/samples/repo-digest.json",
    ): ("tests/e2e/test_run.py", "test_both_dialects_give_the_same_report_on_a_fleet"),
}  # fmt: skip
# Blocks that are run as a whole, by how they are marked.
WHOLE = {
    "sh api": ("tests/e2e/test_http_guide.py", "test_every_line_of_the_guide_succeeds"),
    "sh blueprint": (
        "tests/docs/test_blueprint_commands.py", "test_every_line_does_what_it_describes",
    ),
    "sh kept": (
        "tests/docs/test_version_guide.py", "test_every_line_does_what_it_describes",
    ),
    "sh run": (
        "tests/e2e/test_blueprint_guide.py",
        "test_a_command_of_the_guide_gives_what_it_shows",
    ),
}  # fmt: skip


def lines() -> set[tuple[str, str]]:
    """Return page and text of each line that runs manage.py."""
    found = set()
    for page in PAGES:
        for info, text in FENCE.findall(page.read_text()):
            if info in WHOLE:
                continue
            for line in text.splitlines():
                command = re.split(r" +#| 2>&1", line.removeprefix("$ "))[0].strip()
                if re.match(r"(\w+=\S+ )*(python|uv|pip) .*manage\.py ", command):
                    found.add((page.name, command))
    return found


def test_no_line_is_left_out() -> None:
    assert lines() == set(LINES)


@pytest.mark.parametrize(("path", "name"), sorted({*LINES.values(), *WHOLE.values()}))
def test_the_test_is_there(path: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


# Options that only the tables of the guide name, and the tests that give them.
OPTIONS = {
    "--write": "tests/blueprints/commands/test_blueprint_upgrade.py",
    "--include": "tests/blueprints/commands/test_blueprint_options.py",
    "--block": "tests/blueprints/commands/test_blueprint_explain_doctor.py",
    "--block-bytes": "tests/blueprints/commands/test_blueprint_options.py",
    "--block-lines": "tests/blueprints/commands/test_blueprint_explain_doctor.py",
    "--warn-bytes": "tests/blueprints/commands/test_blueprint_options.py",
    "--warn-lines": "tests/blueprints/commands/test_blueprint_explain_doctor.py",
    "--ctx": "tests/blueprints/commands/test_blueprint_lint.py",
    "--allow": "tests/blueprints/commands/test_blueprint_lint.py",
    "--warn": "tests/blueprints/commands/test_blueprint_options.py",
    "--deny": "tests/blueprints/commands/test_blueprint_build.py",
    "--strict": "tests/blueprints/commands/test_blueprint_lint.py",
    "--json": "tests/blueprints/commands/test_blueprint_build.py",
    "--dir": "tests/blueprints/commands/test_blueprint_new.py",
    "--mcp-tools": "tests/blueprints/commands/test_blueprint_lint.py",
    "--wrappers": "tests/blueprints/commands/test_blueprint_lint.py",
    "--dialect": "tests/blueprints/commands/test_blueprint_new.py",
}


def test_every_option_of_the_blueprint_command_is_given_by_a_test() -> None:
    text = (ROOT / "docs" / "guides" / "write-a-blueprint.md").read_text()
    section = text.partition("## The blueprint command\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(--[a-z-]+)", section)) == set(OPTIONS)
    for option, path in OPTIONS.items():
        assert f'"{option}"' in (ROOT / path).read_text(), option
