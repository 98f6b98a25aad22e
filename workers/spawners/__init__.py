"""Spawners: one file a kind of agent, one line each in settings.SWARM."""

from typing import Final

PRINTED: Final = "agent.print"
"""The logger of what agents print; settings.LOGGING sets its level."""
