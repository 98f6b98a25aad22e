"""The ASGI application for web servers."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

# Each request has a thread of its own, whose connections nobody would use again.
for _database in settings.DATABASES.values():
    _database["CONN_MAX_AGE"] = 0

# It makes the apps ready, which the other import needs.
_django = get_asgi_application()
application = import_string("blueprints.api.body_limit.bounded")(_django)
