"""The shape of a Blueprint document: its parts and their fields."""
