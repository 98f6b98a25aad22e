"""Where Blueprints are kept for long."""
