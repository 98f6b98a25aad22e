"""Tests of references: what they become, and that none leads out."""

import os
import re

import pytest
from blueprint_files import loaded
from hypothesis import given
from hypothesis import strategies as st

from blueprints.loaders.blueprint import (
    embedded_text,
    load_blueprint,
)
from blueprints.loaders.cascade import SAMPLES, Cascade
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import MAX_BYTES
from blueprints.loaders.references import escape, expand


def refused(base, document, **more):
    with pytest.raises(DocumentInvalid) as caught:
        loaded(base, document, **more)
    assert str(caught.value).startswith(f"{base / 'a.json'}: ")
    assert "secret" not in str(caught.value).replace("secret.txt", "")
    return caught.value


def test_a_file_becomes_its_text_anywhere(base):
    file = {"$file": "text.txt"}

    assert loaded(base, {"a": file, "b": [1, {"c": file}]}) == {
        "a": "a text\n",
        "b": [1, {"c": "a text\n"}],
    }
    assert loaded(base, file) == "a text\n"


@pytest.mark.parametrize("around", ["lit", "template", "op", None, "object", "deeper"])
def test_a_file_is_a_literal_or_a_template_and_no_expression(base, around):
    file = {"$file": "text.txt"}
    forms = {
        "lit": {"lit": [{"k": file}]},
        "template": {"template": file},
        "op": {"op": "lit", "value": file},
        None: file,
        "object": {"object": {"k": file}},
        "deeper": ["$.a", {"k": file}],
    }
    flow = {"kind": "let", "at": "$.a", "value": forms[around]}
    if around in ("lit", "template", "op"):
        found = loaded(base, {"dialect": "swarm", "flow": flow})["flow"]["value"]
        assert "a text\n" in str(found).replace("\\n", "\n")
        return
    error = refused(base, {"dialect": "swarm", "flow": flow})
    assert "$file" in error.place
    assert "write {lit: {$file: …}} or {template: {$file: …}}" in str(error)
    assert "a text" in str(loaded(base, {"flow": flow}))


def test_an_agent_becomes_what_a_blueprint_would_write(base):
    [agent] = loaded(base, {"agents": [{"$agent_md": "agents/critic.md"}]})["agents"]

    assert (agent["name"], agent["kind"]) == ("critic", "operator")
    assert agent["profile"]["system_prompt"] == "Be short.\n"


def test_siblings_replace_top_level_keys_of_an_agent(base):
    reference = {
        "$agent_md": "agents/critic.md",
        "spec": {"text": {"$file": "text.txt"}},
        "profile": {"system_prompt": "other"},
        "verdict": {"channel": "part", "values": ["A"]},
    }

    assert loaded(base, {"agents": [reference]})["agents"] == [
        {
            "name": "critic",
            "kind": "operator",
            "profile": {"system_prompt": "other"},
            "spec": {"text": "a text\n"},
            "verdict": {"channel": "part", "values": ["A"]},
        }
    ]


def test_the_kind_comes_from_a_sibling_then_the_document_then_operator(base):
    reference = {"$agent_md": "agents/critic.md"}
    document = {"default_agent_kind": "lua", "agents": [reference]}

    assert loaded(base, document)["agents"][0]["kind"] == "lua"
    document["agents"] = [{**reference, "kind": "agent_block"}]
    assert loaded(base, document)["agents"][0]["kind"] == "agent_block"
    document = {"default_agent_kind": 5, "agents": [reference]}
    assert loaded(base, document)["agents"][0]["kind"] == "operator"


def test_s15_texts_of_files_are_not_searched_for_references(base):
    (base / "text.txt").write_text('{"$file": "text.txt"}')
    md = '---\nname: a\nextra: {$file: text.txt}\n---\n{"$file": "text.txt"}'
    (base / "agents" / "a.md").write_text(md)
    agent = loaded(base, {"$agent_md": "agents/a.md"})

    assert loaded(base, {"a": {"$file": "text.txt"}}) == {"a": '{"$file": "text.txt"}'}
    assert agent["profile"]["system_prompt"] == '{"$file": "text.txt"}'
    assert agent["profile"]["extras"] == {"extra": {"$file": "text.txt"}}


def test_s14_a_literal_is_data_and_never_followed(base):
    data = {"$file": "nowhere", "more": [{"$agent_md": 5}, {"$literal": {}}]}

    assert loaded(base, {"a": {"$literal": data}}) == {"a": data}
    assert loaded(base, {"a": {"$literal": "x"}}) == {"a": "x"}


@pytest.mark.parametrize(
    ("value", "place", "rule"),
    [
        ({"$file": "text.txt", "x": 1}, "$.a[0]", "'$file' must be the only key, but"),
        ({"$file": 5}, "$.a[0].$file", "expected a relative path"),
        ({"$agent_md": ["x"]}, "$.a[0].$agent_md", "expected a relative path"),
        ({"$literal": 1, "x": 1}, "$.a[0]", "'$literal' must be the only key"),
        ({"$file": "text.txt", "$agent_md": "x"}, "$.a[0]", "must be the only key"),
    ],
)
def test_s14_a_reference_of_another_form_is_an_error_and_not_data(
    base, value, place, rule
):
    error = refused(base, {"a": [value]})

    assert error.place == place
    assert rule in error.rule
    assert 'write {"$literal": {...}}' in error.rule


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("$fiel", "$file"),
        ("$files", "$file"),
        ("$File", "$file"),
        ("$fle", "$file"),
        ("$agent-md", "$agent_md"),
        ("$agentMd", "$agent_md"),
        ("$litteral", "$literal"),
    ],
)
def test_a_misspelt_reference_gets_the_nearest_spelling(base, key, meant):
    error = refused(base, {"a": {"b": {key: "text.txt"}}})

    assert error.place == "$.a.b"
    assert f"unknown reference '{key}'; did you mean '{meant}'?" in error.rule


@pytest.mark.parametrize("key", ["$ref", "$id", "$schema", "$filter", "$field", "file"])
def test_other_keys_are_data(base, key):
    assert loaded(base, {"a": {key: "x"}}) == {"a": {key: "x"}}


def test_a_misspelt_sibling_is_reported_too(base):
    reference = {"$agent_md": "agents/critic.md", "$fiel": "text.txt"}

    assert refused(base, {"agents": [reference]}).place == "$.agents[0]"


@pytest.mark.parametrize("word", ["$file", "$agent_md"])
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("../secret.txt", "has '..' in it"),
        ("agents/../../secret.txt", "has '..' in it"),
        ("agents/..", "has '..' in it"),
        ("/etc/passwd", "is absolute"),
        ("//etc/passwd", "is absolute"),
        ("", "expected a relative path"),
        ("text.txt\0", "expected a relative path"),
        (".", "not a regular file"),
        ("agents", "not a regular file"),
        ("pipe", "not a regular file"),
        ("text.txt/x", "no file 'text.txt/x' in any of"),
        ("x" * 5000, "no file"),
    ],
)
def test_no_path_leads_out_or_to_what_is_no_file(base, word, name, rule):
    os.mkfifo(base / "pipe")
    error = refused(base, {"agents": [{word: name}]})

    assert error.place == f"$.agents[0].{word}"
    assert rule in error.rule


@pytest.mark.parametrize("word", ["$file", "$agent_md"])
def test_s2_no_symbolic_link_leads_out(base, tmp_path, word):
    (base / "link.txt").symlink_to(tmp_path / "secret.txt")
    (base / "folder").symlink_to(tmp_path)
    (base / "again").symlink_to("link.txt")
    (base / "proc").symlink_to("/proc/self")
    for name in ("link.txt", "folder/secret.txt", "again", "proc/environ"):
        error = refused(base, {"a": {word: name}})
        assert error.place == f"$.a.{word}"
        assert "leads out of the searched folders" in error.rule


def test_a_link_that_stays_inside_is_followed(base, tmp_path):
    (base / "link.txt").symlink_to("text.txt")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").write_text("x")
    (base / "x.txt").symlink_to(tmp_path / "other" / "x.txt")

    assert loaded(base, {"$file": "link.txt"}) == "a text\n"
    # Where it leads to is among the folders that may be read.
    includes = [str(tmp_path / "other")]
    assert loaded(base, {"$file": "x.txt"}, includes=includes) == "x"


def test_links_in_a_circle_and_to_nothing_are_refused(base):
    (base / "a.txt").symlink_to("b.txt")
    (base / "b.txt").symlink_to("a.txt")
    (base / "broken").symlink_to("nothing")
    for name in ("a.txt", "broken"):
        assert "can't be read" in refused(base, {"a": {"$file": name}}).rule


def test_a_neighbour_with_the_same_beginning_is_outside(base, tmp_path):
    (tmp_path / "base2").mkdir()
    (tmp_path / "base2" / "secret.txt").write_text("secret")
    (base / "link").symlink_to(tmp_path / "base2")

    assert "leads out" in refused(base, {"$file": "link/secret.txt"}).rule


@pytest.mark.parametrize(
    ("include", "rule"),
    [
        ("/etc", "'/etc' is absolute"),
        ("..", "'..' has '..' in it"),
        ("agents/../..", "has '..' in it"),
        ("link", "leads out of"),
        ("nothing", "no folder 'nothing' in"),
        ("", "expected a relative path"),
        (5, "expected a folder below the base"),
    ],
)
def test_s1_folders_of_the_document_are_below_its_base(base, tmp_path, include, rule):
    (base / "link").symlink_to(tmp_path)
    document = {
        "blueprint_ref_includes": ["agents", include],
        "a": {"$file": "text.txt"},
    }
    error = refused(base, document)

    assert error.place == "$.blueprint_ref_includes[1]"
    assert rule in error.rule


def test_folders_that_are_no_array_are_refused(base):
    error = refused(base, {"blueprint_ref_includes": "agents"})

    assert (error.place, error.rule) == (
        "$.blueprint_ref_includes",
        "expected an array of folders",
    )


def test_the_first_folder_that_has_a_file_wins(base, tmp_path, settings):
    names = ["base", "own", "setting", "command"]
    own = base / "own"
    folders = [base, own, tmp_path / "setting", tmp_path / "command"]
    for name, folder in zip(names, folders, strict=True):
        folder.mkdir(exist_ok=True)
        (folder / "x.txt").write_text(name)
    settings.SWARM_BLUEPRINT_INCLUDES = [str(folders[2])]
    document = {"blueprint_ref_includes": ["own"], "a": {"$file": "x.txt"}}
    found = []
    for folder in folders:
        found.append(loaded(base, document, includes=[str(folders[3])])["a"])
        (folder / "x.txt").unlink()
    error = refused(base, document, includes=[str(folders[3])])

    assert found == names
    searched = [
        f"{base} (beside the document)",
        f"{own} (blueprint_ref_includes)",
        f"{folders[2]} (SWARM_BLUEPRINT_INCLUDES)",
        f"{folders[3]} (--include)",
        f"{SAMPLES} (samples)",
    ]
    assert error.rule == f"no file 'x.txt' in any of: {'; '.join(searched)}"


def test_the_samples_are_searched_last(base):
    first = next(SAMPLES.glob("*.json")).name

    assert loaded(base, {"$file": first}) == (SAMPLES / first).read_text()
    (base / first).write_text("mine")
    assert loaded(base, {"$file": first}) == "mine"


def test_a_folder_of_the_settings_that_is_gone_is_reported_as_such(base, settings):
    settings.SWARM_BLUEPRINT_INCLUDES = [str(base / "gone")]

    rule = refused(base, {"$file": "x"}).rule
    assert f"{base / 'gone'} (SWARM_BLUEPRINT_INCLUDES, not there)" in rule


def test_an_include_of_the_command_that_is_not_there_is_refused(base):
    with pytest.raises(DocumentInvalid, match="of --include does not exist: /no/where"):
        loaded(base, {}, includes=["/no/where"])


def test_what_goes_wrong_in_an_agent_is_reported_with_file_and_place(base):
    (base / "agents" / "bad.md").write_text("---\nname: a\n----\n")
    error = refused(base, {"agents": [{"$agent_md": "agents/bad.md"}]})

    assert error.code == "unterminated"
    assert str(error).startswith(
        f"{base / 'a.json'}: $.agents[0].$agent_md: 'agents/bad.md': front matter has"
    )


def test_a_file_that_is_not_utf_8_is_refused(base):
    (base / "x.bin").write_bytes(b"ab\xff")

    rule = refused(base, {"$file": "x.bin"}).rule
    assert rule == "'x.bin': byte 2: not UTF-8"


def test_a_file_of_50_mb_is_refused(base):
    with (base / "big.txt").open("wb") as file:
        file.truncate(50 * 1024 * 1024)

    for word in ("$file", "$agent_md"):
        rule = refused(base, {word: "big.txt"}).rule
        assert "longer than 4194304 bytes" in rule


def test_all_files_together_are_bounded_every_mention_counted(base):
    (base / "text.txt").write_text("x" * (MAX_BYTES // 4))
    four = [{"$file": "text.txt"}] * 4

    assert len("".join(loaded(base, four))) == MAX_BYTES
    error = refused(base, [*four, {"$file": "agents/critic.md"}])
    assert (error.place, error.code) == ("$[4].$file", "size")


def test_front_matter_that_multiplies_is_bounded(base):
    rows = ["a0: &a0 [" + ", ".join(["x" * 20] * 10) + "]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 5)]
    text = "---\nname: a\n" + "\n".join(rows) + "\n---\n"
    (base / "agents" / "bomb.md").write_text(text)
    error = refused(base, [{"$agent_md": "agents/bomb.md"}] * 50)

    assert error.code == "size"


def test_depth_is_bounded_when_all_is_in_place(base):
    deep = "[" * 100 + "]" * 100
    (base / "agents" / "deep.md").write_text(f"---\nname: a\nx: {deep}\n---\n")
    document = {"$agent_md": "agents/deep.md"}
    assert loaded(base, document)["profile"]["extras"]
    for _ in range(40):
        document = [document]
    error = refused(base, document)

    assert error.code == "depth"
    assert "nested deeper than 127 containers" in error.rule


def test_b25_a_built_document_needs_no_other_file(base, tmp_path):
    document = {
        "blueprint_ref_includes": ["agents"],
        "agents": [{"$agent_md": "critic.md", "spec": {"$literal": {"$file": 5}}}],
        "text": {"$file": "text.txt"},
    }
    built = loaded(base, document)
    alone = tmp_path / "alone.json"
    alone.write_text(embedded_text(built))

    assert load_blueprint(alone).document == built
    assert built["agents"][0]["spec"] == {"$file": 5}
    assert embedded_text(built) == embedded_text(loaded(base, document))


def test_a_built_text_is_never_too_long_to_be_read(base, tmp_path):
    document = loaded(base, [[[[[0] * 100_000]]]])
    text = embedded_text(document)
    path = tmp_path / "built.json"
    path.write_text(text)

    assert load_blueprint(path).document == document
    assert len(embedded_text([0] * 500_000)) < MAX_BYTES


KEYS = st.sampled_from(["$file", "$agent_md", "$literal", "$fiel", "$ref", "a", "b"])
DATA = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=3),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS, part, max_size=3),
    max_leaves=12,
)


@given(DATA)
def test_any_data_survives_being_written_and_read_again(data):
    assert expand(escape(data), Cascade([])) == data


def test_the_text_of_a_missing_file_names_the_file_of_the_document(base):
    error = refused(base, {"agents": [{"name": "a"}, {"$agent_md": "agents/critc.md"}]})

    assert re.match(
        r".*a\.json: \$\.agents\[1\]\.\$agent_md: no file 'agents/critc.md' in any of",
        str(error),
    )
