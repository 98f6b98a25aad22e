"""Decides: the language, Blueprints, runs and where a live run is kept."""
