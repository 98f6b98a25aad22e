"""Write and check API keys."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from blueprints.models.api_keys import ApiKey, Right
from engine.blueprint_store import Author, InputRefused, clean_author

MARK: Final = "swk"
"""The first characters of every key, by which scanners recognise a leaked one."""
PREFIX_BYTES: Final = 4
SECRET_BYTES: Final = 32
USED_EVERY: Final = timedelta(minutes=1)
"""How often the use of a key is written: not each request is a write."""
LONGEST: Final = 128
LONGEST_NAME: Final = 100
_KEY: Final = re.compile(rf"{MARK}_[0-9a-f]{{{2 * PREFIX_BYTES}}}_[A-Za-z0-9_-]+")


def api_key_create(
    name: str,
    scopes: Iterable[Right],
    *,
    user: Any = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; return its row and its text, which can't be read again.

    Raise InputRefused for a name that can be no author's.
    """
    check_key_name(name)
    row = ApiKey(
        name=name,
        user=user,
        scopes=sorted(right.value for right in scopes),
        expires_at=expires_at,
    )
    return row, api_key_issue(row)


def api_key_issue(row: ApiKey) -> str:
    """Give a key that is not saved yet its secret, and save it; return its text."""
    row.prefix = f"{MARK}_{secrets.token_hex(PREFIX_BYTES)}"
    text = f"{row.prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    row.digest = _digest(text)
    row.save(force_insert=True)
    return text


def check_key_name(name: str) -> None:
    """Raise InputRefused unless a name may be the author of what its key changes."""
    if len(name) > LONGEST_NAME:
        raise InputRefused("name", f"has more than {LONGEST_NAME} characters")
    clean_author(Author(name, "key@localhost"))


def api_key_check(text: str) -> ApiKey | None:
    """Return the key with this text if it may be used, and note that it was used."""
    if len(text) > LONGEST or not _KEY.fullmatch(text):
        return None
    prefix = text[: len(MARK) + 1 + 2 * PREFIX_BYTES]
    row = ApiKey.objects.select_related("user").filter(prefix=prefix).first()
    # Random bits of this number need no slow hash.
    if row is None or not hmac.compare_digest(row.digest, _digest(text)):
        return None
    if row.state != "valid" or (row.user is not None and not row.user.is_active):
        return None
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return row


def api_key_revoke(prefix: str) -> bool:
    """Revoke the key with this prefix; return False if it was revoked or is unknown."""
    rows = ApiKey.objects.filter(prefix=prefix, revoked_at=None)
    return bool(rows.update(revoked_at=timezone.now()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
