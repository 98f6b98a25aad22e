"""Keeps the rows about Blueprints in step with the store, which has the truth."""
