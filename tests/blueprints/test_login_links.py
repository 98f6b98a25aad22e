"""The link that logs in the person at the terminal of `up`, once."""

import getpass

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from blueprints.login_links import LASTS_S, login_path

pytestmark = pytest.mark.django_db


def logged_in(client: Client) -> str:
    pk = client.session.get("_auth_user_id")
    return User.objects.get(pk=pk).username if pk else ""


def test_it_logs_the_superuser_in_once():
    User.objects.create_superuser("ann")
    path = login_path()
    first, second = Client(), Client()

    answer = first.get(path)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert logged_in(first) == "ann"
    assert second.get(path).status_code == 410
    assert logged_in(second) == ""
    third = Client()
    assert third.get(login_path()).status_code == 302
    assert logged_in(third) == "ann"


def test_where_there_is_no_superuser_using_it_makes_one_without_a_password():
    path, again = login_path(), login_path()
    assert not User.objects.exists()
    client = Client()
    assert client.get(path).status_code == 302
    assert logged_in(client) == getpass.getuser()
    assert not User.objects.get().has_usable_password()
    assert Client().get(path).status_code == 410
    assert Client().get(again).status_code == 410


def test_a_name_that_somebody_has_who_is_no_superuser_is_left_alone():
    user = User.objects.create(username=getpass.getuser())
    assert Client().get(login_path()).status_code == 410
    user.refresh_from_db()
    assert not user.is_superuser


def test_it_ends_with_the_next_login_and_with_its_user():
    user = User.objects.create_superuser("ann")
    path = login_path()
    user.last_login = timezone.now()
    user.save()
    assert Client().get(path).status_code == 410
    path = login_path()
    user.is_active = False
    user.save()
    assert Client().get(path).status_code == 410


def test_it_lasts_ten_minutes(monkeypatch):
    User.objects.create_superuser("ann")
    path = login_path()
    later = timezone.now().timestamp() + LASTS_S + 1
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    assert Client().get(path).status_code == 410


@pytest.mark.parametrize("token", ["x", "1::", "-:1xXrim:no", "-"])
def test_a_forged_one_is_refused(token):
    User.objects.create_superuser("ann")
    assert Client().get(f"/login/once/{token}").status_code == 410
