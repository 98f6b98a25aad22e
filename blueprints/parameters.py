"""Reads what the commands are given for a Ctx: `--ctx JSON` or `--ctx @FILE`."""

from pathlib import Path

from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json


class Refused(Exception):
    """What was asked for makes no sense; the text says why."""


def read_ctx(given: str) -> Json:
    """Returns the JSON value of an argument, `@FILE` stands for a file with it.

    Raises Refused.
    """
    name, text = "--ctx", given
    if given.startswith("@"):
        name = given[1:]
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Refused(f"--ctx {given}: can't be read: {reason}") from None
    try:
        return load_json(text)
    except JsonTextError as error:
        raise Refused(f"{name}: no JSON: {error}") from None
