"""Routes of versions, aliases, agents and documents."""

from typing import Any

import pytest
from api_documents import a_document, a_script, with_errors
from api_requests import with_key

from blueprints.models import BlueprintVersion
from engine.blueprint_store import version_of

DEMO = "/v1/blueprints/demo"


@pytest.fixture
def ask() -> Any:
    found = with_key()
    for steps, label in ((1, "1.0.0"), (2, None), (1, "1.1.0")):
        query = f"?message=To+{steps}" + (f"&label={label}" if label else "")
        answer = found("POST", f"{DEMO}{query}", a_document(steps=steps))
        assert answer.status_code == 201
    return found


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_the_history_has_each_commit_newest_first(ask):
    found = ask("GET", f"{DEMO}/history?limit=2").json()
    assert (found["count"], found["total"]) == (2, 3)
    first, second = found["entries"]
    assert first["hash"] == first["version"] == version_of(a_document())
    assert (first["version_label"], second["version_label"]) == ("1.1.0", None)
    assert (first["rationale"], first["number"]) == ("To 1", 3)
    rest = ask("GET", f"{DEMO}/history?cursor={found['next']}").json()
    assert [one["number"] for one in rest["entries"]] == [1]
    assert rest["next"] is None
    same = ask("GET", f"{DEMO}/versions").json()
    assert [one["number"] for one in same["items"]] == [3, 2, 1]


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("latest", 3),
        (version_of(a_document(steps=2)), 2),
        (version_of(a_document(steps=2))[7:17], 2),
        (version_of(a_document()), 3),
        ("1.0.0", 1),
        ("^1.0", 3),
    ],
)
def test_a_version_is_found_by_every_name_it_has(ask, version, number):
    found = ask("GET", f"{DEMO}/versions/{version}").json()
    assert found["number"] == number
    assert found["blueprint"] == a_document(steps=2 if number == 2 else 1)
    assert found["findings"] == []


@pytest.mark.parametrize("version", ["sha256:" + "0" * 64, "prod", "^2", "00000000"])
def test_an_unknown_version_is_404(ask, version):
    assert code(ask("GET", f"{DEMO}/versions/{version}")) == (404, "version-unknown")


def test_digits_that_several_versions_begin_with_are_422_with_these(ask):
    first = version_of(a_document())
    other = first[:15] + "0" * 56
    BlueprintVersion.objects.filter(number=2).update(version=other)
    for path in (f"versions/{first[:15]}", f"blame?version={first[:15]}"):
        answer = ask("GET", f"{DEMO}/{path}")
        assert code(answer) == (422, "version-ambiguous")
        assert answer.json()["details"] == {"versions": sorted([first, other])}
    body = {"version": first[:15]}
    assert code(ask("PUT", f"{DEMO}/aliases/prod", body))[1] == "version-ambiguous"


def test_blame_names_the_commit_that_last_changed_each_node_and_agent(ask):
    found = ask("GET", f"{DEMO}/blame?version={version_of(a_document(steps=2))}").json()
    versions = {commit: one["number"] for commit, one in found["versions"].items()}
    assert found["blueprint"]["number"] == 2
    assert {place: versions[one] for place, one in found["nodes"].items()} == {
        "$.flow": 1,
        "$.flow.children[0]": 1,
        "$.flow.children[1]": 2,
    }
    assert [versions[one] for one in found["agents"].values()] == [1]
    assert set(versions.values()) == {1, 2}


def test_blame_reads_no_further_than_it_is_told(ask):
    version = version_of(a_document(steps=2))
    found = ask("GET", f"{DEMO}/blame?version={version}&limit=1").json()
    assert set(found["nodes"].values()) == {None}
    assert (found["agents"], found["versions"]) == ({"greet": None}, {})
    whole = ask("GET", f"{DEMO}/blame?version={version}&limit=2").json()
    assert None not in whole["nodes"].values()
    wrong = ask("GET", f"{DEMO}/blame?limit=1001")
    assert list(wrong.json()["details"]["fields"]) == ["limit"]


def test_events_say_who_did_what_and_why_from_which_version_to_which(ask):
    ask("PUT", f"{DEMO}/aliases/prod", {"version": "1.0.0", "message": "Ship"})
    found = ask("GET", f"{DEMO}/events?limit=2").json()
    assert found["total"] == 4
    alias, last = found["items"]
    assert (alias["verb"], alias["by"], alias["reason"]) == (
        "alias-set",
        "a test",
        "Ship",
    )
    assert (alias["old_version"], alias["new_version"]) == (
        None,
        version_of(a_document()),
    )
    assert (alias["data"], alias["key"][:4]) == ({"alias": "prod"}, "swk_")
    assert (last["old_version"], last["new_version"]) == (
        version_of(a_document(steps=2)),
        version_of(a_document()),
    )
    assert (last["reason"], last["data"]) == ("To 1", {"label": "1.1.0"})
    rest = ask("GET", f"{DEMO}/events?cursor={found['next']}").json()
    assert [one["reason"] for one in rest["items"]] == ["To 2", "To 1"]
    assert rest["next"] is None


def test_what_selects_no_version_is_400(ask):
    assert code(ask("GET", f"{DEMO}/versions/a..b")) == (400, "invalid-request")
    assert code(ask("GET", f"{DEMO}/versions/%3E%3E")) == (400, "invalid-request")


def test_a_diff_says_what_was_added(ask):
    second = version_of(a_document(steps=2))
    found = ask("GET", f"{DEMO}/diff?old=1.0.0&new={second}").json()
    assert (found["old"]["number"], found["new"]["number"]) == (1, 2)
    assert [(one["what"], one["of"]) for one in found["changes"]] == [("added", "node")]
    assert "+" in found["text"]
    same = ask("GET", f"{DEMO}/diff?old=1.0.0").json()
    assert (same["changes"], same["text"]) == ([], "")


def test_head_and_diff_read_their_blueprint_once(ask, django_assert_num_queries):
    # Key, intent and Blueprint with its head; for a diff the identities of the head;
    # for a label all labels, and the version that has it.
    for path, queries in (("head", 3), ("diff?old=latest", 4), ("diff?old=1.0.0", 6)):
        with django_assert_num_queries(queries):
            assert ask("GET", f"{DEMO}/{path}").status_code == 200


def test_an_alias_moves_and_is_removed(ask):
    path = f"{DEMO}/aliases/prod"
    first = ask("PUT", path, {"version": "1.0.0", "message": "Ship"}).json()
    assert (first["version"], first["message"]) == (version_of(a_document()), "Ship")
    taken = ask("PUT", path, {"version": "latest", "expected": None})
    assert code(taken) == (409, "alias-moved")
    assert taken.json()["details"] == {"commit": first["commit"]}
    moved = ask("PUT", path, {"version": "latest", "expected": first["commit"]})
    assert moved.status_code == 200
    assert ask("GET", f"{DEMO}/versions/prod").json()["number"] == 3
    assert list(ask("GET", f"{DEMO}/aliases").json()["aliases"]) == ["prod"]
    assert ask("DELETE", path).status_code == 204
    assert code(ask("DELETE", path)) == (404, "version-unknown")
    assert code(ask("PUT", f"{DEMO}/aliases/Prod", {"version": "latest"})) == (
        400,
        "invalid-request",
    )


def test_agents_are_explained(ask):
    found = ask("GET", f"{DEMO}/agents/greet/explain").json()
    assert (found["agent"], found["kind"], found["queue"]) == (
        "greet",
        "lua",
        "swarm.lua",
    )
    assert found["blueprint"]["version"] == version_of(a_document())
    assert found["runner"] == {
        "resolved": None,
        "source": "none",
        "binding_digest": None,
    }
    assert found["system_prompt"] == {"bytes": 0, "lines": 0}
    assert found["steps"] == ["$.flow.children[0]"]
    every = ask("GET", f"{DEMO}/agents/explain?version=1.0.0").json()
    assert [one["agent"] for one in every["agents"]] == ["greet"]
    unknown = ask("GET", f"{DEMO}/agents/gret/explain")
    assert code(unknown) == (404, "agent-unknown")
    assert unknown.json()["details"] == {"agents": ["greet"]}
    assert unknown.json()["hint"] == "did you mean 'greet'?"


def test_binding_requirements_are_what_operators_must_cover(ask):
    agents = [
        {
            "name": "judge",
            "kind": "operator",
            "spec": {"operator_ref": "seat"},
            "runner": {"backend": "ws_operator", "variant": "judge", "tools": ["Read"]},
        }
    ]
    document = a_document("seated", agents=agents, operators=[{"name": "seat"}])
    document["flow"]["children"][0]["agent"] = "judge"
    answer = ask("POST", "/v1/blueprints/seated", document)
    assert answer.status_code == 201, answer.content
    path = "/v1/blueprints/seated/binding-requirements"
    found = ask("GET", path).json()
    assert (found["blueprint_id"], found["strict_binding"]) == ("seated", False)
    [one] = found["requirements"]
    assert (one["agent"], one["backend"], one["launch_variant"]) == (
        "judge",
        "ws_operator",
        "judge",
    )
    assert one["requested_tools"] == ["Read"]


def test_a_document_is_linted_and_built_without_being_kept(ask):
    found = ask("POST", "/v1/lint", with_errors("new")).json()
    assert found["verdict"] == "BLOCK"
    assert "unresolved-agent-ref" in {one["kind"] for one in found["diagnostics"]}
    assert ask("POST", "/v1/lint", {}).json()["verdict"] == "BLOCK"
    script = a_script("new")
    built = ask("POST", "/v1/build", script, content_type="text/x-lua")
    assert built.status_code == 200, built.content
    assert built.json()["document"]["id"] == "new"
    assert built.json()["version"].startswith("sha256:")
    assert code(ask("POST", "/v1/build", with_errors())) == (422, "blueprint-invalid")
    assert code(ask("GET", "/v1/blueprints/new")) == (404, "blueprint-unknown")
    for params in ("[]", "{"):
        bad = ask(
            "POST", f"/v1/build?params={params}", script, content_type="text/x-lua"
        )
        assert code(bad) == (400, "invalid-request")
