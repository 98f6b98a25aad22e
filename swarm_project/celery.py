"""The Celery app. Its settings are in settings.py; its tasks in workers/tasks.py."""

import os

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Exchange
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")

# kombu takes a transport's name from URLs, where it allows no dotted path.
TRANSPORT_ALIASES["swarm"] = "workers.transport:Transport"


class DefaultExchangeAMQP(AMQP):
    """Hangs queues made on the fly (`-Q my.queue`) on the default exchange.

    Celery would give each an exchange of its own, whose binding is lost with Redis;
    restored messages are then dropped without a word.
    """

    @staticmethod
    def autoexchange(name: str) -> Exchange:
        """Returns the default exchange for any queue."""
        return Exchange("")


app = Celery("swarm", amqp=DefaultExchangeAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
