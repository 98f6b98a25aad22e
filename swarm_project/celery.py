"""The Celery app; its settings are in settings.py, its tasks in workers/tasks.py."""

import sys
import threading
from types import TracebackType

from celery import Celery
from celery.app.amqp import AMQP
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange
from kombu.transport import TRANSPORT_ALIASES

from blueprints.secrecy import traceback_text
from engine.visible import visible

# kombu reads the transport's name from a URL, where a dotted path is not allowed.
TRANSPORT_ALIASES["swarm"] = "workers.broker.transport:Transport"


class DefaultExchangeAMQP(AMQP):
    """Bind queues that are not in the settings (`-Q my.queue`) to the default exchange.

    Celery would make an exchange for each, whose binding is lost with Redis; restored
    messages would then be dropped silently.
    """

    @staticmethod
    def autoexchange(name: str) -> Exchange:
        """Return the default exchange for any queue."""
        return Exchange("")


app = Celery("swarm", amqp=DefaultExchangeAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")


def _show(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a bad setting as one line, any other error as Python does, without secrets.

    Under Celery's own program nothing else catches a bad setting.
    """
    if isinstance(error, ImproperlyConfigured):
        sys.stderr.write(visible(f"{error}\n"))
    else:
        sys.stderr.write(visible(traceback_text(kind, error, trace)))


def _show_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and args.exc_type is not SystemExit:
        _show(args.exc_type, args.exc_value, args.exc_traceback)


sys.excepthook = _show
threading.excepthook = _show_of_thread
