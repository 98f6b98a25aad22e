"""Who is let in: keys, sessions with their CSRF token, programs on this machine."""

from datetime import timedelta
from typing import Any

import pytest
from api_requests import (
    LOOPBACK,
    anonymous,
    as_member,
    asked,
    member,
    on_loopback,
    with_bearer,
    with_key,
)
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from blueprints.models.api_keys import ApiKey, Right
from blueprints.services.api_keys import api_key_create, api_key_revoke

READ = ("GET", "/v1/doctor")


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


# Keys


def test_a_key_lets_in_and_only_its_hash_is_stored():
    row, text = api_key_create("ci", [Right.VIEW])

    assert with_bearer(text)(*READ).status_code == 200
    assert ApiKey.objects.filter(pk=row.pk, last_used_at=None).count() == 0
    stored = " ".join(str(part) for part in ApiKey.objects.values_list().get(pk=row.pk))
    assert text not in stored
    assert text.removeprefix(row.prefix) not in stored


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"digest": "0" * 64},
    ],
    ids=["revoked", "expired", "another"],
)
def test_a_key_that_has_ended_is_refused(change):
    row, text = api_key_create("ci", [Right.VIEW])
    assert with_bearer(text)(*READ).status_code == 200
    ApiKey.objects.filter(pk=row.pk).update(**change)

    refused = with_bearer(text)(*READ)
    assert code(refused) == (401, "key-refused")
    assert "invalid_token" in refused["WWW-Authenticate"]


@pytest.mark.parametrize(
    "text", ["", "x", "swk_00000000_x", "swk_\x00_x", "swk_" + "é" * 9, "swk_" * 99]
)
def test_what_is_no_key_is_refused(text):
    assert code(with_bearer(text)(*READ)) == (401, "key-refused")


def test_a_key_of_a_user_may_do_no_more_than_the_user():
    user = member("viewer")
    ask = with_key(Right.VIEW, Right.ARCHIVE, user=user)
    assert ask(*READ).status_code == 200

    user.groups.clear()
    refused = ask(*READ)
    assert code(refused) == (403, "no-right")
    assert refused.json()["details"] == {"right": "view"}
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert code(ask(*READ)) == (401, "key-refused")


def test_another_scheme_is_refused():
    headers = {"Authorization": "Basic YTpi"}
    assert code(anonymous(*READ, headers=headers)) == (401, "not-authenticated")


def test_a_revoked_key_can_not_be_revoked_again():
    row, _ = api_key_create("ci", [Right.VIEW])
    assert [api_key_revoke(row.prefix), api_key_revoke(row.prefix)] == [True, False]


def test_a_wrong_key_is_not_taken_for_a_trusted_program(settings):
    settings.DEBUG = True
    headers = {"Authorization": "Bearer swk_00000000_x"}
    assert on_loopback()(*READ).status_code == 200
    assert code(on_loopback()(*READ, headers=headers)) == (401, "key-refused")


# Sessions


def test_a_session_lets_in_who_is_logged_in():
    assert as_member("viewer")(*READ).status_code == 200
    assert code(anonymous(*READ)) == (401, "not-authenticated")


def test_a_session_without_groups_has_no_right():
    client = Client()
    client.force_login(User.objects.create(username="nobody"))
    assert code(asked(*READ, client=client)) == (403, "no-right")


def test_a_session_needs_its_csrf_token_to_change_something():
    client = Client(enforce_csrf_checks=True)
    client.force_login(member("admin"))
    change = ("DELETE", "/v1/blueprints/demo")
    assert code(asked(*change, client=client)) == (403, "csrf-failed")

    client.get("/admin/login/")
    client.cookies["csrftoken"] = "a" * 32
    headers = {"X-CSRFToken": "a" * 32}
    assert code(asked(*change, client=client, headers=headers))[0] == 404


# Programs on this machine


@pytest.fixture
def debug(settings: Any) -> Any:
    settings.DEBUG = True
    return settings


def test_a_program_on_this_machine_needs_no_key_while_developing(debug):
    assert on_loopback()(*READ).status_code == 200
    assert on_loopback(REMOTE_ADDR="::1", HTTP_HOST="[::1]")(*READ).status_code == 200
    mapped = {"REMOTE_ADDR": "::ffff:127.0.0.1", "HTTP_HOST": "127.0.0.1"}
    assert on_loopback(**mapped)(*READ).status_code == 200


def test_it_needs_one_without_debug():
    assert code(on_loopback()(*READ)) == (401, "not-authenticated")


def test_it_needs_one_where_that_is_turned_off(debug):
    debug.SWARM_TRUST_LOOPBACK = False
    assert code(on_loopback()(*READ)) == (401, "not-authenticated")


@pytest.mark.parametrize("address", ["192.0.2.1", "", "localhost", "::", "0.0.0.0"])
def test_another_machine_is_not_trusted(debug, address):
    assert code(on_loopback(REMOTE_ADDR=address)(*READ)) == (401, "not-authenticated")


def test_a_name_that_is_no_allowed_host_is_not_trusted(debug):
    debug.ALLOWED_HOSTS = ["*"]
    assert code(on_loopback(HTTP_HOST="evil.example")(*READ)) == (
        401,
        "not-authenticated",
    )
    debug.ALLOWED_HOSTS = ["*", "mine.example"]
    assert on_loopback(HTTP_HOST="mine.example")(*READ).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://localhost:8000",
        "https://localhost:7777",
        "http://localhost:7777.evil.example",
        "http://[",
    ],
)
def test_a_page_of_another_site_is_not_trusted(debug, origin):
    assert code(on_loopback(HTTP_ORIGIN=origin)(*READ)) == (401, "not-authenticated")


def test_a_page_of_this_site_is_trusted(debug):
    own = f"http://{LOOPBACK['HTTP_HOST']}"
    more = {"HTTP_ORIGIN": own, "HTTP_SEC_FETCH_SITE": "same-origin"}
    assert on_loopback(**more)(*READ).status_code == 200
    for site in ("cross-site", "same-site"):
        answer = on_loopback(HTTP_SEC_FETCH_SITE=site)(*READ)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        *(
            "X_FORWARDED_FOR",
            "X_FORWARDED_HOST",
            "X_FORWARDED_PROTO",
            "FORWARDED",
            "VIA",
        ),
        *("X_REAL_IP", "X_FORWARDED", "CF_CONNECTING_IP", "X_ENVOY_EXTERNAL_ADDRESS"),
    ],
)
def test_what_a_proxy_forwards_is_not_trusted(debug, header):
    for value in ("127.0.0.1", ""):
        answer = on_loopback(**{f"HTTP_{header}": value})(*READ)
        assert code(answer) == (401, "not-authenticated")


def test_a_trusted_program_has_the_rights_of_a_publisher(debug):
    answer = on_loopback()("DELETE", "/v1/blueprints/demo")
    assert code(answer) == (403, "no-right")
    assert answer.json()["details"] == {"right": "archive"}
