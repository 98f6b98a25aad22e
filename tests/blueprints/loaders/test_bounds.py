"""The cost of loading is bounded before work is done, and no replaced folder leads out."""

import cProfile
import os
import pstats
import signal

import pytest
from blueprint_files import AGENT, loaded

from blueprints.loaders.agent_md import AgentMdInvalid, load_agents
from blueprints.loaders.cascade import MOST_INCLUDES, cascade_of
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import MAX_BYTES, FileUnreadable, read_file
from blueprints.loaders.references import MOST_FILES
from engine.blueprint.upgrade import upgrade


def refused(base, document):
    with pytest.raises(DocumentInvalid) as caught:
        loaded(base, document)
    return caught.value


def test_a_file_that_is_mentioned_often_is_read_and_parsed_once(base):
    document = [{"$agent_md": "agents/critic.md"}] * 20_000
    (base / "agents" / "critic.md").write_text("---\nname: a\n---\n")
    profile = cProfile.Profile()
    agents = profile.runcall(loaded, base, document)

    calls = {key[2]: made[0] for key, made in pstats.Stats(profile).stats.items()}
    assert len(agents) == 20_000
    assert calls["read_agent_md"] == 1


def test_comments_count_as_bytes_that_are_read(base):
    for name in "abc":
        comments = "#" * (MAX_BYTES // 2 - 100)
        (base / f"{name}.md").write_text(f"---\nname: a\n{comments}\n---\n")
    error = refused(base, [{"$agent_md": f"{name}.md"} for name in "abc"])

    assert (error.place, error.code) == ("$[2].$agent_md", "size")


def test_folders_times_references_are_bounded(base):
    folders = ["agents"] * MOST_INCLUDES
    document = {"blueprint_ref_includes": folders, "a": {"$file": "text.txt"}}
    assert loaded(base, document) == {"a": "a text\n"}

    error = refused(base, {"blueprint_ref_includes": [*folders, "agents"]})
    assert (error.place, error.code) == ("$.blueprint_ref_includes", "includes")
    assert error.rule == "expected at most 64 folders, got 65"

    (base / "text.txt").write_text("")
    for number in range(MOST_FILES // 50 + 1):
        (base / f"f{number}").mkdir()
        (base / f"f{number}" / "text.txt").write_text("")
    names = [
        {"$file": "./" * (number % 50) + f"f{number // 50}/text.txt"}
        for number in range(MOST_FILES + 1)
    ]
    assert len(loaded(base, names[:-1])) == MOST_FILES
    error = refused(base, names)
    assert (error.place, error.code) == (f"$[{MOST_FILES}].$file", "size")


def test_a_folder_of_agents_is_bounded_as_a_whole(base):
    for name in "abc":
        text = "x" * (MAX_BYTES // 2 - 100)
        (base / f"{name}.md").write_text(f"---\nname: a\n---\n{text}")

    with pytest.raises(AgentMdInvalid, match=r"c\.md: the folder's files have more"):
        load_agents(base)


def test_a_folder_that_became_a_link_is_not_followed(base):
    (base / "link").symlink_to(base / "agents")
    inside = os.path.realpath(base)

    assert read_file(f"{inside}/agents/critic.md", follow=False) == AGENT.encode()
    with pytest.raises(
        FileUnreadable, match="a file or symbolic link is where a folder"
    ):
        read_file(f"{inside}/link/critic.md", follow=False)
    os.symlink(base / "text.txt", base / "other.txt")
    with pytest.raises(FileUnreadable, match="a symbolic link is in its path"):
        read_file(f"{inside}/other.txt", follow=False)


def test_no_swap_of_a_folder_for_a_link_leads_out(base, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "critic.md").write_text("stolen")
    (tmp_path / "link").symlink_to(outside)
    swapper = os.fork()
    if swapper == 0:
        try:
            while True:
                os.rename(base / "agents", tmp_path / "aside")
                os.rename(tmp_path / "link", base / "agents")
                os.rename(base / "agents", tmp_path / "link")
                os.rename(tmp_path / "aside", base / "agents")
        finally:
            os._exit(1)
    cascade, seen = cascade_of(base, ()), set()
    try:
        for _ in range(15_000):
            try:
                seen.add(cascade.read("agents/critic.md"))
            except FileUnreadable:
                seen.add(b"refused")
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
    assert seen == {AGENT.encode(), b"refused"}


def test_agents_of_one_file_share_nothing_that_can_be_changed(base):
    text = "---\nname: a\nworker_binding: coder\ntools: [Read]\n---\nBe short.\n"
    (base / "agents" / "critic.md").write_text(text)
    named = [{"$agent_md": "agents/critic.md", "name": name} for name in ("a", "b")]
    upgraded = upgrade(loaded(base, {"agents": named}))[0]
    runners = [agent["runner"]["variant"] for agent in upgraded["agents"]]
    assert runners == ["coder", "coder"]
