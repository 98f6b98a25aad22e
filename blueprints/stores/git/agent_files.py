"""The agents of a document as Markdown files, for people who read a clone.

They are derived from the document and never read back.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from engine.flow.json_text import Json

SUFFIX: Final = ".md"
LONGEST_STEM: Final = 180
"""In bytes; a file system takes 255 with the suffix and what makes it unique."""
_SPACES_AT_ENDS: Final = re.compile(r"[ \t]+$", re.MULTILINE)

# libyaml is in every wheel of PyYAML.
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):
    """Writes texts of several lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal parts twice."""
        return True


def _text(dumper: Any, text: str) -> Any:
    if "\n" not in text:
        return dumper.represent_str(text)
    # libyaml writes a text with spaces at the end of a line as one line.
    shown = _SPACES_AT_ENDS.sub("", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", shown, style="|")


_Dumper.add_representer(str, _text)


def agents_of(document: Json) -> dict[str, dict[str, Json]]:
    """Return the agents of a document by their name; the first of each."""
    listed = document.get("agents") if isinstance(document, dict) else None
    found: dict[str, dict[str, Json]] = {}
    for agent in listed if isinstance(listed, list) else ():
        if isinstance(agent, dict) and isinstance(agent.get("name"), str):
            found.setdefault(agent["name"], agent)
    return found


def agent_text(agent: Mapping[str, Json]) -> str:
    """Return an agent as Markdown: its fields as front matter, its prompt as the body.

    A file that `read_agent_md` reads gives the same agent again.
    """
    fields = dict(agent)
    profile = fields.pop("profile", None)
    prompt = ""
    if isinstance(profile, dict):
        profile = dict(profile)
        prompt = str(profile.pop("system_prompt", ""))
        profile.pop("version_hash", None)
        extras = profile.pop("extras", None)
        shown = {**extras, **profile} if isinstance(extras, dict) else profile
        # What has the same name stays where it is.
        fields = {**fields, **{k: v for k, v in shown.items() if k not in fields}}
    header = yaml.dump(
        fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20
    )
    return f"---\n{header}---\n{prompt}"


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return a file name for each agent; no two differ in case only."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = "".join(
            char if char.isalnum() or (char in "._- " and place) else _escaped(char)
            for place, char in enumerate(name)
        )
        if len(stem.encode()) > LONGEST_STEM or stem.casefold() in taken:
            cut = stem.encode()[: LONGEST_STEM - 9].decode("utf-8", "ignore")
            stem = f"{cut}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        taken.add(stem.casefold())
        found[name] = stem + SUFFIX
    return found


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
