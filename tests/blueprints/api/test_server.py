"""Health, set-up, the description of the API and its page."""

import json
import re

from api_documents import a_document
from api_requests import anonymous, as_member, with_key
from django.test import Client

from blueprints.models.api_keys import Right


def test_health_is_open_to_all_and_says_ok():
    for accept in ("text/plain", "application/json", "*/*"):
        answer = anonymous("GET", "/v1/healthz", headers={"Accept": accept})
        assert (answer.status_code, answer.content) == (200, b"ok")
        assert answer["Content-Type"].startswith("text/plain")


def test_a_probe_may_name_the_address_of_the_machine_as_its_host():
    answer = anonymous("GET", "/v1/healthz", HTTP_HOST="10.0.0.7:7777")
    assert (answer.status_code, answer.content) == (200, b"ok")


def test_doctor_tells_how_the_server_is_set_up(settings):
    for id in ("b", "a"):
        with_key()("POST", f"/v1/blueprints/{id}", a_document(id))
    found = with_key(Right.VIEW)("GET", "/v1/doctor").json()
    assert found["registered_blueprint_ids"] == ["a", "b"]
    assert found["blueprint_store_root"] == settings.SWARM_BLUEPRINTS
    assert found["bind"] == settings.SWARM_BIND
    assert found["blueprint_backend"] == "git"
    assert found["registered_blueprint_count"] == 2
    assert set(found) == {
        "server_version", "bind", "blueprint_backend", "blueprint_store_root",
        "blueprint_ref_base", "enhance_flow_enabled", "legacy_worker_binding_policy",
        "seed_blueprint_id", "check_policy", "registered_blueprint_ids",
        "registered_blueprint_count",
    }  # fmt: skip


def test_the_description_lists_the_routes_and_their_problems():
    found = json.loads(with_key(Right.VIEW)("GET", "/v1/openapi.json").content)
    assert found["openapi"].startswith("3.")
    doctor = found["paths"]["/v1/doctor"]["get"]
    assert {"200", "401", "403", "406"} <= set(doctor["responses"])
    assert list(doctor["responses"]["401"]["content"]) == ["application/problem+json"]
    assert doctor["security"] == [{"apiKey": []}, {"session": []}]
    register = found["paths"]["/v1/blueprints/{id}"]["post"]
    named = {one["name"]: one["in"] for one in register["parameters"]}
    assert named["If-Match"] == named["If-None-Match"] == "header"
    assert found["paths"]["/v1/healthz"]["get"].get("security", []) in ([], [{}])


def test_what_changes_a_blueprint_may_find_it_busy_and_what_reads_it_never():
    found = json.loads(with_key(Right.VIEW)("GET", "/v1/openapi.json").content)
    for path, methods in found["paths"].items():
        for method, described in methods.items():
            changes = "{id}" in path and method != "get"
            assert ("429" in described["responses"]) == changes, (method, path)


def test_the_page_of_the_description_needs_no_other_site():
    page = as_member("viewer")("GET", "/v1/docs", headers={"Accept": "text/html"})
    text = page.content.decode()
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(loaded) >= 3
    assert [url for url in loaded if not url.startswith(("/static/", "/v1/"))] == []
    for url in loaded:
        if url.startswith("/static/"):
            answer = Client().get(url)
            assert answer.status_code == 200, url
            answer.close()


def test_who_is_not_logged_in_is_sent_from_the_page_to_the_login():
    page = anonymous("GET", "/v1/docs", headers={"Accept": "text/html"})
    assert (page.status_code, page["Location"]) == (302, "/login/?next=/v1/docs")
    login = anonymous("GET", page["Location"])
    assert login.status_code == 200
    assert b'name="password"' in login.content
