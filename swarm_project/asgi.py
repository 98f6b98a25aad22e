"""The ASGI application a web server imports."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")

application = get_asgi_application()
