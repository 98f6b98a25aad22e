"""Tests of blueprints/index/reindex.py."""

import pytest
from kept_blueprints import ADA, document, register

from blueprints.index.reindex import GONE, blueprint_reindex
from blueprints.models import Blueprint, BlueprintEvent, BlueprintVersion
from blueprints.services.blueprints import (
    alias_set,
    blueprint_archive,
    blueprint_rollback,
)
from blueprints.services.runs import Launch, run_create
from engine.blueprint_store import Author, BlueprintUnknown, Content

pytestmark = pytest.mark.usefixtures("kept")


def rows() -> list[dict]:
    """Return all of the index but the keys that a database gives."""
    heads = Blueprint.objects.order_by("id").values("id", "head__commit", "aliases")
    standing = Blueprint.objects.order_by("id").values(
        "archived_at", "archived_by", "archived_why", "created_at", "changed_at"
    )
    versions = BlueprintVersion.objects.order_by("blueprint_id", "number").values()
    return [*heads, *standing, *({**row, "id": 0} for row in versions)]


def a_history() -> BlueprintVersion:
    first = register("A", label="1.0.0")
    register("B")
    row = blueprint_rollback("mail", first, actor=ADA, message="Back").version
    alias_set("mail", "prod", first, actor=ADA, message="Publish")
    register(id="post")
    blueprint_archive("post", actor=ADA, message="Old")
    return row


def test_an_index_in_step_has_no_differences():
    a_history()

    assert blueprint_reindex(by=ADA.author) == []


def test_a_lost_index_is_made_anew_as_it_was():
    a_history()
    before, events = rows(), BlueprintEvent.objects.count()
    Blueprint.objects.all().delete()

    found = [str(one) for one in blueprint_reindex(by=ADA.author)]

    assert found == ["mail: was not in the index", "post: was not in the index"]
    assert rows() == before
    assert blueprint_reindex(by=ADA.author) == []
    # All events have stayed, and those of this are beside them.
    told = BlueprintEvent.objects.filter(verb="reindexed").order_by("blueprint_id")
    assert [one.blueprint_id for one in told] == ["mail", "post"]
    assert told[0].data == {"count": 1, "differences": [found[0]]}
    assert BlueprintEvent.objects.count() == events + 2


def test_what_differs_is_reported_and_corrected():
    row = a_history()
    before = rows()
    Blueprint.objects.filter(pk="mail").update(aliases={})
    BlueprintVersion.objects.filter(pk=row.pk).update(message="x", verdict="BLOCK")

    found = [str(one) for one in blueprint_reindex("mail", by=ADA.author)]

    assert found == [
        "mail: aliases was different",
        f"mail {row.commit[:12]}: message, verdict was different",
    ]
    assert rows() == before


def test_what_was_written_past_the_index_is_found(kept):
    register("A")
    made = kept.commit(
        "mail", Content(document("B")), author=Author("X", "x@y"), message="Past it"
    )

    found = blueprint_reindex(by=ADA.author)

    assert found[0].text == "head was different"
    assert Blueprint.objects.get().head.commit == made.commit.id


def test_rows_of_what_the_store_has_not_are_removed_unless_runs_name_them(program):
    register("A")
    row = register("B")
    ghost = BlueprintVersion.objects.create(
        blueprint_id="mail", commit="0" * 40, number=9, at=row.at
    )
    Blueprint.objects.create(id="ghost", created_at=row.at, changed_at=row.at)
    used = BlueprintVersion.objects.create(
        blueprint_id="mail", commit="1" * 40, number=8, at=row.at
    )
    run = run_create(Launch(program, {}, version=used))

    found = {one.text.partition(";")[0] for one in blueprint_reindex(by=ADA.author)}

    assert found == {GONE, "the repository does not have it any more"}
    assert not BlueprintVersion.objects.filter(pk=ghost.pk).exists()
    assert not Blueprint.objects.filter(pk="ghost").exists()
    run.refresh_from_db()
    assert (run.version, run.version.fault) == (used, GONE)
    assert blueprint_reindex(by=ADA.author) == []


def test_a_blueprint_that_is_nowhere_is_unknown():
    with pytest.raises(BlueprintUnknown):
        blueprint_reindex("nobody", by=ADA.author)
