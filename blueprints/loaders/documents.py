"""Reads a document from a JSON or YAML file, strictly.

What the document means is not judged here: references are followed by `load_blueprint`,
and the compiler does the rest.
"""

from pathlib import Path
from typing import Final

from blueprints.loaders.files import MAX_BYTES, Unreadable, read_file
from blueprints.loaders.yaml_text import YamlTextError, load_yaml
from engine.blueprint.diagnostics import Diagnostic
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json
from engine.run.outputs import cut

__all__ = ["MAX_BYTES", "DocumentInvalid", "load_document"]

LONGEST_TEXT: Final = 2000
_YAML: Final = frozenset({".yaml", ".yml"})


class DocumentInvalid(Exception):
    """A file that can't be read as a document; the text names the file and the place.

    `place` is the place in the document (`$.agents[0].$agent_md`), "" for the file as a
    whole; `code` names the rule for programs, `kind` the section of docs/lints.md.
    """

    def __init__(
        self,
        file: str | Path,
        rule: str,
        place: str = "",
        code: str = "document",
        kind: str = "unreadable",
    ) -> None:
        """Fault with a rule for people."""
        # Rules quote what the document says, which may be as long as the document.
        rule, place = cut(rule, LONGEST_TEXT), cut(place, LONGEST_TEXT)
        self.file = str(file)
        self.rule = rule
        self.place = place
        self.code = code
        self.kind = kind
        super().__init__(f"{file}: {place}: {rule}" if place else f"{file}: {rule}")

    @property
    def diagnostic(self) -> Diagnostic:
        """The finding it is, at the place or for the file as a whole."""
        return Diagnostic(self.place or "$", self.kind, self.rule, stage="RefResolve")


def load_document(path: str | Path) -> Json:
    """Returns the JSON value in a `.json`, `.yaml` or `.yml` file of at most 4 MiB.

    References in it are left as they are. Raises DocumentInvalid.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix != ".json" and suffix not in _YAML:
        rule = "a document's name ends in .json, .yaml or .yml"
        raise DocumentInvalid(path, rule, code="unknown-format")
    try:
        content = read_file(path)
    except Unreadable as error:
        raise DocumentInvalid(path, str(error), code="io") from None
    try:
        return load_json(content) if suffix == ".json" else load_yaml(content)
    except JsonTextError as error:
        raise DocumentInvalid(path, str(error), code="json") from None
    except YamlTextError as error:
        raise DocumentInvalid(path, str(error), code="yaml") from None
