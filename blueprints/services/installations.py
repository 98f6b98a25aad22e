"""Name this database, once, and note which Redis it is with."""

import uuid

from blueprints.models import Installation


def installation_get() -> Installation:
    """Return the row of this database; create it, with a name, at the first call."""
    defaults = {"name": uuid.uuid4().hex}
    row, _ = Installation.objects.get_or_create(pk=1, defaults=defaults)
    return row


def installation_name() -> str:
    """Return the name of this database."""
    return installation_get().name


def installation_lock() -> Installation:
    """Return the row of this database, locked to the end of the transaction."""
    installation_get()
    return Installation.objects.select_for_update().get(pk=1)


def installation_server_lock() -> str:
    """Return the server that was compared last; the row is locked to the transaction's end."""
    rows = Installation.objects.select_for_update().filter(pk=1)
    return rows.values_list("server", flat=True).first() or ""
