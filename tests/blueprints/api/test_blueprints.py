"""Routes of Blueprints: register, head, list, roll back, archive."""

import json
from typing import Any

import pytest
from api_documents import a_document, a_script, with_errors
from api_requests import as_member, with_key

from blueprints.loaders.files import MAX_BYTES
from blueprints.models import BlueprintEvent, BlueprintVersion
from engine.blueprint_store import version_of

DEMO = "/v1/blueprints/demo"


@pytest.fixture
def ask() -> Any:
    return with_key()


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_new_document_is_201_and_the_same_again_200(ask):
    document = a_document()
    first = ask("POST", f"{DEMO}?message=First", document)
    assert first.status_code == 201
    found = first.json()
    assert found["version"] == version_of(document)
    assert (found["seeded"], found["number"], found["forced"]) == (True, 1, False)
    assert first["ETag"] == f'"{found["commit"]}"'

    again = ask("POST", DEMO, document)
    assert (again.status_code, again.json()["seeded"]) == (200, False)
    assert again.json()["commit"] == found["commit"]
    head = ask("GET", f"{DEMO}/head")
    assert head["ETag"] == first["ETag"]
    assert head.json()["blueprint"] == document
    assert head.json()["version"] == found["version"]


def test_who_did_what_and_why_is_kept(ask):
    user = as_member("author")
    user("POST", f"{DEMO}?message=Because", a_document())
    event = BlueprintEvent.objects.get()
    assert (event.verb, event.actor_name) == ("registered", "in-author")
    assert (event.reason, event.user.username, event.key) == (
        "Because",
        "in-author",
        "",
    )
    ask("DELETE", f"{DEMO}?message=Old")
    event = BlueprintEvent.objects.first()
    assert (event.verb, event.reason) == ("archived", "Old")
    assert event.key.startswith("swk_")
    assert BlueprintVersion.objects.get().author_email == "in-author@localhost"


def test_a_head_that_moved_is_409_with_the_head_and_nothing_is_stored(ask):
    first = ask("POST", DEMO, a_document()).json()["commit"]
    second = ask(
        "POST", DEMO, a_document(steps=2), headers={"If-Match": f'"{first}"'}
    ).json()["commit"]
    late = ask("POST", DEMO, a_document(steps=3), headers={"If-Match": f'"{first}"'})
    assert code(late) == (409, "head-moved")
    assert late.json()["details"] == {"head": second}
    assert ask("GET", f"{DEMO}/head").json()["commit"] == second
    assert BlueprintVersion.objects.count() == 2


def test_what_a_caller_expects_of_the_head_can_be_said_in_three_ways(ask):
    new = {"If-None-Match": "*"}
    any_head = {"If-Match": "*"}
    missing = ask("POST", DEMO, a_document(), headers=any_head)
    assert code(missing) == (404, "blueprint-unknown")
    assert ask("POST", DEMO, a_document(), headers=new).status_code == 201
    assert code(ask("POST", DEMO, a_document(steps=2), headers=new)) == (
        409,
        "head-moved",
    )
    assert ask("POST", DEMO, a_document(steps=2), headers=any_head).status_code == 201
    for headers, named in (
        ({"If-Match": "abc"}, "If-Match"),
        ({"If-None-Match": '"abc"'}, "If-None-Match"),
        (new | any_head, "If-None-Match"),
    ):
        wrong = ask("POST", DEMO, a_document(), headers=headers)
        assert code(wrong) == (400, "invalid-request")
        assert list(wrong.json()["details"]["fields"]) == [named]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, (400, "not-json")),
        ("{", (400, "not-json")),
        ('{"id": "demo", "id": "demo"}', (400, "not-json")),
        ("[]", (400, "invalid-document")),
        ({}, (400, "invalid-document")),
        (a_document(schema_version="9.9.9"), (400, "invalid-document")),
        (a_document(unknown=1), (400, "invalid-document")),
        (a_document(agents={"$file": "x"}), (400, "reference-in-document")),
        (a_document("other"), (400, "invalid-request")),
        (with_errors(), (422, "blueprint-invalid")),
    ],
    ids=str,
)
def test_what_can_not_be_registered_is_not_stored(ask, body, expected):
    answer = ask("POST", DEMO, body)
    assert code(answer) == expected
    forced = ask("POST", f"{DEMO}?force=true", body)
    if expected[0] == 400:
        assert code(forced) == expected
        assert code(ask("GET", DEMO)) == (404, "blueprint-unknown")


def test_errors_have_their_places_and_can_be_forced(ask):
    refused = ask("POST", DEMO, with_errors()).json()
    [found] = [one for one in refused["details"]["findings"] if one["level"] == "Error"]
    assert (found["kind"], found["span"]["json_path"]) == (
        "unresolved-agent-ref",
        "$.flow.children[0].agent",
    )
    forced = ask("POST", f"{DEMO}?force=true", with_errors())
    assert (forced.status_code, forced.json()["forced"]) == (201, True)
    assert found in forced.json()["findings"]
    head = ask("GET", f"{DEMO}/head").json()
    assert head["forced"] is True
    assert code(ask("GET", f"{DEMO}/agents/explain")) == (422, "blueprint-invalid")


def test_a_reference_is_refused_with_what_to_do(ask):
    document = a_document()
    document["agents"][0]["spec"] = {"source": {"$file": "/etc/passwd"}}
    answer = ask("POST", DEMO, document).json()
    assert answer["code"] == "reference-in-document"
    assert "blueprint build" in answer["hint"]
    assert answer["details"]["place"] == "$.agents[0].spec.source.$file"


def test_a_document_that_is_too_large_is_not_parsed(ask, monkeypatch):
    def parsed(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("blueprints.api.documents.posted_document", parsed)
    monkeypatch.setattr("blueprints.api.bodies.load_json", parsed)
    body = b" " * (MAX_BYTES + 1)
    for path in (DEMO, "/v1/lint", "/v1/build"):
        assert code(ask("POST", path, body)) == (413, "body-too-large")
    assert code(ask("POST", f"{DEMO}/rollback", body)) == (413, "body-too-large")


@pytest.mark.parametrize("id", ["a..b", "x.lock", "x.", "-rf", ".x", "a%20b", "é", "@"])
def test_an_id_that_names_no_branch_is_refused(ask, id):
    answer = ask("POST", f"/v1/blueprints/{id}", a_document(id))
    assert answer.status_code == 400
    for path in ("", "/head", "/history"):
        assert code(ask("GET", f"/v1/blueprints/{id}{path}")) == (
            404,
            "blueprint-unknown",
        )


def test_an_id_in_other_letter_case_is_taken(ask):
    ask("POST", DEMO, a_document())
    answer = ask("POST", "/v1/blueprints/DEMO", a_document("DEMO"))
    assert code(answer) == (409, "id-taken")
    assert answer.json()["details"] == {"other": "demo"}


@pytest.mark.parametrize("path", ["..", "%2e%2e", "a%2fb", "%00", "a/../b"])
def test_no_path_leads_elsewhere(ask, path):
    answer = ask("GET", f"/v1/blueprints/{path}/head")
    assert answer.status_code == 404


def test_yaml_and_scripts_are_kept_with_what_they_build_to(ask):
    text = json.dumps(a_document()) + "  # a comment\n"
    answer = ask("POST", DEMO, text, content_type="application/yaml")
    assert answer.status_code == 201, answer.content
    assert answer.json()["version"] == version_of(a_document())
    source = ask("GET", f"{DEMO}/versions/latest").json()["source"]
    assert source == {"form": ".yaml", "text": text, "parameters": {}}

    path = f"{DEMO}?params=%7B%22n%22%3A7%7D"
    answer = ask("POST", path, a_script(), content_type="text/x-lua")
    assert answer.status_code == 201, answer.content
    found = ask("GET", f"{DEMO}/versions/latest").json()
    assert found["blueprint"]["default_init_ctx"] == {"n": 7}
    assert found["source"]["parameters"] == {"n": 7}
    broken = ask("POST", DEMO, "return nil +", content_type="text/x-lua")
    assert code(broken) == (400, "invalid-source")
    assert broken.json()["details"] == {"line": 1}
    other = ask("POST", DEMO, "x", content_type="text/plain")
    assert code(other) == (415, "media-type")


def test_a_list_has_filters_and_pages(ask):
    for number in range(5):
        metadata = {"tags": ["even" if number % 2 == 0 else "odd"], "description": "x"}
        id = f"bp-{number}"
        document = a_document(id, metadata=metadata)
        assert ask("POST", f"/v1/blueprints/{id}", document).status_code == 201
    ask("POST", "/v1/blueprints/bad?force=1", with_errors("bad"))
    ask("DELETE", "/v1/blueprints/bp-4")

    def ids(query: str) -> list[str]:
        found = ask("GET", f"/v1/blueprints{query}").json()
        return [one["id"] for one in found["items"]]

    assert ids("") == ["bad", "bp-0", "bp-1", "bp-2", "bp-3"]
    assert ids("?archived=true") == ["bp-4"]
    assert len(ids("?archived=any")) == 6
    assert ids("?tag=even") == ["bp-0", "bp-2"]
    assert ids("?lint=BLOCK") == ["bad"]
    assert ids("?q=BP-3") == ["bp-3"]
    page = ask("GET", "/v1/blueprints?limit=2").json()
    assert ([one["id"] for one in page["items"]], page["total"]) == (["bad", "bp-0"], 5)
    page = ask("GET", f"/v1/blueprints?limit=3&cursor={page['next']}").json()
    assert [one["id"] for one in page["items"]] == ["bp-1", "bp-2", "bp-3"]
    assert page["next"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("archived=maybe", "archived"),
        ("lint=ok", "lint"),
        ("labl=1", "labl"),
        ("q=%00", "q"),
    ],
)
def test_a_wrong_filter_is_named(ask, query, field):
    answer = ask("GET", f"/v1/blueprints?{query}")
    assert code(answer) == (400, "invalid-request")
    assert list(answer.json()["details"]["fields"]) == [field]


def test_rollback_is_a_new_commit(ask):
    first = ask("POST", DEMO, a_document()).json()
    second = ask("POST", DEMO, a_document(steps=2)).json()
    body = {"to": first["version"][:20], "message": "It failed"}
    stale = ask("POST", f"{DEMO}/rollback", body, headers={"If-Match": first["commit"]})
    assert code(stale) == (409, "head-moved")
    back = ask("POST", f"{DEMO}/rollback", body, headers={"If-Match": second["commit"]})
    assert (back.status_code, back.json()["number"]) == (201, 3)
    assert back.json()["version"] == first["version"]
    assert ask("POST", f"{DEMO}/rollback", body).status_code == 200
    entry = ask("GET", f"{DEMO}/history").json()["entries"][0]
    assert (entry["restores"], entry["rationale"]) == (first["commit"], "It failed")
    unknown = ask("POST", f"{DEMO}/rollback", {"to": "sha256:" + "0" * 64})
    assert code(unknown) == (404, "version-unknown")
    assert code(ask("POST", f"{DEMO}/rollback", {"too": "x"})) == (
        400,
        "invalid-request",
    )


def test_an_archived_one_is_read_and_not_changed_until_it_comes_back(ask):
    ask("POST", DEMO, a_document())
    assert ask("DELETE", f"{DEMO}?message=Old").status_code == 204
    assert ask("DELETE", DEMO).status_code == 204
    answers = [
        ask("GET", f"{DEMO}/head"),
        ask("POST", DEMO, a_document(steps=2)),
        ask("POST", f"{DEMO}/rollback", {"to": "latest"}),
        ask("PUT", f"{DEMO}/aliases/prod", {"version": "latest"}),
    ]
    for answer in answers:
        assert code(answer) == (409, "archived")
        assert "unarchive" in answer.json()["hint"]
    found = ask("GET", DEMO).json()["archived"]
    assert found["message"] == "Old"
    assert ask("GET", f"{DEMO}/history").json()["total"] == 1
    assert ask("GET", f"{DEMO}/versions/latest").status_code == 200

    assert ask("POST", f"{DEMO}/unarchive").status_code == 204
    assert ask("GET", f"{DEMO}/head").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/head"),
        ("GET", "/history"),
        ("GET", "/versions"),
        ("GET", "/versions/latest"),
        ("GET", "/diff?old=latest"),
        ("GET", "/blame"),
        ("GET", "/events"),
        ("GET", "/aliases"),
        ("GET", "/binding-requirements"),
        ("GET", "/agents/explain"),
        ("GET", "/agents/greet/explain"),
        ("DELETE", ""),
        ("POST", "/unarchive"),
        ("DELETE", "/aliases/prod"),
    ],
)
def test_an_unknown_one_is_404(ask, method, path):
    assert code(ask(method, f"/v1/blueprints/nobody{path}")) == (
        404,
        "blueprint-unknown",
    )
