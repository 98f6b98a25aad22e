"""The Celery app. Its settings are in settings.py; its tasks in workers/tasks.py."""

import os
import sys
import threading
from types import TracebackType

from celery import Celery
from celery.app.amqp import AMQP
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange
from kombu.transport import TRANSPORT_ALIASES

from engine.visible import visible
from swarm_project.secrecy import traceback_text

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


def _show(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Tells a bad setting in one line, all else as Python does but for secrets.

    Celery's program meets a bad setting first, where nobody catches it.
    """
    if isinstance(error, ImproperlyConfigured):
        sys.stderr.write(visible(f"{error}\n"))
    else:
        sys.stderr.write(visible(traceback_text(kind, error, trace)))


def _show_of_thread(args: threading.ExceptHookArgs) -> None:
    """Tells what ended a thread."""
    if args.exc_value is not None and args.exc_type is not SystemExit:
        _show(args.exc_type, args.exc_value, args.exc_traceback)


sys.excepthook = _show
threading.excepthook = _show_of_thread
