"""Settings of a worker whose state connection goes through a proxy that loses replies."""

import os

from swarm_project.settings import *  # noqa: F403

SWARM_STATE_URL = os.environ["FAULT_STATE_URL"]
