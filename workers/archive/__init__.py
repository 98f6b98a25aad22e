"""The archive: the journal's way from Redis into the database."""
