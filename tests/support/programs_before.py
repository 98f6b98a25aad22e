"""Migrates runs that have their programs in their rows; a process of its own.

Prints what became of them as JSON.
"""

import json

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402
from django.utils import timezone  # noqa: E402

from blueprints.models import Program, Run  # noqa: E402
from blueprints.models.readable_json import Unreadable  # noqa: E402

BEFORE = [("blueprints", "0006_origin_of_task")]
MOVED = [{"a": {"of": "a"}, "b": {"of": "b"}, "c": "deep"}, ["a", "a", "b", "c"]]
"""What this prints: the programs, and which of them each run names."""
DEEP = '{"x":' * 990 + "1" + "}" * 990


def main() -> None:
    """Migrate to the state before, write runs, migrate to the newest."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    apps = executor.loader.project_state(BEFORE).apps
    task = apps.get_model("blueprints", "Task").objects.create(
        id="T-1", blueprint_id="b"
    )
    runs = apps.get_model("blueprints", "Run").objects
    for number, name in enumerate("aabc"):
        runs.create(
            id=f"R-{number}", task=task, program_id=name * 64, program={"of": name},
            ctx={}, created_at=timezone.now(),
        )  # fmt: skip
    with connection.cursor() as cursor:
        # Python can't read it, and it has to survive all the same.
        sql = "UPDATE blueprints_run SET program = %s WHERE id = 'R-3'"
        cursor.execute(sql, [DEEP])
    call_command("migrate", verbosity=0)
    programs = {
        row.pk[0]: "deep" if isinstance(row.document, Unreadable) else row.document
        for row in Program.objects.all()
    }
    rows = Run.objects.order_by("id").values_list("program_id", flat=True)
    print(json.dumps([programs, [name[0] for name in rows]]))


if __name__ == "__main__":
    main()
