"""No password or key in logs, tracebacks and error pages, in whatever spelling."""

import html
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from celery.utils.saferepr import saferepr
from celery.utils.serialization import jsonify
from django.conf import settings
from django.core.checks import run_checks
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.views.debug import technical_500_response

from blueprints.secrecy import Formatter, _forms, without_secrets
from engine.store.server_url import ServerUrl
from swarm_project.celery import app

PASSWORD = "ca/nary <of> the?'redis'"
KEY = "canary-of-django-" + 40 * "k"
URL = f"redis://swarm:{quote(PASSWORD, safe='')}@127.0.0.1:1/0"
OWN = {"SWARM_VAR": str(settings.VAR_DIR)}
OTHER = "sk-canary-of-a-service"


@pytest.fixture(autouse=True)
def canaries(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Secrets of an installation, in its settings and its environment."""
    _forms.cache_clear()
    monkeypatch.setenv("SWARM_REDIS_URL", URL)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    # By hand: Celery can't list settings that are overridden Django's way.
    monkeypatch.setattr(settings, "SWARM_STATE_URL", ServerUrl.of(URL))
    monkeypatch.setattr(settings, "SECRET_KEY", KEY)
    yield
    _forms.cache_clear()


def fail(request: Any) -> Any:
    """Fail with a secret in the text, and others in variables."""
    url, state, password = URL, settings.SWARM_STATE_URL, PASSWORD
    raise ValueError(f"can't use {url} with {password} and {OTHER} at {state}")


urlpatterns = [path("fail/", fail)]


def assert_clean(text: str) -> None:
    for secret in (PASSWORD, KEY, OTHER):
        for form in (secret, quote(secret, safe=""), quote_plus(secret)):
            assert form not in text
            assert html.escape(form) not in text
            assert repr(form)[1:-1] not in text
    assert "ca/nary" not in text
    assert "ca%2Fnary" not in text


@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
@override_settings(DEBUG=True)
def test_djangos_error_page_shows_no_secret(accept: str) -> None:
    environ = {"SWARM_REDIS_URL": URL, "OPENAI_API_KEY": OTHER, "HTTP_X_NOTE": PASSWORD}
    request = RequestFactory().get("/fail/", HTTP_ACCEPT=accept, **environ)
    try:
        fail(request)
    except ValueError:
        page = technical_500_response(request, *sys.exc_info())

    text = page.content.decode()
    assert "ValueError" in text
    assert "SWARM_STATE_URL" in text
    assert_clean(text)


@pytest.mark.parametrize("debug", [False, True])
@override_settings(ROOT_URLCONF=__name__)
def test_a_foreign_host_learns_nothing(debug: bool) -> None:
    client = Client(raise_request_exception=False)
    with override_settings(DEBUG=debug, ALLOWED_HOSTS=["localhost"]):
        answer = client.get("/fail/", headers={"host": "evil.example"})

    text = answer.content.decode()
    assert answer.status_code == 400
    assert ("SWARM_STATE_URL" in text) == debug
    assert_clean(text)


def test_a_log_line_and_its_traceback_show_no_secret() -> None:
    try:
        fail(None)
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "%s", (error,), sys.exc_info()
        )

    text = Formatter().format(record)
    assert text.count("can't use redis://********@127.0.0.1:1/0") == 2
    assert_clean(text)


def test_what_is_no_secret_stays() -> None:
    text = "mail a@b.example, see https://example/x?y=1 and redis://h:1/0"
    assert without_secrets(text) == text


def test_celery_shows_its_url_and_no_secret() -> None:
    table = app.conf.table(with_defaults=True)
    # As `inspect conf` answers.
    shown = repr(jsonify(table, unknown_type_filter=saferepr)) + repr(table)
    shown += app.bugreport() + app.connection_for_write().as_uri()

    assert "redis://127.0.0.1:1/0" in shown
    assert_clean(shown)


def test_a_traceback_of_a_process_shows_no_secret() -> None:
    code = "import os, swarm_project; raise ValueError(os.environ['SWARM_REDIS_URL'])"
    for raised in (code, code.replace("raise", "import threading as t; e =") + TAIL):
        ended = subprocess.run(
            [sys.executable, "-c", raised],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            timeout=60,
        )
        assert "ValueError: redis://********@127.0.0.1:1/0" in ended.stderr
        assert_clean(ended.stderr)


TAIL = "\ndef f(): raise e\nx = t.Thread(target=f); x.start(); x.join()"


def test_a_key_that_was_made_here_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Path(settings.VAR_DIR, "secret_key").read_text().strip()
    monkeypatch.setattr(settings, "SECRET_KEY", made)
    assert "swarm.W003" in {f.id for f in run_checks(include_deployment_checks=True)}
    assert "swarm.W003" not in {f.id for f in run_checks()}

    monkeypatch.setattr(settings, "SECRET_KEY", "given")
    assert "swarm.W003" not in {
        f.id for f in run_checks(include_deployment_checks=True)
    }


def test_debug_is_on_only_on_request() -> None:
    program = "from swarm_project import settings as s; print(s.DEBUG, s.ALLOWED_HOSTS)"
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
            env=env,
            timeout=60,
        ).stdout
        for env in (OWN, OWN | {"SWARM_DEBUG": "1"})
    ]
    assert [line.partition(" ")[0] for line in printed] == ["False", "True"]
    assert "'localhost', '127.0.0.1', '[::1]'" in printed[0]
