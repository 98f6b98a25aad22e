"""Spawners: one file a kind of agent, one line each in settings.SWARM."""
