"""The link by which the person at the terminal of `up` logs in once.

Who can run commands here can make a superuser; the link only spares them a password.
"""

from typing import Any, Final

from django.contrib.auth import get_user_model, login
from django.core.signing import BadSignature, TimestampSigner
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from blueprints.command_line import login_name

LASTS_S: Final = 600
BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
_SIGNER: Final = "swarm.login"
_USED: Final = (
    "This link has been used, or is older than ten minutes. Start `up` again for another,"
    " or log in at /login/.\n"
)


def login_path() -> str:
    """Return the path of a link for the first superuser.

    If there is none, using it makes one that is called as the user of this system, and
    that has no password.
    """
    user = _superusers().first()
    text = "-" if user is None else f"{user.pk}:{_stamp(user)}"
    return reverse("login-once", args=[TimestampSigner(salt=_SIGNER).sign(text)])


@never_cache
def log_in_once(request: HttpRequest, token: str) -> HttpResponse:
    """Log the person in whom the link was made for, if it is the first use."""
    try:
        text = TimestampSigner(salt=_SIGNER).unsign(token, max_age=LASTS_S)
        user = _new_user() if text == "-" else _used_by(*text.split(":", 1))
    except (BadSignature, IntegrityError):
        user = None
    if user is None:
        return HttpResponse(_USED, status=410, content_type="text/plain")
    login(request, user, backend=BACKEND)
    return redirect("/")


def _superusers() -> Any:
    found = get_user_model()._default_manager.filter(is_superuser=True, is_active=True)
    return found.order_by("pk")


def _stamp(user: Any) -> str:
    return "" if user.last_login is None else user.last_login.isoformat()


def _new_user() -> Any:
    if _superusers().exists():
        return None
    # Without a password it gets one that nothing matches.
    with transaction.atomic():
        return get_user_model()._default_manager.create_superuser(login_name())


def _used_by(pk: str, stamp: str) -> Any:
    """Return the user of a link; None if anybody has logged in as that user since."""
    user = _superusers().filter(pk=pk).first()
    if user is None or _stamp(user) != stamp:
        return None
    # Of two uses at once, one finds the row as it was.
    rows = _superusers().filter(pk=pk, last_login=user.last_login)
    return user if rows.order_by().update(last_login=timezone.now()) else None
