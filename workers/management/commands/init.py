"""`swarm init DIR`: make a project that runs."""

import sys
from pathlib import Path
from shlex import quote
from typing import Any

from django.core.management.base import CommandError, CommandParser

from blueprints.authoring.project import make_project
from blueprints.command_line import REFUSED, SWARM, SwarmCommand, console_script, uv_run
from blueprints.parameters import ArgumentRefused


class Command(SwarmCommand):
    """Write the files of a new project."""

    # A project that is yet to be made has no settings.
    requires_system_checks = []
    needs_project = False

    help = (
        "Make a folder with a project: settings, functions, a flow that runs as it is, in"
        " YAML and in Python, a test of it, and a compose file. Existing files are never"
        " changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("folder", metavar="DIR", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the folder and print what to try."""
        folder = options["folder"]
        try:
            files = make_project(folder)
        except ArgumentRefused as error:
            raise CommandError(str(error), returncode=REFUSED) from None
        print(f"made {folder}", *(f"  {file}" for file in files), sep="\n")
        here, swarm = quote(str(folder)), console_script(folder)
        if uv := uv_run(folder):
            test = f"{uv} --extra test pytest"
        else:
            python = "python" if swarm == SWARM else quote(sys.executable)
            test = f"{python} -m pip install pytest && {python} -m pytest"
        print(f"test it: cd {here} && {test}")
        print(f"try it: cd {here} && {swarm} run flow.yaml")
