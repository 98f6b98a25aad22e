"""The HTTP API: a file for each noun, and what all routes share."""
