"""Names this database, once."""

import uuid

from blueprints.models import Installation


def installation_name() -> str:
    """Returns the name of this database, made where it has none."""
    made = {"name": uuid.uuid4().hex}
    found, _ = Installation.objects.get_or_create(pk=1, defaults=made)
    return found.name
