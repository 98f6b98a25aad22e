"""`manage.py apikey create|list|revoke`."""

import json
from typing import Any

import pytest
from api_requests import with_bearer
from django.contrib.auth.models import User
from django.core.management import call_command

from blueprints.models.api_keys import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> tuple[int, str, str]:
        try:
            call_command("apikey", *words)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_key_is_printed_once_and_works_until_it_is_revoked(say):
    code, key, _ = say("create", "ci server", "--scopes", "view,edit")
    row = ApiKey.objects.get()
    assert code == 0
    assert row.scopes == ["edit", "view"]
    ask = with_bearer(key.strip())
    assert ask("GET", "/v1/doctor").status_code == 200

    _, listed, _ = say("list")
    assert listed.startswith(f"{row.prefix}  valid    view,edit  ci server  (20")
    assert key.strip() not in listed

    assert say("revoke", row.prefix) == (0, f"{row.prefix} is revoked\n", "")
    assert ask("GET", "/v1/doctor").status_code == 401
    assert "revoked" in say("list")[1]
    code, _, err = say("revoke", row.prefix)
    assert (code, err) == (2, f"no key that is in use has the prefix '{row.prefix}'\n")


def test_answers_are_json_on_request(say):
    User.objects.create(username="ann")
    made = json.loads(
        say("create", "ann's", "--user", "ann", "--days", "7", "--json")[1]
    )
    assert made["ok"] is True
    assert made["key"].startswith(f"{made['prefix']}_")
    assert (made["user"], made["scopes"], made["state"]) == ("ann", ["view"], "valid")
    [listed] = json.loads(say("list", "--json")[1])["keys"]
    assert listed == {key: made[key] for key in listed}
    revoked = json.loads(say("revoke", made["prefix"], "--json")[1])
    assert revoked == {"ok": True, "prefix": made["prefix"]}


def test_without_keys_the_list_says_so(say):
    assert say("list") == (0, "no keys\n", "")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("create", " "), "NAME: must not be empty or only punctuation"),
        (("create", "x", "--user", "bob"), "--user: there is no user named 'bob'"),
        (("revoke", "swk_1"), "no key that is in use has the prefix 'swk_1'"),
    ],
)
def test_what_is_wrong_is_refused(say, words, text):
    assert say(*words) == (2, "", f"{text}\n")
    assert not ApiKey.objects.exists()


def test_a_misspelt_right_is_named(say):
    with pytest.raises(
        Exception, match="no right is named 'veiw'; did you mean 'view'"
    ):
        say("create", "x", "--scopes", "veiw")
