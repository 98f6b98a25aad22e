"""Reads what the commands are given for a Ctx: `--ctx JSON` or `--ctx @FILE`."""

from blueprints.loaders.files import Unreadable, read_file
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json


class Refused(Exception):
    """What was asked for makes no sense; the text says why."""


def read_ctx(given: str) -> Json:
    """Returns the JSON value of an argument, `@FILE` stands for a file with it.

    The file is a regular one of at most 4 MiB. Raises Refused.
    """
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
