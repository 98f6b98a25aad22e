"""Blueprints in one bare git repository: a branch for each, a commit for each version."""
