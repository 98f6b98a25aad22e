"""Who sends a request, and what they may do.

In this order: an API key, a session of Django, and, only while developing, a program
on the same machine. A wrong key is refused and never taken for one of the others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.http.request import split_domain_port, validate_host
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from blueprints.api.problems import Problem
from blueprints.models.api_keys import ApiKey, Right
from blueprints.services.api_keys import api_key_check

BEARER: Final = "Bearer"
REALM: Final = f'{BEARER} realm="swarm"'
LOOPBACK_RIGHTS: Final = frozenset({Right.VIEW, Right.EDIT, Right.PUBLISH})
# How the headers that proxies add begin. One that adds none of these can't be told from
# a program.
PROXIED: Final = tuple(
    f"HTTP_{name}"
    for name in (
        "FORWARDED", "VIA", "X_FORWARDED", "X_REAL_IP", "X_CLIENT_IP", "X_CLUSTER_CLIENT",
        "TRUE_CLIENT_IP", "CF_", "CDN_LOOP", "X_ENVOY_", "X_ORIGINAL_",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request; REST framework has it as `request.user`."""

    name: str
    email: str
    rights: frozenset[Right]
    user_id: int | None = None
    key: str | None = None
    """The prefix of the API key that was used."""


def rights_of(user: Any) -> frozenset[Right]:
    """Return the rights that a user of Django has by itself and by its groups."""
    return frozenset(right for right in Right if user.has_perm(right.permission))


def email_of(user: Any) -> str:
    """Return the address of a user, one of this installation if it has none."""
    return getattr(user, "email", "") or f"{user.get_username()}@localhost"


class KeyAuthentication(BaseAuthentication):
    """Takes an API key as the bearer token."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        """Return the principal of the key, None without one; raises Problem."""
        scheme, _, text = get_authorization_header(request).partition(b" ")
        if not scheme:
            return None
        if scheme.lower() != BEARER.lower().encode():
            headers = {"WWW-Authenticate": REALM}
            text = "The header Authorization has another scheme than Bearer."
            raise Problem("not-authenticated", text, headers=headers)
        key = api_key_check(text.strip().decode("latin-1"))
        if key is None:
            headers = {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
            raise Problem("key-refused", headers=headers)
        return principal_of_key(key), None

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return REALM


def principal_of_key(key: ApiKey) -> Principal:
    """Return the principal of a valid key: never more than its user may do."""
    rights, user = key.rights, key.user
    if user is None:
        return Principal(
            key.name, f"{key.prefix}@keys.localhost", rights, None, key.prefix
        )
    return Principal(
        user.get_username(),
        email_of(user),
        rights & rights_of(user),
        user.pk,
        key.prefix,
    )


class BrowserAuthentication(SessionAuthentication):
    """Takes a session of Django; what changes something needs its CSRF token."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        """Return the principal of the session, None without one; raises Problem."""
        found = super().authenticate(request)
        if found is None:
            return None
        user: AbstractBaseUser = found[0]
        name = user.get_username()
        return Principal(name, email_of(user), rights_of(user), user.pk), None

    def enforce_csrf(self, request: Request) -> None:
        """Raise Problem if the token is absent or wrong."""
        try:
            super().enforce_csrf(request)
        except PermissionDenied:
            raise Problem("csrf-failed") from None


class LoopbackAuthentication(BaseAuthentication):
    """Trusts programs on this machine, while it is a development server."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        """Return the principal `loopback` for a trusted request, otherwise None."""
        if not is_trusted(request.META, secure=request.is_secure()):
            return None
        return Principal("loopback", "loopback@localhost", LOOPBACK_RIGHTS), None


def is_trusted(meta: Mapping[str, Any], *, secure: bool) -> bool:
    """Return whether a request comes straight from a program on this machine.

    Not trusted are pages of other sites in a browser on this machine (Origin, and Host
    for a name that resolves to it), and whatever a proxy on this machine forwards.
    """
    if not (settings.DEBUG and settings.SWARM_TRUST_LOOPBACK):
        return False
    if any(name.startswith(PROXIED) for name in meta):
        return False
    host = str(meta.get("HTTP_HOST", ""))
    return (
        _is_loopback(str(meta.get("REMOTE_ADDR", "")))
        and _is_named(host)
        and _is_same_site(meta, f"{'https' if secure else 'http'}://{host}")
    )


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _is_named(host: str) -> bool:
    """Return whether a host is in ALLOWED_HOSTS by name: a `*` names none."""
    domain, _ = split_domain_port(host)
    named = [name for name in settings.ALLOWED_HOSTS if name != "*"]
    return bool(domain) and validate_host(domain, named)


def _is_same_site(meta: Mapping[str, Any], site: str) -> bool:
    origin = meta.get("HTTP_ORIGIN")
    if origin is not None and _site(str(origin)) != _site(site):
        return False
    return meta.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")


def _site(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port or usual


class HasRight(BasePermission):
    """Lets a principal pass that has the right which the view's method needs.

    A method for which the view names none is closed to everybody.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether it may pass; raises Problem with the right that it lacks."""
        if not isinstance(request.user, Principal):
            return False
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            # A method that the view does not have is answered with 405.
            return True
        right = getattr(view, "rights", {}).get(method)
        if right is None:
            return False
        if right in request.user.rights:
            return True
        text = f"{request.user.name} lacks the right {right.value!r}."
        raise Problem("no-right", text, details={"right": right.value})
