"""The Celery app. Its settings are in settings.py; its tasks in workers/tasks.py."""

import os
import sys
from types import TracebackType

from celery import Celery
from celery.app.amqp import AMQP
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange
from kombu.transport import TRANSPORT_ALIASES

from engine.visible import visible

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


_show_any = sys.excepthook


def _show(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Tells a bad setting in one line, also where Celery's program meets it first."""
    if isinstance(error, ImproperlyConfigured):
        sys.stderr.write(visible(f"{error}\n"))
    else:
        _show_any(kind, error, trace)


sys.excepthook = _show
