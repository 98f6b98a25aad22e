"""Reads a Blueprint document from a JSON or YAML file, strictly.

What the document means is not judged here: the compiler does that.
"""

import stat
from pathlib import Path
from typing import Final

from blueprints.loaders.yaml_text import YamlTextError, load_yaml
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json

MAX_BYTES: Final = 4 * 1024 * 1024
_YAML: Final = frozenset({".yaml", ".yml"})


class DocumentInvalid(Exception):
    """A file that can't be read as a document; the text names the file and the place."""


def load_document(path: str | Path) -> Json:
    """Returns the JSON value in a `.json`, `.yaml` or `.yml` file of at most 4 MiB.

    Raises DocumentInvalid.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix != ".json" and suffix not in _YAML:
        raise DocumentInvalid(f"{path}: a document's name ends in .json, .yaml or .yml")
    content = _read(path)
    try:
        return load_json(content) if suffix == ".json" else load_yaml(content)
    except (JsonTextError, YamlTextError) as error:
        raise DocumentInvalid(f"{path}: {error}") from None


def _read(path: Path) -> bytes:
    try:
        # Opening a pipe would wait for a writer, so the sort is looked at first.
        if not stat.S_ISREG(path.stat().st_mode):
            raise DocumentInvalid(f"{path}: not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DocumentInvalid(f"{path}: can't be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise DocumentInvalid(f"{path}: longer than {MAX_BYTES} bytes (4 MiB)")
    return content
