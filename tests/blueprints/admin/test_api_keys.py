"""The admin page of API keys: a key is shown once."""

import importlib
from typing import Any

import pytest
from api_requests import with_bearer
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from blueprints.models.api_keys import ApiKey, Right
from blueprints.services.api_keys import api_key_create

pytestmark = pytest.mark.django_db
LIST = reverse("admin:blueprints_apikey_changelist")
ADD = reverse("admin:blueprints_apikey_add")
SENT = {"name": "ci server", "scopes": ["view", "edit"]}


@pytest.fixture
def staff() -> Any:
    """Return a client of a member of the staff who may do some things with keys."""

    def logged_in(*verbs: str) -> Client:
        importlib.import_module("blueprints.migrations.0010_groups").seed(apps, None)
        user = User.objects.create(username="eve", is_staff=True)
        names = [f"{verb}_apikey" for verb in verbs]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client = Client()
        client.force_login(user)
        return client

    return logged_in


def shown_key(page: Any) -> str:
    [text] = [
        line.removeprefix("<pre>").removesuffix("</pre>")
        for line in page.content.decode().splitlines()
        if line.startswith("<pre>swk_")
    ]
    return text


def test_a_key_that_is_made_is_shown_once_and_works(admin_client: Client):
    made = admin_client.post(ADD, SENT)
    key, row = shown_key(made), ApiKey.objects.get()
    assert (row.name, row.scopes, row.user) == ("ci server", ["view", "edit"], None)
    assert with_bearer(key)("GET", "/v1/doctor").status_code == 200
    assert "no-store" in made["Cache-Control"]

    secret = key.removeprefix(row.prefix)
    page = reverse("admin:blueprints_apikey_change", args=[row.pk])
    for path in (LIST, page, reverse("admin:index")):
        text = admin_client.get(path).content.decode()
        assert secret not in text
        assert row.digest not in text
    assert row.prefix in admin_client.get(page).content.decode()
    assert secret not in str(admin_client.cookies) + str(dict(admin_client.session))


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "<x>"}, {"scopes": []}, {"scopes": ["all"]}]
)
def test_what_makes_no_key_is_told(admin_client: Client, wrong: dict[str, Any]):
    page = admin_client.post(ADD, {**SENT, **wrong})
    assert b"errorlist" in page.content
    assert not ApiKey.objects.exists()


def test_keys_are_revoked_and_not_changed_or_removed(admin_client: Client):
    row, text = api_key_create("a", [Right.VIEW])
    page = reverse("admin:blueprints_apikey_change", args=[row.pk])
    assert admin_client.post(page, {**SENT, "name": "b"}).status_code == 403
    assert admin_client.post(page.replace("change", "delete")).status_code == 403
    data = {"action": "revoke", "_selected_action": [row.pk]}
    told = admin_client.post(LIST, data, follow=True).content
    assert b"1 key revoked." in told
    assert with_bearer(text)("GET", "/v1/doctor").status_code == 401


def test_who_is_no_superuser_makes_keys_for_itself_alone(staff: Any):
    client = staff("view", "add")
    other = User.objects.create(username="root", is_superuser=True)
    made = client.post(ADD, {**SENT, "user": other.pk})
    assert ApiKey.objects.get().user.username == "eve"
    # Its key can do no more than it can.
    refused = with_bearer(shown_key(made))("GET", "/v1/doctor")
    assert (refused.status_code, refused.json()["code"]) == (403, "no-right")


def test_who_may_only_look_makes_and_revokes_nothing(staff: Any):
    row, _ = api_key_create("a", [Right.VIEW])
    client = staff("view")
    assert client.post(ADD, SENT).status_code == 403
    client.post(LIST, {"action": "revoke", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert (ApiKey.objects.count(), row.state) == (1, "valid")
