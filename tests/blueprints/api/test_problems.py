"""Every error has one form, and docs/errors.md lists all of them."""

import re
from pathlib import Path

import pytest
from api_requests import anonymous, with_key
from django.test import Client

from blueprints.api.problems import CODES, MEDIA_TYPE, Problem
from blueprints.models.api_keys import Right

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"^\| `([a-z-]+)` \| (\d{3}) \| (.+?) \| (.*?) \|$", re.MULTILINE)
RAISED = re.compile(r'(?:Problem|problem_page)\(\s*(?:request, )?"([a-z-]+)"')


def test_the_page_lists_each_code_with_its_status_and_meaning():
    rows = ROW.findall((ROOT / "docs" / "errors.md").read_text())
    assert rows == [
        (name, str(code.status), code.meaning, code.hint)
        for name, code in CODES.items()
    ]


def test_each_code_is_one_that_a_route_answers():
    sources = [*(ROOT / "blueprints" / "api").glob("*.py")]
    texts = "\n".join(path.read_text() for path in sources)
    named = set(
        re.findall(r'"([a-z]+(?:-[a-z]+)*)"', re.sub(r'"[a-z-]+": Code\(', "", texts))
    )
    assert set(CODES) - named == set()
    assert set(RAISED.findall(texts)) <= set(CODES)


def test_a_problem_has_four_members():
    answer = anonymous("GET", "/v1/doctor")
    assert answer["Content-Type"] == MEDIA_TYPE
    assert answer["WWW-Authenticate"] == 'Bearer realm="swarm"'
    assert answer.json() == {
        "error": CODES["not-authenticated"].meaning,
        "code": "not-authenticated",
        "hint": CODES["not-authenticated"].hint,
        "details": None,
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "route-unknown"),
        ("PATCH", "/v1/", 404, "route-unknown"),
        ("POST", "/v1", 404, "route-unknown"),
        ("GET", "/v1/doctor/", 404, "route-unknown"),
        ("PUT", "/v1/doctor", 405, "method-not-allowed"),
    ],
)
def test_wrong_paths_and_methods_are_problems(method, path, status, code):
    answer = with_key()(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_answer_in_another_form_is_refused():
    answer = with_key()("GET", "/v1/doctor", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
    assert answer["Content-Type"] == MEDIA_TYPE


@pytest.mark.parametrize("debug", [False, True])
def test_a_host_that_is_not_ours_is_a_problem(settings, debug):
    settings.DEBUG = debug
    answer = anonymous("GET", "/v1/doctor", HTTP_HOST="evil.example")
    assert (answer.status_code, answer["Content-Type"]) == (400, MEDIA_TYPE)
    assert answer.json()["code"] == "host-unknown"
    page = anonymous("GET", "/login/", HTTP_HOST="evil.example")
    assert (page.status_code, page["Content-Type"][:9]) == (400, "text/html")


def test_a_host_that_an_earlier_middleware_refuses_is_the_same_problem(settings):
    settings.SECURE_SSL_REDIRECT = True
    # Another client: middleware reads the setting when it is made.
    answer = Client().get("/v1/doctor", headers={"Host": "evil.example"})
    assert (answer.status_code, answer["Content-Type"]) == (400, MEDIA_TYPE)
    assert answer.json()["code"] == "host-unknown"


def test_a_body_that_is_encoded_is_refused():
    headers = {"Content-Encoding": "gzip"}
    answer = with_key()("POST", "/v1/lint", {}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "media-type")


def test_a_bug_is_a_problem_without_its_cause(monkeypatch, client):
    def fails(*_: object) -> None:
        raise RuntimeError("secret cause")

    monkeypatch.setattr("blueprints.api.server.Doctor.get", fails)
    client.raise_request_exception = False
    ask = with_key(Right.VIEW)
    answer = ask("GET", "/v1/doctor", client=client)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert b"secret cause" not in answer.content


def test_problems_stand_in_for_texts_that_are_not_given():
    problem = Problem("archived", details={"a": 1})
    assert problem.body["hint"] == CODES["archived"].hint
    assert problem.status_code == 409
