"""Sample Blueprints, one file each, and the Python functions they name."""
