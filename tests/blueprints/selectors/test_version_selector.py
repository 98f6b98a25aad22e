"""Tests of blueprints/selectors/version_selector.py."""

import pytest
from kept_blueprints import ADA, document, register

from blueprints.selectors.version_selector import (
    VersionSelector,
    VersionUnknown,
    split_name,
)
from blueprints.services.blueprints import alias_set
from engine.blueprint_store import BlueprintUnknown, InputRefused, version_of


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("", "latest", ""),
        ("latest", "latest", ""),
        ("prod", "alias", "prod"),
        ("beta-2", "alias", "beta-2"),
        ("sha256:0123abcd", "fixed", "sha256:0123abcd"),
        ("0123abcd", "fixed", "sha256:0123abcd"),
        ("12345678", "fixed", "sha256:12345678"),
        ("f" * 64, "fixed", "sha256:" + "f" * 64),
        ("^1.2", "semver_req", "^1.2"),
        ("~1.2.3", "semver_req", "~1.2.3"),
        ("1.2.3", "semver_req", "1.2.3"),
        ("1.x", "semver_req", "1.x"),
        (">=1.0.0 <2.0.0", "semver_req", ">=1.0.0 <2.0.0"),
        ("1.2.3-rc.1", "semver_req", "1.2.3-rc.1"),
    ],
)
def test_a_text_is_one_kind_of_selector(text, kind, value):
    assert split_name(f"mail@{text}") == ("mail", VersionSelector(kind, value))


def test_a_name_alone_is_the_latest():
    assert split_name("mail") == ("mail", VersionSelector())


@pytest.mark.parametrize(
    "text", ["sha256:", "sha256:0123abc", "sha256:xyz", "^", "Prod", "a b", "x..y", "@"]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(InputRefused):
        VersionSelector.parse(text)


@pytest.mark.parametrize(
    ("value", "selector"),
    [
        (None, VersionSelector()),
        ({"kind": "latest"}, VersionSelector()),
        ({"kind": "fixed", "value": "f" * 64}, VersionSelector.fixed("f" * 64)),
        ({"kind": "semver_req", "req": "^1"}, VersionSelector("semver_req", "^1")),
        ({"kind": "alias", "value": "prod"}, VersionSelector("alias", "prod")),
        ({"kind": "inline", "value": {"id": "b"}}, VersionSelector("inline", document={"id": "b"})),
    ],
)  # fmt: skip
def test_a_selector_as_json(value, selector):
    assert VersionSelector.from_json(value) == selector


@pytest.mark.parametrize(
    "value",
    [
        *("latest", [], {}, {"kind": "newest"}, {"kind": "fixed"}),
        {"kind": "fixed", "value": 1},
        {"kind": "semver_req", "req": "one"},
        {"kind": "latest", "value": "x"},
        {"kind": "alias", "value": "-rf"},
    ],
)
def test_other_json_is_refused(value):
    with pytest.raises(InputRefused):
        VersionSelector.from_json(value)


def found(text: str) -> int:
    """Return the number of the commit that `mail@TEXT` means."""
    name, selector = split_name(f"mail@{text}")
    return selector.resolve(name).number


@pytest.mark.usefixtures("kept")
def test_a_selector_finds_the_newest_version_that_fits():
    first = register("A", label="1.0.0")
    for text, label in (("B", "1.2.0"), ("C", "1.10.0"), ("D", "2.0.0-rc.1")):
        register(text, label=label)
    register("B", label="1.2.0")
    register("E")
    alias_set("mail", "prod", first, actor=ADA, message="x")

    assert (found(""), found("latest"), found("prod")) == (6, 6, 1)
    assert found("^1.0") == found("1.x") == found("*") == 3
    assert found("~1.2") == found("1.2.0") == 5
    assert found("2.0.0-rc.1") == 4
    assert found("<1.2.0") == 1


@pytest.mark.usefixtures("kept")
def test_s12_a_version_is_found_by_its_hash_as_it_is_shown():
    version = register("A").version
    register("B")

    assert version == version_of(document("A"))
    digits = version.removeprefix("sha256:")
    for text in (version, digits, digits[:8], version[:20]):
        assert found(text) == 1


@pytest.mark.usefixtures("kept")
def test_the_beginning_of_several_hashes_is_refused():
    register("A")
    row = register("again")
    other = "sha256:" + row.version[7:15] + "0" * 56
    row.blueprint.versions.filter(number=1).update(version=other)

    with pytest.raises(VersionUnknown, match="several versions of 'mail' begin with"):
        found(row.version[7:15])


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("text", ["prot", "^9", "deadbeef"])
def test_what_no_version_fits_is_said(text):
    alias_set("mail", "prod", register(), actor=ADA, message="x")

    with pytest.raises(VersionUnknown, match=r"has no (version|alias)"):
        found(text)


@pytest.mark.usefixtures("kept")
def test_a_blueprint_that_is_not_kept_is_unknown():
    with pytest.raises(BlueprintUnknown, match="No Blueprint is named 'mail'"):
        found("")
