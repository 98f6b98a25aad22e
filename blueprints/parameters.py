"""Read the initial Ctx of a command: `--ctx JSON|@FILE` and `--set a.b=VALUE`."""

from copy import deepcopy
from typing import Any

from blueprints.loaders.files import FileUnreadable, read_file
from engine.blueprint import Program
from engine.flow import JsonSyntaxError, JsonTextError, load_json
from engine.flow.json_text import Json
from engine.flow.path import Path
from engine.flow.spelling import hint_at


class ArgumentRefused(Exception):
    """An argument is invalid; the text names it and the rule."""


def check_utf8(name: str, given: str) -> None:
    """Raise ArgumentRefused if the argument `name` contains bytes that are no UTF-8.

    Python keeps such a byte as half a surrogate pair, which JSON can't contain.
    """
    try:
        given.encode()
    except UnicodeEncodeError as error:
        text = f"{name} {given!r}: character {error.start + 1} is not UTF-8"
        raise ArgumentRefused(text) from None


def read_ctx(given: str) -> Json:
    """Return the JSON value of an argument, or of the file that `@FILE` names.

    The file is a regular one of at most 4 MiB. Raise ArgumentRefused.
    """
    check_utf8("--ctx", given)
    name: str = "--ctx"
    text: str | bytes = given
    if given.startswith("@"):
        name = given[1:]
        try:
            text = read_file(name)
        except FileUnreadable as error:
            raise ArgumentRefused(f"--ctx {given}: {error}") from None
    try:
        return load_json(text)
    except JsonTextError as error:
        raise ArgumentRefused(f"{name}: no JSON: {error}") from None


def apply_sets(program: Program, ctx: Any, sets: list[str]) -> Any:
    """Return the Ctx of --ctx with each --set written to it; raise ArgumentRefused."""
    if not sets:
        return ctx
    ctx = {} if ctx is None else ctx
    default = program.default_init_ctx
    for text in sets:
        check_utf8("--set", text)
        path, mark, value = text.partition("=")
        keys = path.removeprefix("$.").split(".")
        if not mark or not all(keys):
            raise ArgumentRefused(f"--set {text!r}: expected a.b=VALUE")
        if not isinstance(ctx, dict):
            raise ArgumentRefused("--set needs a --ctx that is an object")
        if isinstance(default, dict) and keys[0] in default and len(keys) > 1:
            # The Ctx replaces whole top-level keys, so keep the default's other fields.
            ctx.setdefault(keys[0], deepcopy(default[keys[0]]))
        _write(ctx, keys, _value(path, value), text)
    return ctx


def read_sets(sets: list[str]) -> dict[Path, Json]:
    """Return the value that each --set writes, by its path; raise ArgumentRefused."""
    edits: dict[Path, Json] = {}
    for text in sets:
        check_utf8("--set", text)
        path, mark, value = text.partition("=")
        keys = path.removeprefix("$.").split(".")
        if not mark or not all(keys):
            raise ArgumentRefused(f"--set {text!r}: expected a.b=VALUE")
        edits[Path("$", tuple(keys))] = _value(path, value)
    return edits


def undeclared_keys(program: Program, sets: list[str]) -> list[str]:
    """Return a warning for each --set of a key that default_init_ctx does not have.

    The key is still set. Without a default_init_ctx every key is allowed.
    """
    default = program.default_init_ctx
    if not default or not isinstance(default, dict):
        return []
    lines = []
    for text in sets:
        key = text.partition("=")[0].removeprefix("$.").partition(".")[0]
        if key not in default:
            fault = f"--set {key}: default_init_ctx has no such key"
            lines.append("; ".join(filter(None, (fault, hint_at(key, default)))))
    return lines


def _write(ctx: dict[str, Any], keys: list[str], value: Any, text: str) -> None:
    at = ctx
    for number, key in enumerate(keys[:-1]):
        below = at.setdefault(key, {})
        if not isinstance(below, dict):
            where = ".".join(keys[: number + 1])
            raise ArgumentRefused(f"--set {text!r}: {where} is not an object")
        at = below
    at[keys[-1]] = value


def _value(name: str, text: str) -> Any:
    try:
        return load_json(text)
    except JsonSyntaxError:
        return text
    except JsonTextError as error:
        # The value is JSON that breaks a rule, such as a duplicate key.
        raise ArgumentRefused(
            f"--set {name}: {error}; put a text in double quotes"
        ) from None
