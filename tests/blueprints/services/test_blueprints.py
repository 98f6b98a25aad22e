"""Tests of blueprints/services/blueprints.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kept_blueprints import ADA, BOB, document, register, with_error

from blueprints.index.examination import HasErrors, NoBlueprint
from blueprints.index.intents import settle
from blueprints.loaders.documents import DocumentInvalid
from blueprints.models import (
    Blueprint,
    BlueprintEvent,
    BlueprintIntent,
    BlueprintVersion,
)
from blueprints.services.blueprints import (
    alias_remove,
    alias_set,
    blueprint_archive,
    blueprint_register,
    blueprint_rollback,
    blueprint_unarchive,
)
from engine.blueprint_store import (
    AliasMoved,
    BlueprintArchived,
    BlueprintUnknown,
    Content,
    Expected,
    HeadMoved,
    IdTaken,
    InputRefused,
    Source,
    version_of,
)

pytestmark = pytest.mark.usefixtures("kept")


def put(document: Any, **more: Any) -> Any:
    given = {"actor": ADA, "message": "Change it", **more}
    return blueprint_register("mail", Content(document), **given)


def verbs() -> list[str]:
    rows = BlueprintEvent.objects.order_by("id")
    return list(rows.values_list("verb", flat=True))


def test_a_registration_is_a_commit_with_a_row_and_an_event(kept):
    metadata = {"description": "Writes", "tags": ["a b", "post"]}
    given = document(metadata=metadata)

    made = put(given, label="1.0.0")

    row = BlueprintVersion.objects.get()
    assert made.is_new
    assert made.version == row
    assert (row.blueprint_id, row.number, row.label) == ("mail", 1, "1.0.0")
    assert row.version == version_of(given)
    assert kept.read("mail", row.commit).document == given
    assert (row.author_name, row.message) == ("Ada Lovelace", "Change it")
    assert (row.agents, row.nodes, row.description) == (1, 1, "Writes")
    assert row.tag_list == ["a b", "post"]
    assert Blueprint.objects.get().head == row
    event = BlueprintEvent.objects.get()
    assert (event.verb, event.actor_email) == ("registered", "ada@example.org")
    assert (event.old_commit, event.new_commit) == ("", row.commit)
    assert (event.old_version, event.new_version) == ("", row.version)
    assert (event.reason, event.data) == ("Change it", {"label": "1.0.0"})
    assert not BlueprintIntent.objects.exists()


def test_the_same_document_and_label_again_write_nothing():
    first = put(document(), label="1.0.0")
    again = put(document(), label="1.0.0")
    without = put(document())
    relabelled = put(document(), label="1.1.0")

    assert (again.is_new, without.is_new, relabelled.is_new) == (False, False, True)
    assert first.version == again.version == without.version
    assert relabelled.version.version == first.version.version
    assert verbs() == ["registered"] * 2


def test_a_then_b_then_a_are_three_commits_of_two_versions():
    rows = [register(text) for text in "ABA"]

    assert [row.number for row in rows] == [1, 2, 3]
    assert rows[0].version == rows[2].version != rows[1].version
    assert Blueprint.objects.get().head == rows[2]


def test_the_label_of_a_new_document_is_that_of_its_metadata():
    labelled = document(metadata={"version_label": "2.0.0"})

    assert put(labelled, label="3.0.0").version.label == "3.0.0"
    assert not put(labelled).is_new
    changed = document("Other", metadata={"version_label": "2.0.0"})
    assert put(changed).version.label == "2.0.0"


def test_s13_a_label_is_checked_when_it_is_written(kept):
    with pytest.raises(InputRefused, match="no semantic version"):
        put(document(), label="one")
    with pytest.raises(NoBlueprint, match="version_label"):
        put(document(metadata={"version_label": "one"}), force=True)

    assert kept.ids() == []


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        {"id": "mail"},
        {**document(), "schema_version": "9.0.0"},
        {**document(), "flows": []},
        {**document(), "default_init_ctx": {"a": object()}},
    ],
)
def test_what_is_no_blueprint_is_never_stored(kept, wrong):
    with pytest.raises(NoBlueprint):
        put(wrong, force=True)

    assert kept.ids() == []
    assert not BlueprintEvent.objects.exists()


def test_b3_errors_of_compiler_and_lints_are_refused_with_all_findings(kept):
    broken, step = with_error(), with_error()["flow"]
    broken["flow"] = {"kind": "seq", "children": [step, {**step, "ref": "nothing"}]}

    with pytest.raises(HasErrors) as refused:
        put(broken)

    assert [(one.place, one.kind) for one in refused.value.diagnostics] == [
        ("$.flow.children[0].ref", "unresolved-agent-ref"),
        ("$.flow.children[1].ref", "unresolved-agent-ref"),
        ("$.flow.children[1]", "step-naming-collision"),
    ]
    assert kept.ids() == []


def test_force_stores_errors_and_marks_them():
    made = put(with_error(), force=True)

    row = BlueprintVersion.objects.get()
    assert made.version.forced
    assert row.verdict == "BLOCK"
    assert "unresolved-agent-ref" in {one["kind"] for one in row.findings}
    assert BlueprintEvent.objects.get().data == {"forced": True}
    assert not put(document(), force=True).version.forced


def test_the_document_belongs_to_the_id_it_is_registered_under(kept):
    with pytest.raises(InputRefused, match="of Blueprint 'mail', not of 'post'"):
        blueprint_register("post", Content(document()), actor=ADA, message="x")

    assert kept.ids() == []


def test_an_id_that_differs_in_case_only_is_refused():
    register()
    with pytest.raises(IdTaken):
        register(id="Mail")

    assert Blueprint.objects.count() == 1
    assert not BlueprintIntent.objects.exists()


@pytest.mark.parametrize("id", ["a..b", "x.lock", "x.", "-rf", "a/b", "../x"])
def test_an_id_that_is_no_name_of_a_branch_is_refused(id):
    with pytest.raises((InputRefused, NoBlueprint)):
        register(id=id)

    assert not Blueprint.objects.exists()


def test_s8_a_head_that_moved_meanwhile_is_left_alone():
    first = register("A")
    second = register("B", expected=first.commit)

    with pytest.raises(HeadMoved) as refused:
        register("C", expected=first.commit)
    with pytest.raises(HeadMoved):
        register("C", expected=Expected.NOTHING)

    assert refused.value.head == second.commit
    assert Blueprint.objects.get().head == second
    assert verbs() == ["registered"] * 2
    assert not BlueprintIntent.objects.exists()


def test_a_source_has_to_build_to_exactly_the_document():
    text = "# The writer.\nid: mail\nflow: {kind: seq, children: []}\n"
    given = {"id": "mail", "flow": {"kind": "seq", "children": []}}
    source = Source(".yaml", text)

    row = blueprint_register(
        "mail", Content(given, source), actor=ADA, message="x"
    ).version
    assert row.form == ".yaml"
    for bad in (Content(document(), source), Content(given, Source(".yaml", "a: 1"))):
        with pytest.raises(InputRefused, match="another document"):
            blueprint_register("mail", bad, actor=ADA, message="x")
    named = Source(".yaml", "id: mail\nflow: {$file: flow.json}\n")
    with pytest.raises(DocumentInvalid, match="blueprint build"):
        blueprint_register("mail", Content(given, named), actor=ADA, message="x")
    script = Source(".py", "import os")
    with pytest.raises(DocumentInvalid, match="a source is one of"):
        blueprint_register("mail", Content(given, script), actor=ADA, message="x")


def test_a_rollback_is_a_new_commit_of_the_older_content(kept):
    first, second = register("A", label="1.0.0"), register("B")

    done = blueprint_rollback(
        "mail", first, actor=BOB, message="B is wrong", expected=second.commit
    )

    row = done.version
    assert (row.number, row.version, row.label) == (3, first.version, "")
    assert row.restores == first.commit
    assert kept.read("mail", row.commit).document == document("A")
    event = BlueprintEvent.objects.first()
    assert (event.verb, event.actor_name, event.key) == ("rolled-back", "Bob", "sk_bob")
    assert (event.old_version, event.new_version) == (second.version, first.version)
    assert not blueprint_rollback("mail", row, actor=BOB, message="x").is_new
    with pytest.raises(HeadMoved):
        blueprint_rollback(
            "mail", second, actor=BOB, message="x", expected=first.commit
        )


def test_a_rollback_to_errors_needs_force():
    first = put(with_error(), force=True).version
    register("B")

    with pytest.raises(HasErrors):
        blueprint_rollback("mail", first, actor=ADA, message="x")

    assert blueprint_rollback(
        "mail", first, actor=ADA, message="x", force=True
    ).version.forced


def test_an_archived_blueprint_stays_and_is_not_changed():
    row = register()

    archived = blueprint_archive("mail", actor=BOB, message="Nobody writes")

    assert archived.is_archived
    assert (archived.archived_by, archived.archived_why) == ("Bob", "Nobody writes")
    for change in (
        lambda: register("B"),
        lambda: blueprint_rollback("mail", row, actor=ADA, message="x"),
        lambda: alias_set("mail", "prod", row, actor=ADA, message="x"),
    ):
        with pytest.raises(BlueprintArchived):
            change()
    blueprint_archive("mail", actor=ADA, message="Again")
    assert verbs() == ["registered", "archived"]
    assert not blueprint_unarchive("mail", actor=ADA, message="Back").is_archived
    assert register("B").number == 2
    assert verbs() == ["registered", "archived", "unarchived", "registered"]


def test_an_alias_names_a_version_and_can_be_moved_and_removed():
    first, second = register("A"), register("B")

    alias_set("mail", "prod", first, actor=ADA, message="Publish")
    moved = alias_set(
        "mail", "prod", second, actor=BOB, message="Next", expected=first.commit
    )

    assert moved.aliases["prod"]["commit"] == second.commit
    assert moved.aliases["prod"]["version"] == second.version
    assert (moved.aliases["prod"]["by"], moved.head) == ("Bob", second)
    event = BlueprintEvent.objects.first()
    assert (event.verb, event.data) == ("alias-set", {"alias": "prod"})
    assert (event.old_commit, event.new_commit) == (first.commit, second.commit)
    with pytest.raises(AliasMoved):
        alias_set("mail", "prod", first, actor=ADA, message="x", expected=first.commit)
    assert alias_remove("mail", "prod", actor=ADA, message="Stop")
    assert not alias_remove("mail", "prod", actor=ADA, message="Stop")
    assert Blueprint.objects.get().aliases == {}
    assert verbs()[2:] == ["alias-set", "alias-set", "alias-removed"]
    with pytest.raises(InputRefused):
        alias_set("mail", "latest", first, actor=ADA, message="x")


@pytest.mark.parametrize("change", ["alias", "archive", "unarchive"])
def test_who_makes_a_change_is_answered_what_it_made(kept, monkeypatch, change):
    row, hold, depth = register(), kept.hold, 0
    calls: dict[str, Any] = {
        "alias": lambda **by: alias_set("mail", "prod", row, **by),
        "archive": lambda **by: blueprint_archive("mail", **by),
        "unarchive": lambda **by: blueprint_unarchive("mail", **by),
    }
    undone = {
        "alias": lambda **by: alias_remove("mail", "prod", **by),
        "archive": calls["unarchive"],
        "unarchive": calls["archive"],
    }
    if change == "unarchive":
        blueprint_archive("mail", actor=ADA, message="Old")

    @contextmanager
    def followed(id: str, **more: Any) -> Iterator[None]:
        # Another one makes the next change as soon as this one is made.
        nonlocal depth
        depth += 1
        with hold(id, **more):
            yield
        depth -= 1
        if not depth:
            monkeypatch.undo()
            undone[change](actor=BOB, message="The next")

    monkeypatch.setattr(kept, "hold", followed)
    made = calls[change](actor=ADA, message="x")

    assert (list(made.aliases), made.is_archived) == {
        "alias": (["prod"], False),
        "archive": ([], True),
        "unarchive": ([], False),
    }[change]
    assert made.head == row
    assert BlueprintEvent.objects.first().reason == "The next"


def test_a_database_without_the_rows_gets_them_from_what_changes_nothing():
    register("A")
    for change in (
        lambda: register("A").blueprint,
        lambda: blueprint_unarchive("mail", actor=ADA, message="x"),
    ):
        Blueprint.objects.all().delete()
        assert change().head.number == 1
        assert Blueprint.objects.get().head.message == "Say A"

    blueprint_archive("mail", actor=ADA, message="Old")
    Blueprint.objects.all().delete()
    assert blueprint_archive("mail", actor=ADA, message="Again").archived_why == "Old"
    assert verbs() == ["registered", "archived"]


def test_what_does_not_exist_can_not_be_changed():
    for change in (blueprint_archive, blueprint_unarchive):
        with pytest.raises(BlueprintUnknown):
            change("mail", actor=ADA, message="x")

    assert not BlueprintIntent.objects.exists()
    assert not Blueprint.objects.exists()


def test_a_message_and_an_author_are_needed(kept):
    with pytest.raises(InputRefused, match="message"):
        put(document(), message=" \n")
    with pytest.raises(InputRefused, match=r"author\.name"):
        put(document(), actor=type(ADA)("", "x@example.org"))

    assert kept.ids() == []


def test_a_change_that_a_process_left_is_settled(kept, monkeypatch):
    register("A")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("blueprints.index.intents.catch_up", die)
    with pytest.raises(KeyboardInterrupt):
        register("B")
    monkeypatch.undo()
    assert (Blueprint.objects.get().head.number, len(verbs())) == (1, 1)

    settle("mail")

    assert Blueprint.objects.get().head.number == 2
    assert kept.standing("mail").head.id == Blueprint.objects.get().head.commit
    assert BlueprintEvent.objects.first().reason == "Say B"
    assert not BlueprintIntent.objects.exists()


def test_a_change_that_was_never_made_is_forgotten(kept, monkeypatch):
    register("A")

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kept, "commit", die)
    with pytest.raises(KeyboardInterrupt):
        register("B")
    monkeypatch.undo()
    assert BlueprintIntent.objects.exists()

    assert register("C").number == 2
    assert verbs() == ["registered"] * 2
    assert not BlueprintIntent.objects.exists()
