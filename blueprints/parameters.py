"""Reads what the commands are given for a Ctx: `--ctx JSON` or `--ctx @FILE`."""

from blueprints.loaders.files import Unreadable, read_file
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json


class Refused(Exception):
    """What was asked for makes no sense; the text says why."""


def check_utf8(name: str, given: str) -> None:
    """Raises Refused for an argument with bytes that are no UTF-8; `name` is its name.

    Python keeps such a byte as half a surrogate pair, which no JSON may hold.
    """
    try:
        given.encode()
    except UnicodeEncodeError as error:
        text = f"{name} {given!r}: character {error.start + 1} is not UTF-8"
        raise Refused(text) from None


def read_ctx(given: str) -> Json:
    """Returns the JSON value of an argument, `@FILE` stands for a file with it.

    The file is a regular one of at most 4 MiB. Raises Refused.
    """
    check_utf8("--ctx", given)
    name: str = "--ctx"
    text: str | bytes = given
    if given.startswith("@"):
        name = given[1:]
        try:
            text = read_file(name)
        except Unreadable as error:
            raise Refused(f"--ctx {given}: {error}") from None
    try:
        return load_json(text)
    except JsonTextError as error:
        raise Refused(f"{name}: no JSON: {error}") from None
