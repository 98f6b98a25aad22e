"""`manage.py run NAME@VERSION` of a Blueprint that is kept, with real processes."""

import json
import sqlite3
from pathlib import Path

import pytest
from command_shell import Shell
from kept_blueprints import document

pytestmark = pytest.mark.slow

OF_RUNS = """
SELECT version.label, count(*) FROM blueprints_run AS run
JOIN blueprints_blueprintversion AS version ON version.id = run.version_id
GROUP BY version.label
"""


def test_a_run_names_the_version_that_the_alias_named(kept: Shell, tmp_path: Path):
    path = tmp_path / "mail.json"
    for label in ("1.0.0", "1.1.0"):
        path.write_text(json.dumps(document(label)))
        words = ("register", path, "--label", label, "-m", "x")
        assert kept.run("blueprint", *words) == 0, kept.err
    assert kept.run("blueprint", "alias", "mail@1.0.0", "prod", "-m", "x") == 0

    for name in ("mail@prod", "mail@^1.0", "mail@"):
        assert kept.run("run", name) == 0, kept.err
        assert json.loads(kept.out) == {"a": 1}

    with sqlite3.connect(kept.var / "db.sqlite3") as database:
        assert database.execute(OF_RUNS).fetchall() == [("1.0.0", 1), ("1.1.0", 2)]
