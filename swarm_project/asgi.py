"""The ASGI application for web servers."""

import gc

import django
from django.conf import settings
from django.utils.module_loading import import_string

# Each request has a thread of its own, whose connections nobody would use again.
for _database in settings.DATABASES.values():
    _database["CONN_MAX_AGE"] = 0

# It makes the apps ready, which the imports need.
django.setup(set_prefix=False)
_django = import_string("blueprints.api.body_limit.CountingHandler")()
application = import_string("blueprints.api.body_limit.bounded")(_django)

# What has been loaded stays to the end: collections need not go through it.
gc.freeze()
