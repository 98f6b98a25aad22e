"""Launches runs with their rows, as `manage.py run` does; a process of its own.

Given a program's JSON, a Ctx and a count as arguments; prints the runs' ids.
"""

import json
import sys

import django

django.setup()

from engine.blueprint import Program  # noqa: E402
from workers.runs.launch import Launch, launch  # noqa: E402
from workers.wiring import make_store  # noqa: E402

program, ctx = Program.from_json(json.loads(sys.argv[1])), json.loads(sys.argv[2])
store = make_store(patience_s=10.0)
for _ in range(int(sys.argv[3])):
    print(launch(store, Launch(program, ctx)).pk)
