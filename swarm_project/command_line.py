"""The command line: the console script `swarm`, and manage.py."""

import codecs
import io
import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from engine.visible import visible
from swarm_project.project import refuse_namesakes

USAGE, INTERRUPTED = 2, 130
ESCAPE = "json-escape"


def open_missing() -> None:
    """Put something at closed standard descriptors, before a file gets their numbers.

    Standard output can then not be written, as on a full disk, so that a command reports
    its lost result; nothing is reported of standard error.
    """
    for number, how in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, how)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def escaped(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding does not have as JSON does, so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # Halves of a surrogate pair are written one by one, as JSON wants it.
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = [f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2)]
    return "".join(escapes), error.end


def write_anything(stream: object) -> None:
    """Let a stream take every text, whatever the terminal's encoding."""
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error(ESCAPE, escaped)
        stream.reconfigure(errors=ESCAPE)


def main() -> None:
    """Run the command named in the arguments; a bad setting is one line, exit 2."""
    open_missing()
    write_anything(sys.stdout)
    try:
        # Celery has added the working directory.
        refuse_namesakes(sys.path)
        if sys.argv[1:2] == ["init"]:
            # It needs no settings, and leaves no `var` in the folder where it is typed.
            settings.configure(INSTALLED_APPS=["workers"])
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(visible(f"{error}\n"))
        sys.exit(USAGE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
