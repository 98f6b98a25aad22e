"""The commands that start or drive processes: one file per command."""
