"""Name this database, once."""

import uuid

from blueprints.models import Installation


def installation_name() -> str:
    """Return the name of this database; create it at the first call."""
    defaults = {"name": uuid.uuid4().hex}
    row, _ = Installation.objects.get_or_create(pk=1, defaults=defaults)
    return row.name
