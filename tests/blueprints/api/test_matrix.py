"""Every route, and who may use it: the table is printed with `pytest -s`."""

from collections.abc import Iterator
from typing import Any

import pytest
from api_documents import a_document
from api_requests import (
    GROUPS,
    Ask,
    anonymous,
    as_member,
    on_loopback,
    with_key,
)
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver
from drf_spectacular.generators import SchemaGenerator

from blueprints.models.api_keys import Right

OPEN, VIEW, EDIT, PUBLISH, ARCHIVE = "open", *(right.value for right in Right)
# The right that each method of each route needs.
ROUTES = {
    ("GET", "healthz"): OPEN,
    ("GET", "doctor"): VIEW,
    ("GET", "openapi.json"): VIEW,
    ("GET", "docs"): VIEW,
    ("POST", "lint"): VIEW,
    ("POST", "build"): VIEW,
    ("GET", "blueprints"): VIEW,
    ("GET", "blueprints/{id}"): VIEW,
    ("POST", "blueprints/{id}"): EDIT,
    ("DELETE", "blueprints/{id}"): ARCHIVE,
    ("GET", "blueprints/{id}/head"): VIEW,
    ("GET", "blueprints/{id}/history"): VIEW,
    ("GET", "blueprints/{id}/versions"): VIEW,
    ("GET", "blueprints/{id}/versions/{version}"): VIEW,
    ("GET", "blueprints/{id}/diff"): VIEW,
    ("GET", "blueprints/{id}/blame"): VIEW,
    ("GET", "blueprints/{id}/events"): VIEW,
    ("POST", "blueprints/{id}/rollback"): EDIT,
    ("POST", "blueprints/{id}/unarchive"): ARCHIVE,
    ("GET", "blueprints/{id}/export"): VIEW,
    ("POST", "blueprints/{id}/import"): EDIT,
    ("GET", "blueprints/{id}/aliases"): VIEW,
    ("PUT", "blueprints/{id}/aliases/{alias}"): PUBLISH,
    ("DELETE", "blueprints/{id}/aliases/{alias}"): PUBLISH,
    ("GET", "blueprints/{id}/binding-requirements"): VIEW,
    ("GET", "blueprints/{id}/agents/explain"): VIEW,
    ("GET", "blueprints/{id}/agents/{agent}/explain"): VIEW,
}
RIGHTS = {
    "viewer": {VIEW},
    "author": {VIEW, EDIT},
    "publisher": {VIEW, EDIT, PUBLISH},
    "admin": {VIEW, EDIT, PUBLISH, ARCHIVE},
    **{f"key:{right.value}": {right.value} for right in Right},
    "loopback": {VIEW, EDIT, PUBLISH},
    "anonymous": set(),
    "loopback+Origin": set(),
    "loopback+proxy": set(),
}
UNKNOWN = set(RIGHTS) - {
    *GROUPS,
    *(f"key:{right.value}" for right in Right),
    "loopback",
}


def principals() -> dict[str, Ask]:
    return {
        **{group: as_member(group) for group in GROUPS},
        **{f"key:{right.value}": with_key(right) for right in Right},
        "loopback": on_loopback(),
        "anonymous": anonymous,
        "loopback+Origin": on_loopback(HTTP_ORIGIN="https://evil.example"),
        "loopback+proxy": on_loopback(HTTP_X_FORWARDED_FOR="127.0.0.1"),
    }


def patterns(found: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for one in found.url_patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from patterns(one, route)
        elif isinstance(one, URLPattern):
            yield route, one.callback


def declared() -> dict[tuple[str, str], Any]:
    """Return the view of each method of each route below /v1, from the URLs."""
    found = {}
    for route, view in patterns(get_resolver()):
        if not route.startswith("v1/") or route.endswith("^.*$"):
            continue
        path = route.removeprefix("v1/").replace("<name:", "{").replace(">", "}")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if hasattr(view.view_class, method.lower()):
                found[method, path] = view.view_class
    return found


def test_no_route_is_unlisted():
    assert list(declared()) == list(ROUTES)


def test_each_method_of_a_route_names_its_right():
    named = {
        (method, path): getattr(view, "rights", {}).get(method, OPEN)
        for (method, path), view in declared().items()
    }
    assert named == ROUTES


def path_of(route: str) -> str:
    names = {"id": "demo", "version": "latest", "alias": "prod", "agent": "greet"}
    path = f"/v1/{route.format(**names)}"
    return f"{path}?old=latest" if route.endswith("/diff") else path


def body_of(method: str, route: str) -> Any:
    if route.endswith("rollback"):
        return {"to": "latest"}
    if route.endswith("{alias}"):
        return {"version": "latest"} if method == "PUT" else None
    if method != "POST" or route.endswith("unarchive"):
        return None
    return a_document()


def parameters(method: str, route: str) -> set[str]:
    """Return the names of a route's parameters, as the description has them."""
    found = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    described = found.get(f"/v1/{route}", {}).get(method.lower(), {})
    return {one["name"] for one in described.get("parameters", [])}


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_each_route_refuses_what_it_does_not_take(method: str, route: str):
    ask, path = with_key(), path_of(route)
    ask("POST", "/v1/blueprints/demo", a_document())
    sign = "&" if "?" in path else "?"
    for query, field in (("massage=x", "massage"), ("a=1&a=2", "a")):
        answer = ask(method, f"{path}{sign}{query}", body_of(method, route))
        assert answer.status_code == 400, (query, answer.content)
        assert answer.json()["code"] == "invalid-request"
        assert list(answer.json()["details"]["fields"]) == [field]
        if field == "massage" and "message" in parameters(method, route):
            [text] = answer.json()["details"]["fields"]["massage"]
            assert text.endswith("did you mean 'message'?")
    if body_of(method, route) is None:
        answer = ask(method, path, {"message": "x"})
        assert answer.json()["details"] == {
            "fields": {"body": ["The route takes none."]}
        }


@pytest.mark.parametrize("name", RIGHTS)
def test_who_may_use_what(name: str, settings: Any):
    author = with_key()
    assert author("POST", "/v1/blueprints/demo", a_document()).status_code == 201
    settings.DEBUG = True
    ask = principals()[name]
    rows = []
    for (method, route), right in ROUTES.items():
        answer = ask(method, path_of(route), body_of(method, route))
        status = answer.status_code
        if right == OPEN or right in RIGHTS[name]:
            assert status in (200, 201, 204, 404, 415), (method, route, answer.content)
        elif name in UNKNOWN:
            assert status == (302 if route == "docs" else 401), (method, route)
        else:
            assert status == 403, (method, route, answer.content)
            assert answer.json()["details"] == {"right": right}
        rows.append(f"{name:<16} {method:<6} /v1/{route:<45} {right:<8} {status}")
        if (method, route) == ("DELETE", "blueprints/{id}"):
            author("POST", "/v1/blueprints/demo/unarchive")
    print("\n".join(rows))
