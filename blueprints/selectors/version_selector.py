"""Which version of a Blueprint is meant: as text after its name, and as a row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from semantic_version import NpmSpec, Version

from blueprints.models import Blueprint, BlueprintVersion
from blueprints.selectors.blueprints import blueprint_get
from engine.blueprint_store import InputRefused, check_alias
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean

Kind = Literal["inline", "latest", "fixed", "semver_req", "alias"]
LATEST: Final = "latest"
SHORTEST_PREFIX: Final = 8
MOST_SHOWN: Final = 5
_HASH: Final = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")
_ALIAS: Final = re.compile(r"[a-z][a-z0-9._-]*")
_FORMS: Final = (
    "an alias, `latest`, `sha256:` and at least 8 digits of a version, or a requirement"
    " such as ^1.2"
)


class VersionUnknown(LookupError):
    """A selector that no version of the Blueprint fits; the text is for people."""


class VersionAmbiguous(VersionUnknown):
    """The beginning of a hash that several versions have; `versions` are some of them."""

    def __init__(self, text: str, versions: list[str]) -> None:
        """Name the versions."""
        super().__init__(f"{text}: {', '.join(versions)}")
        self.versions = versions


@dataclass(frozen=True, slots=True)
class VersionSelector:
    """Names one version of a Blueprint.

    `value` is the hash or its beginning, the requirement or the alias; an `inline`
    selector has the `document` itself, and none of the store is meant.
    """

    kind: Kind = LATEST
    value: str = ""
    document: Json = None

    @classmethod
    def parse(cls, text: str) -> VersionSelector:
        """Read what stands after `NAME@`: empty is the latest; raise InputRefused."""
        if text in ("", LATEST):
            return cls()
        if text.startswith("sha256:") or _HASH.fullmatch(text):
            return cls.fixed(text)
        if _ALIAS.fullmatch(text) and text not in ("x", "v"):
            check_alias(text)
            return cls("alias", text)
        return cls.requirement(text)

    @classmethod
    def fixed(cls, text: str) -> VersionSelector:
        """Select by the hash of a document or its beginning; raise InputRefused."""
        found = _HASH.fullmatch(text)
        if found is None:
            rule = (
                f"expected sha256: and {SHORTEST_PREFIX} to 64 hex digits, got {text!r}"
            )
            raise InputRefused("version", rule)
        return cls("fixed", f"sha256:{found[1]}")

    @classmethod
    def requirement(cls, text: str) -> VersionSelector:
        """Select by a requirement on labels, as npm reads it; raise InputRefused."""
        try:
            NpmSpec(text)
        except ValueError:
            rule = f"expected {_FORMS}, got {text!r}"
            raise InputRefused("version", rule) from None
        return cls("semver_req", text)

    @classmethod
    def from_json(cls, value: Json) -> VersionSelector:
        """Read `{"kind": …}`; None is the latest; raise InputRefused."""
        if value is None:
            return cls()
        match value:
            case {"kind": "inline", "value": document, **rest} if not rest:
                return cls("inline", document=document)
            case {"kind": "latest", **rest} if not rest:
                return cls()
            case {"kind": "fixed", "value": str(text), **rest} if not rest:
                return cls.fixed(text)
            case {"kind": "semver_req", "req": str(text), **rest} if not rest:
                return cls.requirement(text)
            case {"kind": "alias", "value": str(text), **rest} if not rest:
                check_alias(text)
                return cls("alias", text)
        rule = (
            'expected {"kind": "latest"}, {"kind": "fixed", "value": HASH},'
            ' {"kind": "semver_req", "req": "^1.2"} or {"kind": "alias", "value": NAME}'
        )
        raise InputRefused("version", rule)

    def __str__(self) -> str:
        return self.value or self.kind

    def resolve(self, id: str) -> BlueprintVersion:
        """Return the version of a Blueprint that is selected, the newest if several fit.

        Raise BlueprintUnknown, VersionUnknown if none fits, and VersionAmbiguous.
        """
        return self.of(blueprint_get(id))

    def of(self, blueprint: Blueprint) -> BlueprintVersion:
        """Return the version of a Blueprint whose row is read already.

        Raise VersionUnknown and VersionAmbiguous.
        """
        match self.kind:
            case "latest" | "inline":
                found = blueprint.head
            case "alias":
                found = self._by_alias(blueprint)
            case "fixed":
                found = self._by_hash(blueprint)
            case "semver_req":
                found = self._by_label(blueprint)
        if found is None:
            raise VersionUnknown(f"Blueprint {blueprint.pk!r} has no version {self}")
        return found

    def _by_alias(self, blueprint: Blueprint) -> BlueprintVersion | None:
        alias = blueprint.aliases.get(self.value)
        if alias is None:
            hint = did_you_mean(self.value, blueprint.aliases) or "it has none"
            text = f"Blueprint {blueprint.pk!r} has no alias {self.value!r}; {hint}"
            raise VersionUnknown(text)
        return blueprint.versions.filter(commit=alias["commit"]).first()

    def _by_hash(self, blueprint: Blueprint) -> BlueprintVersion | None:
        # A range, which the index has; a search for a beginning reads all versions.
        first, beyond = self.value, f"{self.value}g"
        rows = blueprint.versions.filter(version__gte=first, version__lt=beyond)
        hashes = rows.order_by("version").values_list("version", flat=True).distinct()
        several = list(hashes[:MOST_SHOWN])
        if len(several) > 1:
            text = f"several versions of {blueprint.pk!r} begin with {self.value}"
            raise VersionAmbiguous(text, several)
        return rows.order_by("-number").first()

    def _by_label(self, blueprint: Blueprint) -> BlueprintVersion | None:
        spec = NpmSpec(self.value)
        labelled = blueprint.versions.exclude(label="").order_by("number")
        fitting = [
            (Version(label), number, pk)
            for pk, number, label in labelled.values_list("pk", "number", "label")
            if spec.match(Version(label))
        ]
        if not fitting:
            return None
        best = max(label for label, *_ in fitting)
        # A repository that was repaired by hand may have two commits of a number.
        *_, pk = max(one[1:] for one in fitting if one[0] == best)
        return blueprint.versions.get(pk=pk)


def split_name(text: str) -> tuple[str, VersionSelector]:
    """Return the name and the selector of `NAME` or `NAME@VERSION`; raise InputRefused."""
    name, _, version = text.partition("@")
    return name, VersionSelector.parse(version)
