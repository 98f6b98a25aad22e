#!/usr/bin/env python
"""Django's command line for this checkout."""

import sys

USAGE = 2
NOT_INSTALLED = (
    "{} is not installed in this Python:"
    " use `uv run manage.py ...`, or activate .venv\n"
)

try:
    from swarm_project.command_line import main
except ModuleNotFoundError as error:
    sys.stderr.write(NOT_INSTALLED.format(error.name))
    sys.exit(USAGE)

if __name__ == "__main__":
    main()
