"""Requests to the API, each by somebody."""

import json
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.test.client import ClientHandler

from blueprints.models.api_keys import Right
from blueprints.services.api_keys import api_key_create

Ask = Callable[..., Any]
# Making one looks at every static file; cookies are the client's.
HANDLER = ClientHandler(enforce_csrf_checks=False)
GROUPS = ("viewer", "author", "publisher", "admin")
LOOPBACK = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:7777"}


def asked(
    method: str,
    path: str,
    body: Any = None,
    *,
    client: Client | None = None,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
    **meta: str,
) -> Any:
    """Return the answer to a request; a body that is no text is sent as JSON."""
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return (client or stranger()).generic(
        method,
        path,
        "" if body is None else content,
        content_type=content_type,
        headers=headers,
        **meta,
    )


def stranger() -> Client:
    """Return a client without cookies."""
    client = Client()
    client.handler = HANDLER
    return client


def anonymous(method: str, path: str, body: Any = None, **more: Any) -> Any:
    """Ask without credentials, from another machine."""
    return asked(method, path, body, REMOTE_ADDR="203.0.113.7", **more)


def member(group: str) -> User:
    """Return a user who is in one group."""
    user, _ = User.objects.get_or_create(username=f"in-{group}")
    user.groups.set([Group.objects.get(name=group)])
    return user


def as_member(group: str) -> Ask:
    """Return who asks with the session of a member of a group."""
    client = stranger()
    client.force_login(member(group))
    return lambda *args, **more: asked(*args, client=client, **more)


def with_key(*rights: Right, **more: Any) -> Ask:
    """Return who asks with a key of some rights; of all without any."""
    _, text = api_key_create("a test", rights or list(Right), **more)
    return with_bearer(text)


def with_bearer(text: str) -> Ask:
    """Return who asks with a text as the bearer token."""

    def ask(method: str, path: str, body: Any = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {text}", **more.pop("headers", {})}
        return anonymous(method, path, body, headers=headers, **more)

    return ask


def on_loopback(**more: str) -> Ask:
    """Return who asks from this machine, with further headers as WSGI names them."""
    return lambda *args, **rest: asked(*args, **{**LOOPBACK, **more, **rest})
