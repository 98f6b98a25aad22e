"""Migrates a journal that was archived as JSON; a process of its own.

Prints what became of it as JSON.
"""

import json

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402
from django.utils import timezone  # noqa: E402

from blueprints.models import Run, RunEvent  # noqa: E402
from blueprints.selectors.journal import journal_check  # noqa: E402

BEFORE = [("blueprints", "0010_groups")]
ENTRIES = 1200
"""More than two pages of the migration."""
DEEP = '{"a":"0.k3.1","e":' + "[" * 990 + "]" * 990 + "}"


def main() -> None:
    """Migrate to the state before, write entries, migrate to the newest."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    apps = executor.loader.project_state(BEFORE).apps
    model = lambda name: apps.get_model("blueprints", name).objects  # noqa: E731
    task = model("Task").create(id="T-1", blueprint_id="b")
    program = model("Program").create(id="p" * 64, document={})
    for name in "ab":
        model("Run").create(
            id=f"R-{name}", task=task, program=program, ctx={}, generation=2
        )
    whole = [("R-a", 2, n) for n in range(1, ENTRIES + 1)]
    holed = [("R-b", 2, n) for n in (1, 2, 5, 6, 8)]
    model("RunEvent").bulk_create(
        apps.get_model("blueprints", "RunEvent")(
            run_id=run, generation=gen, number=n, at=timezone.now(), kind="pending",
            data={"w": "x", "a": f"0.k3.{n}", "e": [["pending", "/ä", "a"]]},
        )
        for run, gen, n in whole + holed
    )  # fmt: skip
    with connection.cursor() as cursor:
        # Python can't read it, and it has to survive all the same.
        cursor.execute(
            "UPDATE blueprints_runevent SET data = %s WHERE run_id = 'R-b' AND number = 2",
            [DEEP],
        )
    call_command("migrate", verbosity=0)
    reports = [journal_check(run) for run in Run.objects.order_by("id")]
    lane = RunEvent.objects.get(run="R-a", generation=2, addr="0.k3.7")
    print(
        json.dumps(
            {
                "faults": [[one.to_json() for one in r.faults] for r in reports],
                "entries": [report.entries for report in reports],
                "converted": [report.converted for report in reports],
                "gaps": [[g["number"], g["upto"]] for g in reports[1].gaps],
                "unreplayable": [bool(report.unreplayable) for report in reports],
                "lane": [lane.number, lane.events()],
                "deep": len(bytes(RunEvent.objects.get(run="R-b", number=2).data))
                > 900,
            }
        )
    )


BECAME = {
    "faults": [[], []],
    "entries": [ENTRIES, 7],
    "converted": [ENTRIES, 8],
    "gaps": [[3, 4], [7, 7]],
    "unreplayable": [False, True],
    "lane": [7, [["7.1", ["pending", "/ä", "a"]]]],
    "deep": True,
}
"""What this prints."""

if __name__ == "__main__":
    main()
