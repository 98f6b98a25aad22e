"""Read a document from a JSON or YAML file.

The loader checks the syntax only: `load_blueprint` follows references, and the compiler
checks the content.
"""

import ast
import re
from pathlib import Path
from typing import Final

from blueprints.loaders.files import FileUnreadable, read_file
from blueprints.loaders.yaml_text import YamlTextError, load_yaml
from engine.blueprint.findings.diagnostics import Diagnostic
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json
from engine.run.journal.outputs import cut

LONGEST_TEXT: Final = 2000
_POSITION: Final = re.compile(r"line (\d+) column (\d+): (.*)", re.DOTALL)
_PLACE: Final = re.compile(r"at (\$.*?): (.*)", re.DOTALL)
_REPEATED: Final = re.compile(r"duplicate key (['\"].*['\"])", re.DOTALL)
# The texts of Python's reader, and what is to be done.
_JSON_RULES: Final = {
    "Expecting property name enclosed in double quotes": (
        "expected a key between double quotes; after the last member stands no ','"
    ),
    "Expecting ',' delimiter": "a ',' or the closing bracket is missing before this",
    "Expecting ':' delimiter": "a ':' is missing after the key",
    "Expecting value": (
        "expected a value; a text stands between double quotes, and after the last item"
        " stands no ','"
    ),
    "Extra data": "the document has ended before this; remove the rest",
    "Unterminated string starting at": "the text that begins here has no closing quote",
}
_YAML: Final = frozenset({".yaml", ".yml"})


class DocumentInvalid(Exception):
    """A file that can't be read as a document; the text names the file and the place.

    `place` is the place in the document (`$.agents[0].$agent_md`), "" for the file as a
    whole; `code` names the rule for programs, `kind` the section of docs/lints.md.
    `line` and `column` count from 1, and are 0 where they are unknown; `key` is the key
    at the place that breaks the rule.
    """

    def __init__(
        self,
        file: str | Path,
        rule: str,
        place: str = "",
        code: str = "document",
        kind: str = "unreadable",
        *,
        line: int = 0,
        column: int = 0,
        key: str = "",
    ) -> None:
        """Make an error from a rule for people."""
        # A rule may quote a part of the document, which may be very long.
        rule, place = cut(rule, LONGEST_TEXT), cut(place, LONGEST_TEXT)
        self.file = str(file)
        self.rule = rule
        self.place = place
        self.code = code
        self.kind = kind
        self.line, self.column, self.key = line, column, key
        where = [str(file), *(str(one) for one in (line, column) if one)]
        parts = [":".join(where), place, rule]
        super().__init__(": ".join(part for part in parts if part))

    @property
    def diagnostic(self) -> Diagnostic:
        """The error as a finding, at its place or at the root."""
        return Diagnostic(
            self.place or "$", self.kind, self.rule, stage="RefResolve", key=self.key
        )


def load_document(path: str | Path) -> Json:
    """Return the JSON value in a `.json`, `.yaml` or `.yml` file of at most 4 MiB.

    References stay as they are. Raises DocumentInvalid.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix != ".json" and suffix not in _YAML:
        rule = (
            "the name of a Blueprint's file ends in .json, .yaml, .yml, .bp.lua or .py"
        )
        raise DocumentInvalid(path, rule, code="unknown-format")
    try:
        content = read_file(path)
    except FileUnreadable as error:
        raise DocumentInvalid(path, str(error), code="io") from None
    return (read_json if suffix == ".json" else read_yaml)(path, content)


def read_json(name: str | Path, content: bytes) -> Json:
    """Return the value of a JSON text; raises DocumentInvalid, which names `name`."""
    try:
        return load_json(content)
    except JsonTextError as error:
        raise _json_fault(name, str(error)) from None


def read_yaml(name: str | Path, content: bytes) -> Json:
    """Return the value of a YAML text; raises DocumentInvalid, which names `name`."""
    try:
        return load_yaml(content)
    except YamlTextError as error:
        raise DocumentInvalid(
            name,
            error.rule,
            error.place,
            code="yaml",
            line=error.line,
            column=error.column,
        ) from None


def _json_fault(path: str | Path, text: str) -> DocumentInvalid:
    """Return the error for a JSON text; a position or place in its text is taken out."""
    if found := _POSITION.fullmatch(text):
        line, column = int(found[1]), int(found[2])
        rule = _JSON_RULES.get(found[3], found[3])
        return DocumentInvalid(path, rule, code="json", line=line, column=column)
    if found := _PLACE.fullmatch(text):
        repeated = _REPEATED.fullmatch(found[2])
        key = "" if repeated is None else str(ast.literal_eval(repeated[1]))
        return DocumentInvalid(path, found[2], found[1], code="json", key=key)
    return DocumentInvalid(path, text, code="json")
