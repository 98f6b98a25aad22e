"""Content as the files of a commit, and back.

`blueprint.json` is the truth. `agents/` is derived from it, `source.EXT` is what it was
built from, and `source.json` says with which parameters.
"""

import re
from dataclasses import dataclass
from typing import Final

import orjson
import pygit2
from pygit2.enums import FileMode

from blueprints.loaders.blueprint import embedded_text
from blueprints.loaders.cascade import Cascade
from blueprints.loaders.references import LITERAL, ReferenceInvalid, expand
from blueprints.stores.git.agent_files import agent_text, agents_of, file_names
from engine.blueprint_store import Content, InputRefused, Source
from engine.flow.json_text import Json, JsonTextError, load_json

DOCUMENT: Final = "blueprint.json"
AGENTS: Final = "agents"
SOURCE: Final = "source.json"
_FORM: Final = re.compile(r"(\.[a-z][a-z0-9]{0,15}){1,2}")
_PLAIN: Final = frozenset({FileMode.BLOB, FileMode.TREE})
_NO_FOLDERS: Final = Cascade(())
# Only a text with this word differs from what it stands for.
_LITERAL: Final = f'"{LITERAL}"'.encode()


class Unreadable(Exception):
    """Files that are no content of this store; the text says why."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The document of the commit before, and the tree of its agents' files."""

    document: Json
    agents: pygit2.Tree | None


def written_texts(content: Content) -> tuple[bytes, dict[str, bytes]]:
    """Return the text of the document, and the files of its source by name.

    Raises InputRefused for what is no JSON, and for a source that has no file name.
    """
    try:
        document = embedded_text(content.document).encode()
        same = _document(document) == content.document
    except (TypeError, ValueError, RecursionError, Unreadable) as error:
        raise InputRefused("document", f"is not JSON: {error}") from None
    if not same:
        raise InputRefused("document", "has data that JSON text can't hold unchanged")
    return document, {} if content.source is None else _source_files(content.source)


def _source_files(source: Source) -> dict[str, bytes]:
    if not _FORM.fullmatch(source.form) or source.form == ".json":
        rule = f"{source.form!r} is no ending of a source; expected one such as .yaml"
        raise InputRefused("source.form", rule)
    facts = {"form": source.form, "parameters": dict(source.parameters)}
    layout = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS
    try:
        return {
            "source" + source.form: source.text.encode(),
            SOURCE: orjson.dumps(facts, option=layout),
        }
    except (TypeError, ValueError) as error:
        raise InputRefused("source", f"can't be stored: {error}") from None


def write(
    repo: pygit2.Repository,
    content: Content,
    texts: tuple[bytes, dict[str, bytes]],
    earlier: Earlier | None,
) -> pygit2.Oid:
    """Write the files of a content; return their tree."""
    document, source = texts
    root = repo.TreeBuilder()
    root.insert(DOCUMENT, repo.create_blob(document), FileMode.BLOB)
    for name, text in source.items():
        root.insert(name, repo.create_blob(text), FileMode.BLOB)
    agents = _write_agents(repo, content.document, earlier)
    if agents is not None:
        root.insert(AGENTS, agents, FileMode.TREE)
    return root.write()


def _write_agents(
    repo: pygit2.Repository, document: Json, earlier: Earlier | None
) -> pygit2.Oid | None:
    """Write the agents' files, of unchanged agents not again: that is slow."""
    agents = agents_of(document)
    if not agents:
        return None
    before = agents_of(earlier.document) if earlier else {}
    kept = {one.name: one.id for one in (earlier and earlier.agents) or ()}
    folder = repo.TreeBuilder()
    for name, file in file_names(agents).items():
        agent = agents[name]
        blob = kept.get(file) if before.get(name) == agent else None
        if blob is None:
            blob = repo.create_blob(agent_text(agent).encode())
        folder.insert(file, blob, FileMode.BLOB)
    return folder.write()


def earlier(repo: pygit2.Repository, tree: pygit2.Tree) -> Earlier | None:
    """Return what the next commit can take over; None if that can't be read."""
    try:
        document = _document(_blob(repo, tree, DOCUMENT))
        agents = tree[AGENTS] if AGENTS in tree else None  # noqa: SIM401
    except (Unreadable, pygit2.GitError, KeyError, ValueError, OSError):
        return None
    return Earlier(document, agents if isinstance(agents, pygit2.Tree) else None)


def has_source(tree: pygit2.Tree, source: dict[str, bytes]) -> bool:
    """Return whether the files of a source, if there are any, are in a tree."""
    kept = {str(one.name): one.id for one in tree}
    return all(kept.get(name) == pygit2.hash(text) for name, text in source.items())


def read(repo: pygit2.Repository, tree: pygit2.Tree) -> Content:
    """Return the content in a tree; raise Unreadable."""
    check(repo, tree)
    document = _document(_blob(repo, tree, DOCUMENT))
    if SOURCE not in tree:
        return Content(document)
    try:
        facts = load_json(_blob(repo, tree, SOURCE))
        form, parameters = facts["form"], facts["parameters"]
        text = _blob(repo, tree, f"source{form}").decode()
    except (JsonTextError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise Unreadable(f"its source is damaged ({error})") from None
    return Content(document, Source(form, text, parameters))


def check(repo: pygit2.Repository, tree: pygit2.Tree) -> None:
    """Raise Unreadable unless a tree has plain files only and its document is there."""
    try:
        for one in tree:
            _check_plain(one.name, one.filemode)
            if one.filemode == FileMode.TREE:
                for file in repo[one.id]:  # type: ignore[attr-defined]
                    _check_plain(f"{one.name}/{file.name}", file.filemode)
        _blob(repo, tree, DOCUMENT)
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        raise Unreadable(f"the repository is damaged ({error})") from None


def _check_plain(name: str | None, mode: int) -> None:
    if mode == FileMode.LINK:
        raise Unreadable(f"{name} is a symbolic link, which may lead anywhere")
    if mode not in _PLAIN:
        raise Unreadable(f"{name} is no plain file")


def _blob(repo: pygit2.Repository, tree: pygit2.Tree, name: str) -> bytes:
    if name not in tree:
        raise Unreadable(f"it has no file {name}")
    found = tree[name]
    if not isinstance(found, pygit2.Blob) or found.filemode != FileMode.BLOB:
        raise Unreadable(f"{name} is no plain file")
    return found.data


def _document(text: bytes) -> Json:
    try:
        # The hash of the version checks what a stricter reader would.
        found = orjson.loads(text)
        return expand(found, _NO_FOLDERS) if _LITERAL in text else found
    except (orjson.JSONDecodeError, ReferenceInvalid) as error:
        raise Unreadable(f"{DOCUMENT} is no document ({error})") from None
