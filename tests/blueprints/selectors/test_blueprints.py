"""Tests of blueprints/selectors/blueprints.py."""

import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from kept_blueprints import ADA, document, register, with_error

from blueprints.index.reindex import blueprint_reindex
from blueprints.models import Blueprint, BlueprintIntent, BlueprintVersion
from blueprints.selectors.blueprints import (
    blueprint_get,
    blueprint_list,
    event_list,
    version_blame,
    version_content,
    version_list,
)
from blueprints.services.blueprints import (
    alias_set,
    blueprint_archive,
    blueprint_register,
)
from engine.blueprint_store import BlueprintUnknown, CommitUnreadable, Content


def put(document: dict, *, force: bool = False, **more) -> BlueprintVersion:
    given = {"actor": ADA, "message": "Change it", **more}
    return blueprint_register(
        document["id"], Content(document), force=force, **given
    ).version


def names(**filters) -> list[str]:
    return [row.pk for row in blueprint_list(**filters)]


@pytest.mark.usefixtures("kept")
def test_blueprints_are_found_by_all_filters_together():
    metadata = {"description": "Writes letters", "tags": ["post", "two words"]}
    put(document(id="mail", metadata=metadata), label="1.0.0")
    put(document(id="news", metadata={"tags": ["postal"]}))
    put({**with_error(), "id": "broken"}, force=True, message="In a hurry")
    put(document(id="old"))
    blueprint_archive("old", actor=ADA, message="Old")

    assert names() == ["broken", "mail", "news"]
    assert names(archived=True) == ["old"]
    assert names(archived=None) == ["broken", "mail", "news", "old"]
    assert names(label="1.0.0") == ["mail"]
    assert names(tag="post") == names(tag="two words") == ["mail"]
    assert names(tag="two") == []
    assert names(lint="BLOCK") == ["broken"]
    assert names(text="LETTERS writes") == names(text="two words") == ["mail"]
    assert names(text="hurry") == ["broken"]
    assert names(text="letters news") == []
    assert names(text="post", label="2.0.0") == []


@pytest.mark.usefixtures("kept")
def test_a_list_takes_as_many_queries_for_many_blueprints(django_assert_num_queries):
    for number in range(5):
        register(id=f"b{number}")

    with django_assert_num_queries(2):
        assert [row.head.label for row in blueprint_list()] == [""] * 5


@pytest.mark.usefixtures("kept")
def test_s10_an_archive_mark_is_no_version():
    register("A")
    register("B")
    blueprint_archive("mail", actor=ADA, message="Old")

    assert [row.number for row in version_list("mail")] == [2, 1]


@pytest.mark.usefixtures("kept_in_git")
def test_s11_archived_broken_and_unknown_are_three_answers(settings):
    with pytest.raises(BlueprintUnknown):
        blueprint_get("mail")
    first, second = register("A"), register("B")
    blob = git(settings, "rev-parse", f"{first.commit}:blueprint.json")
    Path(settings.SWARM_BLUEPRINTS, "objects", blob[:2], blob[2:]).unlink()

    assert [one.text.partition(" ")[0] for one in blueprint_reindex(by=ADA.author)] == [
        "fault"
    ]

    with pytest.raises(CommitUnreadable):
        version_content(first)
    first.refresh_from_db()
    with pytest.raises(CommitUnreadable):
        version_blame(first)
    assert set(version_blame(second).nodes.values()) == {second.commit}
    assert version_content(second).document == document("B")
    rows = list(version_list("mail"))
    assert [bool(row.fault) for row in rows] == [False, True]
    blueprint_archive("mail", actor=ADA, message="Old")
    assert blueprint_get("mail").is_archived


def git(settings, *words: str) -> str:
    command = ["git", "--git-dir", settings.SWARM_BLUEPRINTS, *words]
    return subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.usefixtures("kept")
def test_blame_counts_no_versions_unless_its_limit_is_reached(
    django_assert_num_queries,
):
    for text in "ABC":
        row = register(text)
    version = BlueprintVersion.objects.select_related("blueprint").get(pk=row.pk)

    for most, queries in ((None, 1), (4, 1), (3, 2), (2, 2)):
        with django_assert_num_queries(queries):
            found = version_blame(version, most)
        assert (None in found.agents.values()) == (most == 2)


@pytest.mark.usefixtures("kept_in_git")
def test_s4_a_message_can_not_forge_a_version(settings):
    forged = "Fine\n\nLabel: 9.9.9\nVersion: sha256:" + "0" * 64
    row = register("A", message=forged)

    assert (row.label, row.message) == ("", forged)
    assert row.version == BlueprintVersion.objects.get().version != "sha256:" + "0" * 64
    assert blueprint_reindex(by=ADA.author) == []


@pytest.mark.usefixtures("kept")
def test_s5_a_version_is_read_by_its_hash_in_one_query(django_assert_num_queries):
    version = register("A", message=f"not sha256:{'0' * 64}").version

    with django_assert_num_queries(1):
        assert (
            BlueprintVersion.objects.get(blueprint="mail", version=version).number == 1
        )


@pytest.mark.usefixtures("kept")
def test_events_are_listed_newest_first():
    alias_set("mail", "prod", register(), actor=ADA, message="Publish")

    assert [one.verb for one in event_list("mail")] == ["alias-set", "registered"]
    with pytest.raises(BlueprintUnknown):
        event_list("nobody")


@pytest.mark.usefixtures("kept")
def test_a_reader_settles_what_a_process_left(monkeypatch):
    def die(*_) -> None:
        raise KeyboardInterrupt

    for text, id in (("A", "mail"), ("A", "news")):
        register(text, id=id)
        monkeypatch.setattr("blueprints.index.intents.catch_up", die)
        with pytest.raises(KeyboardInterrupt):
            register("B", id=id)
        monkeypatch.undo()

    assert blueprint_get("mail").head.number == 2
    # A list leaves alone what may be under way.
    assert [row.head.number for row in blueprint_list()] == [2, 1]
    long_ago = timezone.now() - timedelta(minutes=1)
    BlueprintIntent.objects.update(at=long_ago)
    assert [row.head.number for row in blueprint_list()] == [2, 2]
    assert Blueprint.objects.count() == 2


@pytest.mark.usefixtures("kept")
def test_a_reader_does_not_wait_for_a_change_under_way(kept):
    register("A")
    read, done = threading.Event(), threading.Event()

    def change() -> None:
        with kept.hold("mail"):
            read.set()
            done.wait(10)

    writer = threading.Thread(target=change)
    writer.start()
    read.wait(10)
    BlueprintIntent.objects.create(blueprint_id="mail", before=None, event={})
    try:
        assert blueprint_get("mail").head.number == 1
        assert BlueprintIntent.objects.exists()
    finally:
        done.set()
        writer.join()
