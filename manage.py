#!/usr/bin/env python
"""Django's command line for this project."""

import codecs
import io
import os
import sys

from engine.visible import visible

USAGE, INTERRUPTED = 2, 130


def open_missing() -> None:
    """Puts something at closed standard descriptors, before a file gets their numbers.

    Standard output can then not be written, as on a full disk, so that it is told that
    a result is lost; what was to be said on standard error is not missed.
    """
    for number, how in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, how)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


open_missing()
NOT_INSTALLED = (
    "{} is not installed in this Python:"
    " use `uv run manage.py ...`, or activate .venv\n"
)

try:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
except ModuleNotFoundError as error:
    sys.stderr.write(visible(NOT_INSTALLED.format(error.name)))
    sys.exit(USAGE)

ESCAPE = "json-escape"


def escaped(error: UnicodeError) -> tuple[str, int]:
    """Writes what an encoding does not have as JSON does, so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # Halves of a surrogate pair are written one by one, as JSON wants it.
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = [f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2)]
    return "".join(escapes), error.end


def write_anything(stream: object) -> None:
    """Lets a stream take every text, whatever the terminal's encoding."""
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error(ESCAPE, escaped)
        stream.reconfigure(errors=ESCAPE)


def main() -> None:
    """Runs the command named in the arguments; a bad setting is one line, exit 2."""
    write_anything(sys.stdout)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(visible(f"{error}\n"))
        sys.exit(USAGE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
