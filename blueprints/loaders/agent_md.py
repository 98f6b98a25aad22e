"""Read agents from Markdown: front matter has the fields, the body is the prompt."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from blueprints.loaders.files import MAX_BYTES, FileUnreadable, decoded, read_file
from blueprints.loaders.yaml_text import YamlEmpty, YamlTextError, load_yaml
from engine.blueprint.kinds.registry import MARKDOWN_KIND
from engine.blueprint.lints.levels import SETTINGS
from engine.flow.json_text import Json

NO_FRONT_MATTER: Final = "no-front-matter"
_OPENING: Final = re.compile(rb"---\r?\n")
_CLOSING: Final = re.compile(rb"^---(?:\r?\n|\Z)", re.MULTILINE)
_ALMOST: Final = re.compile(rb"^[ \t]*---", re.MULTILINE)
_BOM: Final = b"\xef\xbb\xbf"
_TEXTS: Final = ("model", "effort", "description", "worker_binding")


class AgentMdInvalid(Exception):
    """A file that is no agent; `code` names the rule for programs."""

    def __init__(self, code: str, rule: str) -> None:
        """Make an error from a rule for people."""
        super().__init__(rule)
        self.code = code


def read_agent_md(content: bytes, kind: str) -> dict[str, Json]:
    """Return the agent in a Markdown file as a Blueprint would write it.

    Unknown fields of the front matter go to `profile.extras`; known fields without a
    value are left out. Raises AgentMdInvalid.
    """
    header, body = _split(content)
    try:
        decoded(content)
    except FileUnreadable as error:
        raise AgentMdInvalid("utf-8", str(error)) from None
    prompt = body.decode("utf-8")
    try:
        # The empty line replaces the opening one, so that line numbers are right.
        fields = load_yaml(b"\n" + header)
    except YamlEmpty:
        fields = {}
    except YamlTextError as error:
        raise AgentMdInvalid("yaml", f"front matter, {error}") from None
    if not isinstance(fields, dict):
        rule = "front matter must be a mapping with a name (name: critic)"
        raise AgentMdInvalid("missing-name", rule)
    agent: dict[str, Json] = {"name": _name(fields), "kind": kind}
    agent["profile"] = _profile(fields, prompt)
    lints = _lints(fields)
    if lints:
        agent["lints"] = lints
    return agent


def prompt_hash(prompt: str) -> str:
    """Return the `version_hash` of a prompt: `sha256:` and the hex digest of its UTF-8."""
    return "sha256:" + hashlib.sha256(prompt.encode("utf-8")).hexdigest()


def load_agents(folder: str | Path) -> list[dict[str, Json]]:
    """Return the agents of all `*.md` files of a folder, in the order of file names.

    Files without front matter are left out; the files have at most 4 MiB together.
    Raises AgentMdInvalid, whose text begins with the file.
    """
    agents = []
    left = MAX_BYTES
    for path in sorted(Path(folder).glob("*.md")):
        try:
            content = read_file(path)
            left -= len(content)
            if left < 0:
                rule = f"the folder's files have more than {MAX_BYTES} bytes (4 MiB)"
                raise AgentMdInvalid("size", rule)
            agents.append(read_agent_md(content, MARKDOWN_KIND))
        except FileUnreadable as error:
            raise AgentMdInvalid("io", f"{path}: {error}") from None
        except AgentMdInvalid as error:
            if error.code != NO_FRONT_MATTER:
                raise AgentMdInvalid(error.code, f"{path}: {error}") from None
    return agents


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Return front matter and body; the body is unchanged byte for byte."""
    opening = _OPENING.match(content)
    if opening is None:
        rule = "the file must begin with a line that is exactly ---"
        if content.startswith(_BOM):
            rule += "; it begins with a byte order mark"
        raise AgentMdInvalid(NO_FRONT_MATTER, rule)
    closing = _CLOSING.search(content, opening.end())
    if closing is not None:
        return content[opening.end() : closing.start()], content[closing.end() :]
    rule = "front matter has no end: a later line must be exactly ---"
    almost = _ALMOST.search(content, opening.end())
    if almost is not None:
        line = content.count(b"\n", 0, almost.start()) + 1
        rule += f" (line {line} is not exactly ---)"
    raise AgentMdInvalid("unterminated", rule)


def _name(fields: Mapping[str, Json]) -> str:
    name = fields.get("name")
    if name is None:
        raise AgentMdInvalid("missing-name", "front matter has no name (name: critic)")
    if not isinstance(name, str) or not name:
        rule = "front matter: name must be a text that is not empty; use quotes"
        raise AgentMdInvalid("missing-name", rule)
    return name


def _profile(fields: Mapping[str, Json], prompt: str) -> dict[str, Json]:
    profile: dict[str, Json] = {"system_prompt": prompt}
    for key in _TEXTS:
        value = fields.get(key)
        if value is None:
            continue
        if not isinstance(value, str):
            types = {bool: "true or false", dict: "a mapping", list: "a list"}
            got = types.get(type(value), "a number")
            rule = f"front matter: {key} must be a text, got {got}; use quotes"
            raise AgentMdInvalid("wrong-type", rule)
        profile[key] = value.strip() if key == "description" else value
    tools = _tools(fields.get("tools"))
    if tools:
        profile["tools"] = tools
    known = {"name", "tools", "lints", *_TEXTS}
    extras = {key: value for key, value in fields.items() if key not in known}
    if extras:
        profile["extras"] = extras
    profile["version_hash"] = prompt_hash(prompt)
    return profile


def _tools(value: Json) -> list[str]:
    listed = value.split(",") if isinstance(value, str) else value
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        rule = "front matter: tools must be a text with commas or a list of texts"
        raise AgentMdInvalid("wrong-type", rule)
    return [one.strip() for one in listed if one.strip()]


def _lints(fields: Mapping[str, Json]) -> dict[str, Json]:
    if "lints" not in fields:
        return {}
    lints = fields["lints"]
    if not isinstance(lints, dict):
        rule = "front matter: lints must be a mapping of lint to allow, warn or deny"
        raise AgentMdInvalid("lints", rule)
    for key, level in lints.items():
        # A level from YAML may be a list, which has no hash.
        if level not in tuple(SETTINGS):
            rule = f"front matter: lints.{key} must be allow, warn or deny"
            raise AgentMdInvalid("lints", f"{rule}, got {level!r}")
    return lints
