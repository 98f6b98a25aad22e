"""Registers many versions; a process of its own.

Given its own name, the name of the Blueprint or `own`, and a count.
"""

import sys

import django

django.setup()

from kept_blueprints import register  # noqa: E402

name, id = sys.argv[1], sys.argv[2]
for number in range(int(sys.argv[3])):
    register(f"{name} {number}", id=name if id == "own" else id)
