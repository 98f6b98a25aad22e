"""The steward: keeps runs moving when a message or a worker is lost."""

import logging
from typing import Final

logger: Final = logging.getLogger("workers.steward.process")
"""The one logger of the process, for all of its modules."""
