#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

USAGE, INTERRUPTED = 2, 130


def main() -> None:
    """Runs the command named in the arguments; a bad setting is one line, exit 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
