"""Whatever is asked, the answer is one that the description of the API has.

SWARM_API_EXAMPLES says how many requests each route gets besides those that schemathesis
derives from the bounds of its parameters: 200 of them, for a search by hand, take some
150 s of a processor.
"""

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from api_documents import a_document
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from kept_blueprints import ADA
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from blueprints.loaders.bundle import Bundle, bundle_bytes
from blueprints.models.api_keys import Right
from blueprints.services.api_keys import api_key_create
from blueprints.services.blueprints import alias_set, blueprint_register
from engine.blueprint_store import Content

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EXAMPLES = int(os.environ.get("SWARM_API_EXAMPLES", "25"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("text/x-lua", "application/zip")
def text_of(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


# It would read all our sources for words to ask with.
config = SchemathesisConfig.from_dict({"analysis": {"constants": {"enabled": False}}})
schema = schemathesis.openapi.from_dict(
    SchemaGenerator().get_schema(request=None, public=True), config=config
)
schema.app = WSGIHandler()
NAMES = {
    **{"id": "demo", "version": "latest", "alias": "prod", "agent": "greet"},
    **{"old": "prod", "new": "latest", "to": "latest"},
}
BUNDLE = bundle_bytes(Bundle("demo", Content(a_document(steps=3)), None, "Again"))
known = itertools.cycle((True, False, True))
steps = itertools.cycle((1, 2, 3))


@pytest.fixture(autouse=True)
def one_transaction(db: None) -> Iterator[None]:
    """Requests leave the connection open that has the test's transaction."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def key(db: None) -> str:
    """A key with all rights, in an installation that has a Blueprint."""
    _, text = api_key_create("search", list(Right), user=None)
    for number in (1, 2):
        content = Content(a_document(steps=number))
        done = blueprint_register("demo", content, actor=ADA, message="First")
    alias_set("demo", "prod", done.version, actor=ADA, message="Ship")
    return text


def aimed(case: Any) -> Any:
    """Return a request, two of three with names that exist and a Blueprint that is one."""
    if not next(known):
        return case
    for given in (case.path_parameters, case.query, case.body):
        if isinstance(given, dict):
            given.update({name: NAMES[name] for name in given if name in NAMES})
    if case.method == "POST" and case.path.endswith(("{id}", "build", "lint")):
        case.media_type, case.body = "application/json", a_document(steps=next(steps))
    if case.path.endswith("import"):
        case.body = BUNDLE
    if case.query and "{" not in case.path.removeprefix("/v1/blueprints/{id}"):
        case.query.pop("cursor", None)
    return case


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_described_with_a_key_and_without(case: Any, key: str) -> None:
    # To draw a request takes longer than to answer it, so each is sent twice.
    headers = {"Host": "localhost"}
    answer = aimed(case).call_and_validate(headers=headers, checks=CHECKS)
    if case.path != "/v1/healthz":
        assert answer.status_code in (401, 404, 405), answer.content
    headers["Authorization"] = f"Bearer {key}"
    case.call_and_validate(headers=headers, checks=CHECKS)
