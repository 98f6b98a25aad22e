"""The BlueprintStore in git: what is on the disk, and what git itself says of it."""

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from store_contents import ADA, BOB, content, document

from blueprints.loaders.agent_md import read_agent_md
from blueprints.loaders.blueprint import load_blueprint
from blueprints.stores.git import refs
from blueprints.stores.git.agent_files import agent_text
from blueprints.stores.git.store import GitBlueprintStore
from engine.blueprint_store import (
    Commit,
    CommitUnreadable,
    Content,
    InputRefused,
    Source,
    StoreBusy,
    StoreUnusable,
    version_of,
)

SAMPLES = Path(__file__).resolve().parents[3] / "blueprints" / "samples"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "blueprints.git"


@pytest.fixture
def store(path: Path) -> GitBlueprintStore:
    return GitBlueprintStore(path, wait_s=0.2)


def put(store: GitBlueprintStore, text: str, id: str = "mail", **more: Any) -> str:
    made = store.commit(
        id, content(id, text), author=ADA, message=f"Write {text}", **more
    )
    return made.commit.id


def history(store: GitBlueprintStore) -> list[Commit]:
    return [store.find("mail", one.id) for one in store.walk("mail")]


def git(path: Path, *arguments: str, fails: bool = False) -> str:
    done = subprocess.run(
        ["git", "-C", str(path), *arguments], capture_output=True, text=True
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def object_file(path: Path, id: str) -> Path:
    return path / "objects" / id[:2] / id[2:]


def damage(path: Path, id: str) -> None:
    file = object_file(path, id)
    file.chmod(0o644)
    file.write_bytes(b"\x78\x9c damaged")


def loses(path: Path, id: str) -> None:
    object_file(path, id).unlink()


def test_git_finds_no_fault(store: GitBlueprintStore, path: Path) -> None:
    first = put(store, "A", label="1.0.0")
    put(store, "B")
    store.restore("mail", first, author=BOB, message="B was wrong")
    store.set_alias("mail", "prod", first, author=ADA, message="Go")
    store.set_alias("mail", "old", first, author=ADA, message="Go")
    store.remove_alias("mail", "old")
    put(store, "A", id="other")
    store.archive("other", author=ADA, message="Unused")
    assert git(path, "fsck", "--strict", "--full", "--no-dangling") == ""
    assert git(path, "config", "core.bare") == "true\n"
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_clone_is_for_reading(store: GitBlueprintStore, path: Path) -> None:
    source = Source(".yaml", "# The comments stay.\nid: mail\n", {"a": 1})
    store.commit(
        "mail", Content(document(), source), author=ADA, message="Begin", label="1.0.0"
    )
    put(store, "A", id="other")
    clone = path.parent / "clone"
    git(path.parent, "clone", "--quiet", str(path), str(clone))
    shown = {str(one.relative_to(clone)) for one in clone.rglob("*.*")}
    assert {name for name in shown if not name.startswith(".git")} == {
        *("agents/checker.md", "agents/writer.md", "blueprint.json"),
        *("source.json", "source.yaml"),
    }
    assert (clone / "blueprint.json").read_text().startswith('{\n  "schema_version"')
    assert load_blueprint(clone / "blueprint.json").document == document()
    assert (clone / "source.yaml").read_text() == source.text
    assert (clone / "agents" / "writer.md").read_text() == (
        "---\nname: writer\nkind: agent_block\nmodel: small\n---\nWrite Hello.\n"
    )
    assert (clone / "agents" / "checker.md").read_text() == (
        "---\nname: checker\nkind: lua\nspec:\n  source: |\n    return 1\n---\n"
    )
    assert git(clone, "branch", "-r").split() == [
        "origin/HEAD",
        "->",
        "origin/mail",
        "origin/mail",
        "origin/other",
    ]
    log = git(clone, "log", "--format=%an <%ae>|%cn|%s|%(trailers:key=Swarm-Label)")
    assert log == "Ada Lovelace <ada@example.org>|Swarm|Begin|Swarm-Label: 1.0.0\n\n"


def test_git_takes_no_trailer_of_an_author(
    store: GitBlueprintStore, path: Path
) -> None:
    message = "Fine\n\nSwarm-Label: 9.9.9\n---\nSwarm-Number: 7"
    store.commit("mail", content(), author=ADA, message=message)
    raw = git(path, "log", "-1", "--format=%B", "mail")
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"],
        input=raw,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert parsed == (
        "Swarm-Blueprint: mail\n"
        f"Swarm-Version: {version_of(document())}\n"
        "Swarm-Number: 1\n"
    )


@pytest.mark.parametrize(
    "refspec", ["HEAD:refs/heads/mail", "HEAD:refs/heads/new", ":mail", "HEAD:refs/x/y"]
)
@pytest.mark.parametrize("hook", [True, False])
def test_a_push_is_refused(
    store: GitBlueprintStore, path: Path, refspec: str, hook: bool
) -> None:
    head = put(store, "A")
    put(store, "A", id="other")
    clone = path.parent / "clone"
    git(path.parent, "clone", "--quiet", str(path), str(clone))
    config = ("-c", "user.name=Eve", "-c", "user.email=eve@example.org")
    git(clone, *config, "commit", "--quiet", "--allow-empty", "-m", "Mine")
    before = git(path, "for-each-ref")
    if not hook:
        (path / "hooks" / "pre-receive").unlink()
    refused = git(clone, "push", "--force", "origin", refspec, fails=True)
    # Git does not show the branches to who pushes, so that none can be deleted.
    is_delete = refspec.startswith(":")
    assert ("does not exist" if is_delete else "[remote rejected]") in refused
    if hook and not is_delete:
        assert "Blueprints are changed with manage.py blueprint" in refused
    assert git(path, "for-each-ref") == before
    assert store.standing("mail").head.id == head


def test_git_gc_changes_nothing(store: GitBlueprintStore, path: Path) -> None:
    first = put(store, "A")
    put(store, "B")
    put(store, "A", id="other")
    store.set_alias("mail", "prod", first, author=ADA, message="Go")
    store.set_alias("mail", "old", first, author=ADA, message="Go")
    store.archive("other", author=ADA, message="Unused")
    before = [store.standing(id) for id in store.ids()]
    git(path, "gc", "--quiet", "--prune=now")
    assert not (path / "refs" / "heads" / "mail").exists()
    assert [store.standing(id) for id in store.ids()] == before
    assert [store.standing(id) for id in GitBlueprintStore(path).ids()] == before
    # Packed refs are moved and deleted like others.
    second = put(store, "C", expected=before[0].head.id)
    assert store.remove_alias("mail", "old")
    assert store.unarchive("other")
    store.set_alias("mail", "prod", second, author=ADA, message="Go")
    standing = store.standing("mail")
    assert {name: one.commit for name, one in standing.aliases.items()} == {
        "prod": second
    }
    assert git(path, "fsck", "--strict", "--full", "--no-dangling") == ""


def replaced(path: Path, head: str, entries: str, store: GitBlueprintStore) -> str:
    """Make a commit as this store would, but with other files."""
    tree = subprocess.run(
        ["git", "-C", str(path), "mktree"],
        input=entries,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    raw = git(path, "cat-file", "commit", head)
    lines = raw.replace("Swarm-Number: 1", "Swarm-Number: 2").splitlines(keepends=True)
    lines[0:1] = [f"tree {tree}\n", f"parent {head}\n"]
    made = subprocess.run(
        ["git", "-C", str(path), "hash-object", "-w", "-t", "commit", "--stdin"],
        input="".join(lines),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    git(path, "update-ref", "refs/heads/mail", made)
    return made


def test_symbolic_links_are_refused(store: GitBlueprintStore, path: Path) -> None:
    head = put(store, "A")
    blob = git(path, "rev-parse", f"{head}:blueprint.json").strip()
    agents = git(path, "rev-parse", f"{head}:agents").strip()
    for entries, reason in (
        (f"120000 blob {blob}\tblueprint.json\n", "blueprint.json is a symbolic link"),
        (
            f"100644 blob {blob}\tblueprint.json\n120000 blob {blob}\tx\n",
            "x is a symbolic link",
        ),
        (f"160000 commit {head}\tblueprint.json\n", "blueprint.json is no plain file"),
        (f"100755 blob {blob}\tblueprint.json\n", "is no plain file"),
        (f"040000 tree {agents}\tblueprint.json\n", "is no plain file"),
        (f"100644 blob {blob}\tother.json\n", "it has no file blueprint.json"),
    ):
        bad = replaced(path, head, entries, store)
        with pytest.raises(CommitUnreadable, match=reason):
            store.read("mail", bad)
        with pytest.raises(CommitUnreadable, match=reason):
            store.restore("mail", bad, author=ADA, message="Back")
        shown = history(store)
        assert [reason in one.fault for one in shown] == [True, False]
        assert [one.number for one in shown] == [2, 1]


def test_a_document_of_another_version_is_refused(
    store: GitBlueprintStore, path: Path
) -> None:
    head = put(store, "A")
    text = orjson.dumps(document(text="Forged")).decode()
    blob = subprocess.run(
        ["git", "-C", str(path), "hash-object", "-w", "--stdin"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    bad = replaced(path, head, f"100644 blob {blob}\tblueprint.json\n", store)
    with pytest.raises(CommitUnreadable, match="not of the version that it names"):
        store.read("mail", bad)


@pytest.mark.parametrize("harm", [damage, loses])
def test_history_goes_past_commits_that_can_not_be_read(
    store: GitBlueprintStore, path: Path, harm: Any
) -> None:
    ids = [put(store, str(number)) for number in range(1, 7)]
    harm(path, ids[2])
    harm(path, ids[3])
    harm(path, git(path, "rev-parse", f"{ids[1]}:blueprint.json").strip())
    fresh = GitBlueprintStore(path)
    commits = history(fresh)
    assert [one.id for one in commits] == ids[::-1]
    assert [one.number for one in fresh.walk("mail")] == [6, 5, 4, 3, 2, 1]
    assert [bool(one.fault) for one in commits] == [
        *(False, False, True, True, True, False)
    ]
    for id in ids[1:4]:
        assert fresh.find("mail", id).fault
        assert fresh.contains("mail", id)
        with pytest.raises(CommitUnreadable):
            fresh.read("mail", id)
    assert fresh.contains("mail", ids[0])
    # The others are as before, and the next commit can be made.
    assert fresh.read("mail", ids[0]) == content(text="1")
    fresh.restore("mail", ids[0], author=ADA, message="Back")
    put(fresh, "7")


@pytest.mark.parametrize("harm", [damage, loses])
def test_a_head_that_can_not_be_read_is_named(
    store: GitBlueprintStore, path: Path, harm: Any
) -> None:
    first, second = put(store, "A"), put(store, "B")
    harm(path, second)
    fresh = GitBlueprintStore(path)
    head = fresh.standing("mail").head
    assert (head.id, head.number, head.parent) == (second, 2, first)
    assert head.fault
    assert [one.id for one in history(fresh)] == [second, first]
    with pytest.raises(CommitUnreadable, match=r"git -C .* update-ref refs/heads/mail"):
        put(fresh, "C")
    # What the text says helps.
    git(path, "update-ref", "refs/heads/mail", first)
    put(fresh, "C", expected=first)


def test_a_head_whose_document_is_lost_can_be_followed(
    store: GitBlueprintStore, path: Path
) -> None:
    first, second = put(store, "A"), put(store, "B")
    loses(path, git(path, "rev-parse", f"{second}:blueprint.json").strip())
    fresh = GitBlueprintStore(path)
    with pytest.raises(CommitUnreadable):
        fresh.read("mail", second)
    restored = fresh.restore("mail", first, author=ADA, message="Back")
    assert restored.is_new
    assert fresh.read("mail", restored.commit.id) == content(text="A")


def test_a_damaged_alias_hides_nothing_and_is_set_again(
    store: GitBlueprintStore, path: Path
) -> None:
    first = put(store, "A")
    store.set_alias("mail", "prod", first, author=ADA, message="Go")
    store.archive("mail", author=ADA, message="Unused")
    loses(path, git(path, "rev-parse", "refs/aliases/mail/prod").strip())
    loses(path, git(path, "rev-parse", "refs/archive/mail").strip())
    fresh = GitBlueprintStore(path)
    standing = fresh.standing("mail")
    assert standing.archived is not None
    assert standing.aliases["prod"].fault
    assert fresh.unarchive("mail")
    fresh.set_alias("mail", "prod", first, author=ADA, message="Again")
    assert fresh.standing("mail").aliases["prod"].commit == first


def test_a_writer_waits_for_a_time(store: GitBlueprintStore) -> None:
    put(store, "A")
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        with store.hold("mail"):
            ready.set()
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    busy = f"Blueprint 'mail' is being changed by process {os.getpid()} for more than"
    with pytest.raises(StoreBusy, match=busy):
        put(store, "B")
    # Others are not held, and who reads does not wait.
    put(store, "B", id="other")
    assert store.standing("mail").head.number == 1
    done.set()
    thread.join()
    put(store, "B")


def test_a_lock_of_another_git_process_is_named(
    store: GitBlueprintStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "A")
    monkeypatch.setattr(refs, "LOCK_WAIT_S", 0.1)
    lock = path / "refs" / "heads" / "mail.lock"
    lock.touch()
    with pytest.raises(StoreBusy, match=r"mail\.lock.* delete that lock file"):
        put(store, "B")
    assert store.ids() == ["mail"]
    lock.unlink()
    put(store, "B")


def test_libgit2_compares_and_swaps_a_branch(
    store: GitBlueprintStore, path: Path
) -> None:
    first = put(store, "A")
    repo = store._repository.open()
    seen = repo.references["refs/heads/mail"]
    second = put(store, "B")
    with pytest.raises(Exception, match="old reference value does not match"):
        seen.set_target(first)
    assert store.standing("mail").head.id == second


@pytest.mark.parametrize("what", ["file", "folder", "worktree", "foreign"])
def test_another_thing_at_its_path_is_left_alone(
    store: GitBlueprintStore, path: Path, what: str
) -> None:
    path.parent.mkdir()
    if what == "file":
        path.write_text("mine")
    elif what == "folder":
        (path / "mine").mkdir(parents=True)
    else:
        bare = ["--bare"] if what == "foreign" else []
        git(path.parent, "init", "--quiet", *bare, str(path))
    with pytest.raises(StoreUnusable, match="SWARM_BLUEPRINTS"):
        put(store, "A")
    with pytest.raises(StoreUnusable, match="SWARM_BLUEPRINTS"):
        store.ids()
    if what == "foreign":
        git(path, "config", "swarm.store", "1")
        put(store, "A")


def test_a_mirror_is_a_backup(store: GitBlueprintStore, path: Path) -> None:
    first = put(store, "A")
    store.set_alias("mail", "prod", first, author=ADA, message="Go")
    backup = path.parent / "backup.git"
    git(path.parent, "clone", "--quiet", "--mirror", str(path), str(backup))
    git(backup, "config", "swarm.store", "1")
    assert GitBlueprintStore(backup).standing("mail") == store.standing("mail")


def test_several_stores_make_one_repository(path: Path) -> None:
    stores = [GitBlueprintStore(path) for _ in range(8)]
    threads = [
        threading.Thread(target=put, args=(one, f"{number}"))
        for number, one in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history(stores[0])) == 8
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "form", ["", "yaml", ".json", "../x", ".YAML", ".a.b.c", ".x\n"]
)
def test_a_source_has_a_plain_ending(store: GitBlueprintStore, form: str) -> None:
    kept = Content(document(), Source(form, "x"))
    with pytest.raises(InputRefused, match=r"source\.form"):
        store.commit("mail", kept, author=ADA, message="Begin")


def test_agents_with_odd_names_have_files_of_their_own(
    store: GitBlueprintStore, path: Path
) -> None:
    names = [
        "a/b",
        "A",
        "a",
        "../x",
        ".git",
        "-rf",
        "é w",
        "x" * 128,
        "\U0001f600" * 128,
    ]
    names += ["%2E", "a.", "a%", "Ａ"]
    kept = document()
    kept["agents"] = [{"name": name, "kind": "lua"} for name in names]
    # The compiler refuses these; the store keeps what it is given.
    kept["agents"] += [{"name": "a"}, {"name": 1}, "no agent", {"name": ""}]
    head = store.commit("mail", Content(kept), author=ADA, message="Begin").commit
    files = git(path, "ls-tree", "-r", "-z", "--name-only", head.id, "agents/")
    listed = files.removesuffix("\0").split("\0")
    assert len({one.casefold() for one in listed}) == len(listed) == len(names) + 1
    assert all(len(one.encode()) < 200 for one in listed)
    assert {"agents/é w.md", "agents/%2Egit.md", "agents/%2Drf.md"} <= set(listed)
    git(path, "fsck", "--strict")
    clone = path.parent / "clone"
    git(path.parent, "clone", "--quiet", str(path), str(clone))
    assert store.read("mail", head.id).document == kept


@pytest.mark.parametrize(
    "file", sorted(SAMPLES.rglob("*.md")), ids=lambda one: one.stem
)
def test_an_agents_file_gives_the_agent_again(file: Path) -> None:
    content = file.read_bytes()
    if not content.startswith(b"---\n"):
        return
    agent = read_agent_md(content, "agent_block")
    del agent["kind"]
    again = read_agent_md(agent_text(agent).encode(), "agent_block")
    del again["kind"]
    assert again == agent


def test_agents_that_did_not_change_keep_their_files(
    store: GitBlueprintStore, path: Path
) -> None:
    first, second = put(store, "A"), put(store, "B")
    changed = git(path, "diff", "--name-only", first, second).split()
    assert changed == ["agents/writer.md", "blueprint.json"]
