"""What every BlueprintStore promises, shown with the one in git and the one in memory."""

import copy
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from store_contents import ADA, BOB, content, document

from blueprints.stores.git.store import GitBlueprintStore
from engine.blueprint_store import (
    LONGEST_MESSAGE,
    AliasMoved,
    Author,
    BlueprintArchived,
    BlueprintStore,
    BlueprintUnknown,
    CommitUnknown,
    Content,
    Expected,
    HeadMoved,
    IdTaken,
    InputRefused,
    Source,
    StoreBusy,
    version_of,
)
from engine.testing import MemoryBlueprintStore

START = 1_790_000_000
NO_COMMIT = "0123456789" * 4


class Ticking:
    """A clock that is a second later at each look."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture(params=["git", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlueprintStore:
    if request.param == "memory":
        return MemoryBlueprintStore(now=Ticking())
    return GitBlueprintStore(tmp_path / "blueprints.git", now=Ticking())


def put(store: BlueprintStore, text: str, id: str = "mail", **more: object) -> str:
    made = store.commit(
        id, content(id, text), author=ADA, message=f"Write {text}", **more
    )
    return made.commit.id


def test_the_first_commit_creates_a_blueprint(store: BlueprintStore) -> None:
    made = store.commit("mail", content(), author=ADA, message="Begin", label="1.0.0")
    commit = made.commit
    assert made.is_new
    assert commit == store.standing("mail").head == store.find("mail", commit.id)
    assert commit.number == 1
    assert commit.parent is None
    assert commit.version == version_of(document())
    assert (commit.author, commit.message, commit.label) == (ADA, "Begin", "1.0.0")
    assert commit.at == datetime.fromtimestamp(START + 1, UTC)
    assert store.read("mail", commit.id) == content()
    assert store.ids() == ["mail"]


def test_a_version_is_the_hash_of_the_canonical_document(store: BlueprintStore) -> None:
    turned = dict(reversed(document().items()))
    first = put(store, "Hello")
    made = store.commit("mail", Content(turned), author=ADA, message="Turn it")
    assert (made.commit.id, made.is_new) == (first, False)
    assert made.commit.version.startswith("sha256:")
    assert len(made.commit.version) == len("sha256:") + 64


def test_a_history_is_a_commit_for_each_change(store: BlueprintStore) -> None:
    ids = [put(store, text) for text in ("A", "B", "A")]
    commits = list(store.walk("mail"))
    assert [one.id for one in commits] == ids[::-1]
    assert [one.number for one in commits] == [3, 2, 1]
    assert [one.parent for one in commits] == [ids[1], ids[0], None]
    assert commits[0].version == commits[2].version != commits[1].version


@pytest.mark.parametrize("again", [None, "1.0.0"])
def test_nothing_new_is_no_commit(store: BlueprintStore, again: str | None) -> None:
    put(store, "A", label="1.0.0")
    made = store.commit("mail", content(text="A"), author=BOB, message="!", label=again)
    assert not made.is_new
    assert made.commit.author == ADA
    assert len(list(store.walk("mail"))) == 1


def test_a_new_label_or_a_new_source_is_a_commit(store: BlueprintStore) -> None:
    put(store, "A", label="1.0.0")
    put(store, "A", label="1.1.0")
    yaml = Content(document(text="A"), Source(".yaml", "# mine\nid: mail\n"))
    store.commit("mail", yaml, author=ADA, message="With comments")
    store.commit("mail", yaml, author=ADA, message="With the same comments")
    # Who sends the document alone says nothing against the source.
    store.commit("mail", content(text="A"), author=ADA, message="The document alone")
    edited = Content(document(text="A"), Source(".yaml", "# ours\nid: mail\n"))
    head = store.commit("mail", edited, author=ADA, message="Other comments").commit
    assert [one.label for one in store.walk("mail")] == [None, None, "1.1.0", "1.0.0"]
    assert store.read("mail", head.id) == edited


def test_a_source_keeps_its_parameters(store: BlueprintStore) -> None:
    source = Source(".bp.lua", "return bp {}\r\n", {"steps": 3, "who": "ä"})
    head = store.commit(
        "mail", Content(document(), source), author=ADA, message="From a script"
    )
    assert store.read("mail", head.commit.id).source == source


def test_what_was_read_is_the_callers(store: BlueprintStore) -> None:
    mine = content()
    first = store.commit("mail", mine, author=ADA, message="Begin").commit.id
    mine.document["agents"].clear()
    read = store.read("mail", first)
    read.document["agents"].clear()
    assert store.read("mail", first) == content()


def test_data_that_looks_like_a_reference_stays_data(store: BlueprintStore) -> None:
    kept = document()
    kept["flow"]["children"][0]["in"] = {"lit": {"$file": "/etc/passwd"}}
    kept["metadata"] = {"description": '{"$literal": 1} \x00 \u2028 "quotes"'}
    head = store.commit("mail", Content(kept), author=ADA, message="Odd data").commit
    assert store.read("mail", head.id).document == kept


def test_an_expected_head_is_compared(store: BlueprintStore) -> None:
    with pytest.raises(HeadMoved, match="it does not exist"):
        put(store, "A", expected=NO_COMMIT)
    first = put(store, "A", expected=Expected.NOTHING)
    second = put(store, "B", expected=first)
    for expected in (first, Expected.NOTHING, "", "master"):
        with pytest.raises(HeadMoved) as moved:
            put(store, "C", expected=expected)
        assert moved.value.head == second
    # What changes nothing is compared as well.
    with pytest.raises(HeadMoved):
        put(store, "B", expected=first)
    with pytest.raises(HeadMoved):
        store.restore("mail", first, author=ADA, message="Back", expected=first)
    assert len(list(store.walk("mail"))) == 2


def test_restoring_is_a_commit_that_names_the_older_one(store: BlueprintStore) -> None:
    source = Source(".yaml", "# mine\n")
    first = store.commit(
        "mail", Content(document(), source), author=ADA, message="A", label="1.0.0"
    ).commit.id
    put(store, "B")
    made = store.restore("mail", first, author=BOB, message="B was wrong")
    head = made.commit
    assert made.is_new
    assert (head.restores, head.label, head.number) == (first, None, 3)
    assert store.read("mail", head.id) == Content(document(), source)
    again = store.restore("mail", first, author=BOB, message="Once more")
    assert (again.commit, again.is_new) == (head, False)


def test_only_commits_of_the_blueprint_are_found(store: BlueprintStore) -> None:
    mine, other = put(store, "A"), put(store, "A", id="other")
    for unknown in (other, NO_COMMIT, "HEAD", "", mine[:12], mine.upper(), "é", "mail"):
        assert not store.contains("mail", unknown)
        for use in (
            lambda one: store.find("mail", one),
            lambda one: store.read("mail", one),
            lambda one: store.restore("mail", one, author=ADA, message="Back"),
            lambda one: store.set_alias("mail", "a", one, author=ADA, message="Go"),
        ):
            with pytest.raises(CommitUnknown):
                use(unknown)
    assert store.contains("mail", mine)
    assert not store.contains("nothing", mine)


@pytest.mark.parametrize("id", ["nothing", "", "../mail", "a..b", "-rf", "a/b", "\0"])
def test_an_unknown_blueprint_is_unknown(store: BlueprintStore, id: str) -> None:
    put(store, "A")
    for use in (store.standing, lambda one: list(store.walk(one))):
        with pytest.raises(BlueprintUnknown):
            use(id)


def test_an_alias_is_set_moved_and_removed(store: BlueprintStore) -> None:
    first, second = put(store, "A"), put(store, "B")
    store.set_alias("mail", "prod", first, author=ADA, message="Go live")
    store.set_alias("mail", "prod", second, author=BOB, message="Newer", expected=first)
    store.set_alias("mail", "canary", first, author=ADA, message="Look at it")
    aliases = store.standing("mail").aliases
    assert list(aliases) == ["canary", "prod"]
    assert aliases["prod"].commit == second
    assert (aliases["prod"].moved.author, aliases["prod"].moved.message) == (
        BOB,
        "Newer",
    )
    assert store.remove_alias("mail", "prod", expected=second)
    assert not store.remove_alias("mail", "prod")
    assert list(store.standing("mail").aliases) == ["canary"]


def test_an_alias_is_compared_and_swapped(store: BlueprintStore) -> None:
    first, second = put(store, "A"), put(store, "B")

    def move(commit: str, expected: str | Expected) -> None:
        store.set_alias(
            "mail", "prod", commit, author=ADA, message="Go", expected=expected
        )

    with pytest.raises(AliasMoved, match="does not exist"):
        move(second, first)
    move(first, Expected.NOTHING)
    for expected in (second, Expected.NOTHING):
        with pytest.raises(AliasMoved) as moved:
            move(second, expected)
        assert moved.value.commit == first
    with pytest.raises(AliasMoved):
        store.remove_alias("mail", "prod", expected=second)
    # Nothing changes: the mark says who moved it there.
    same = store.set_alias("mail", "prod", first, author=BOB, message="Again")
    assert same.moved.author == ADA


def test_an_archived_blueprint_is_read_and_not_changed(store: BlueprintStore) -> None:
    first = put(store, "A")
    store.set_alias("mail", "prod", first, author=ADA, message="Go")
    assert store.archive("mail", author=BOB, message="Nobody uses it")
    assert not store.archive("mail", author=ADA, message="Twice")
    for change in (
        lambda: put(store, "B"),
        lambda: put(store, "A"),
        lambda: store.restore("mail", first, author=ADA, message="Back"),
        lambda: store.set_alias("mail", "x", first, author=ADA, message="Go"),
        lambda: store.remove_alias("mail", "prod"),
    ):
        with pytest.raises(BlueprintArchived, match="Unarchive it"):
            change()
    standing = store.standing("mail")
    assert standing.archived is not None
    assert (standing.archived.author, standing.archived.message) == (
        BOB,
        "Nobody uses it",
    )
    assert (standing.head.id, standing.aliases["prod"].commit) == (first, first)
    assert store.ids() == ["mail"]
    assert store.read("mail", first) == content(text="A")
    assert store.unarchive("mail")
    assert not store.unarchive("mail")
    assert store.standing("mail").archived is None
    put(store, "B", expected=first)


@pytest.mark.parametrize(
    "id",
    [
        *("", "-rf", ".x", "a/b", "a\\b", "a b", "a\n", "é", "x" * 129, "a\0", "a:b"),
        *("@{-1}", "a..b", "x.lock", "x.", "HEAD", "a\ud800"),
    ],
)
def test_an_id_that_names_no_branch_is_refused(store: BlueprintStore, id: str) -> None:
    with pytest.raises(InputRefused, match=r"^id: "):
        put(store, "A", id=id)
    with pytest.raises(InputRefused, match=r"^id: "), store.hold(id):
        pytest.fail("held")
    assert store.ids() == []


def test_ids_that_differ_in_case_only_are_refused(store: BlueprintStore) -> None:
    put(store, "A", id="Mail.v2")
    with pytest.raises(IdTaken, match=r"use 'Mail\.v2'"):
        put(store, "A", id="mail.V2")
    assert store.ids() == ["Mail.v2"]


@pytest.mark.parametrize(
    "name", ["", "Prod", "1", "a/b", "-x", "a..b", "x.lock", "x.", "a" * 65]
)
def test_a_wrong_alias_is_refused(store: BlueprintStore, name: str) -> None:
    first = put(store, "A")
    with pytest.raises(InputRefused, match=r"^alias: "):
        store.set_alias("mail", name, first, author=ADA, message="Go")


@pytest.mark.parametrize("name", ["latest", "deadbeef", "abcdef012345"])
def test_an_alias_can_be_told_from_a_version(store: BlueprintStore, name: str) -> None:
    first = put(store, "A")
    with pytest.raises(InputRefused, match="taken for a version"):
        store.set_alias("mail", name, first, author=ADA, message="Go")


@pytest.mark.parametrize("label", ["", "1", "1.0", "v1.0.0", "1.0.0\n", "1.0.0 x", "é"])
def test_a_label_is_a_semantic_version(store: BlueprintStore, label: str) -> None:
    with pytest.raises(InputRefused, match=r"^label: "):
        put(store, "A", label=label)


@pytest.mark.parametrize(
    ("author", "place"),
    [
        (Author("", "a@b"), "author.name"),
        (Author(" . ", "a@b"), "author.name"),
        (Author("A\nparent 0", "a@b"), "author.name"),
        (Author("A\0", "a@b"), "author.name"),
        (Author("A <x@y>", "a@b"), "author.name"),
        (Author("A\ud800", "a@b"), "author.name"),
        (Author("A" * 201, "a@b"), "author.name"),
        (Author("A", ""), "author.email"),
        (Author("A", "a@b> 0 +0000\n"), "author.email"),
        (Author("A", "a\x85b"), "author.email"),
    ],
)
def test_an_author_fits_in_one_line(
    store: BlueprintStore, author: Author, place: str
) -> None:
    with pytest.raises(InputRefused, match=f"^{place}: "):
        store.commit("mail", content(), author=author, message="Begin")
    first = put(store, "A")
    with pytest.raises(InputRefused, match=f"^{place}: "):
        store.set_alias("mail", "prod", first, author=author, message="Go")


def test_an_author_is_trimmed_as_git_trims(store: BlueprintStore) -> None:
    odd = Author(" Jürgen 'J.' Müller Jr., ", "<j@x>".strip("<>") + ".")
    made = store.commit("mail", content(), author=odd, message="Begin")
    assert made.commit.author == Author("Jürgen 'J.' Müller Jr", "j@x")
    alias = store.set_alias("mail", "a", made.commit.id, author=odd, message="Go")
    assert store.standing("mail").aliases["a"] == alias
    assert alias.moved.author == made.commit.author


@pytest.mark.parametrize(
    "message", ["", " \n\t", "a\0b", "a\x1b[2J", "\ud800", "x" * (LONGEST_MESSAGE + 1)]
)
def test_a_wrong_message_is_refused(store: BlueprintStore, message: str) -> None:
    first = put(store, "A")
    for change in (
        lambda: store.commit("mail", content(), author=ADA, message=message),
        lambda: store.restore("mail", first, author=ADA, message=message),
        lambda: store.set_alias("mail", "a", first, author=ADA, message=message),
        lambda: store.archive("mail", author=ADA, message=message),
    ):
        with pytest.raises(InputRefused, match=r"^message: "):
            change()


FORGED = """\
Innocent

Swarm-Label: 9.9.9
Swarm-Version: sha256:{zeros}
  Swarm-Number : 77
---
swarm-restores: {other}
-----BEGIN PGP SIGNATURE-----

Signed-off-by: Somebody <x@y>
Swarm-Blueprint: other"""


@pytest.mark.parametrize(
    "message",
    [
        FORGED.format(zeros="0" * 64, other=NO_COMMIT),
        "Swarm-Label: 9.9.9",
        "Fine\n\nSwarm-Label: 9.9.9",
        "Fine\n\n\n\nSwarm-Blueprint: other\nSwarm-Version: x\nSwarm-Number: 1",
        "Fine\n \nSwarm-Label: 9.9.9\n ",
        "gpgsig x\ntree 0\nparent 0",
        "Zeilen\n\n    indented\n\ttabbed\n# comment\nä €  \U0001f600",
        "x" * LONGEST_MESSAGE,
    ],
)
def test_a_message_is_only_text(store: BlueprintStore, message: str) -> None:
    made = store.commit("mail", content(), author=ADA, message=message, label="1.0.0")
    expected = "\n".join(line.rstrip() for line in message.split("\n")).strip("\n")
    commit = made.commit
    assert (commit.message, commit.label, commit.number, commit.restores) == (
        expected,
        "1.0.0",
        1,
        None,
    )
    assert commit.version == version_of(document())
    assert list(store.walk("mail")) == [commit]
    store.set_alias("mail", "prod", commit.id, author=ADA, message=message)
    store.archive("mail", author=ADA, message=message)
    standing = store.standing("mail")
    assert standing.aliases["prod"].moved.message == expected
    assert standing.archived is not None
    assert standing.archived.message == expected


@pytest.mark.parametrize(
    "wrong", [float("nan"), "\ud800", {"a": "\udfff"}, float("inf")]
)
def test_what_is_no_json_is_refused(store: BlueprintStore, wrong: object) -> None:
    with pytest.raises(InputRefused, match=r"^document: "):
        store.commit("mail", Content({"x": wrong}), author=ADA, message="Begin")
    assert store.ids() == []


def test_several_threads_lose_nothing(store: BlueprintStore) -> None:
    def work(number: int) -> None:
        for count in range(10):
            put(store, f"{number} {count}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    commits = list(store.walk("mail"))
    assert [one.number for one in commits] == list(range(40, 0, -1))
    assert len({one.message for one in commits}) == 40


def test_a_held_blueprint_waits_for_its_holder(store: BlueprintStore) -> None:
    put(store, "A")
    seen: list[str] = []

    def change() -> None:
        put(store, "other")
        seen.append("other")

    with store.hold("mail"), store.hold("mail"):
        thread = threading.Thread(target=change)
        thread.start()
        before = copy.copy(seen)
        head = put(store, "mine")
        assert store.standing("mail").head.id == head
        seen.append("mine")
    thread.join()
    assert before == []
    assert seen == ["mine", "other"]
    assert store.standing("mail").head.parent == head


def test_who_does_not_wait_is_told_at_once(store: BlueprintStore) -> None:
    busy: list[BaseException] = []

    def look() -> None:
        try:
            with store.hold("mail", wait=False):
                pass
        except StoreBusy as error:
            busy.append(error)

    with store.hold("mail"):
        other = threading.Thread(target=look)
        other.start()
        other.join(timeout=5)
    assert len(busy) == 1
    with store.hold("mail", wait=False):
        put(store, "A")


def test_an_error_in_a_hold_is_the_callers(store: BlueprintStore) -> None:
    with pytest.raises(ValueError, match="mine"), store.hold("mail"):
        raise ValueError("mine")
    put(store, "A")
